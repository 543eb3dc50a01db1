/**
 * Decides what a `session.put` changes, or why it is refused, before anything is changed. Pure.
 */
import type { ControlError, SessionPut } from "../../protocol/control/messages.ts";
import type { ConnectionId } from "./agent-effect.ts";
import { type Claim, type Claims, overlaps } from "./claims.ts";
import { elementName } from "./element.ts";
import { checkPinhole, type Realm } from "./realm.ts";
import { holeElement, type PutPlan, type Session, tallyKey } from "./session.ts";

export interface PutLimits {
  readonly sessions: number;
  readonly pinholes: number;
}

/** Pinhole ids and destinations of one session in all its revisions: each keeps a count to its end. */
export const MAX_TALLIES_PER_SESSION = 256;

/** Counts of one session that the kernel owes or that were missed: each has an element of its own in the kernel. */
export const MAX_MARKERS_PER_SESSION = 256;

export interface PutContext {
  readonly connection: ConnectionId;
  readonly session: Session | undefined;
  /** All sessions there are. */
  readonly sessions: number;
  readonly claims: Claims;
  /** Of this session. */
  readonly markers: number;
  readonly realm: Realm;
  readonly limits: PutLimits;
}

export type Refused = {
  readonly ok: false;
  readonly error: ControlError;
  /** Another session's claim that this put would share packets with. */
  readonly inWay?: Claim;
};

type Planned<T> = { readonly ok: true; readonly value: T } | Refused;

/** Checks the put whole: state, realm, overlaps, limits. */
export function planPut(put: SessionPut, context: PutContext): Planned<PutPlan> {
  const { session, connection } = context;
  if (session === undefined && context.sessions >= context.limits.sessions)
    return fault("ERR_CONTROL_LIMIT", "session", "no room for another session");
  if (session !== undefined && put.revision < session.revision)
    return fault("ERR_CONTROL_STATE", "revision", "older than what is applied");
  const wanted = wantedHoles(put, context);
  if (!wanted.ok) return wanted;
  const holes = keepPresent(wanted.value, session);
  const present = [...(session?.holes.values() ?? [])];
  const plan: PutPlan = {
    connection,
    put,
    holes,
    opened: [...holes.values()].filter((claim) => !present.includes(claim)),
    closed: present.filter((claim) => holes.get(claim.pinhole) !== claim),
  };
  const refused = checkChange(plan, context);
  return refused === undefined ? { ok: true, value: plan } : { ok: false, error: refused };
}

function wantedHoles(put: SessionPut, context: PutContext): Planned<ReadonlyMap<string, Claim>> {
  const holes = new Map<string, Claim>();
  for (const [index, pinhole] of put.pinholes.entries()) {
    const path = `pinholes.${index}`;
    const opening = checkPinhole(pinhole, context.realm, path);
    if (!opening.ok) return opening;
    const claim = { ...opening.value, session: put.session, pinhole: pinhole.id };
    if (holes.has(pinhole.id))
      return fault("ERR_CONTROL_VALUE", `${path}.id`, "a pinhole id used twice");
    if ([...holes.values()].some((other) => overlaps(other, claim)))
      return fault("ERR_CONTROL_VALUE", path, "overlaps another pinhole of this session");
    const inWay = context.claims.conflict(claim, put.session);
    if (inWay !== undefined)
      return {
        ...fault("ERR_CONTROL_STATE", path, "overlaps a pinhole of another session"),
        inWay,
      };
    holes.set(pinhole.id, claim);
  }
  return { ok: true, value: holes };
}

function keepPresent(
  wanted: ReadonlyMap<string, Claim>,
  session: Session | undefined,
): ReadonlyMap<string, Claim> {
  const sameElement = (left: Claim, right: Claim) =>
    elementName(holeElement(left)) === elementName(holeElement(right));
  return new Map(
    [...wanted].map(([id, claim]) => {
      const present = session?.holes.get(id);
      return [id, present !== undefined && sameElement(present, claim) ? present : claim];
    }),
  );
}

function checkChange(plan: PutPlan, context: PutContext): ControlError | undefined {
  const { session, claims, limits } = context;
  const changes = plan.opened.length + plan.closed.length > 0;
  if (changes && plan.put.revision === session?.revision)
    return { code: "ERR_CONTROL_STATE", path: "revision", message: "the revision was another" };
  // Old and new count side by side until the kernel has made the change.
  if (claims.size + plan.opened.length > limits.pinholes)
    return { code: "ERR_CONTROL_LIMIT", path: "pinholes", message: "no room for more pinholes" };
  const tallies = new Set([
    ...(session?.tallies.keys() ?? []),
    ...[...(session?.holes.values() ?? []), ...plan.holes.values()].map(tallyKey),
  ]);
  if (tallies.size > MAX_TALLIES_PER_SESSION)
    return {
      code: "ERR_CONTROL_LIMIT",
      path: "pinholes",
      message: "too many ids and destinations",
    };
  if (context.markers + plan.closed.length > MAX_MARKERS_PER_SESSION)
    return { code: "ERR_CONTROL_LIMIT", path: "pinholes", message: "too many counts are owed" };
  return undefined;
}

function fault(code: string, path: string, message: string): { ok: false; error: ControlError } {
  return { ok: false, error: { code, path, message } };
}
