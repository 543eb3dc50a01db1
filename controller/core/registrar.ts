/**
 * The registrar (RFC 3261 §10.3, RFC 3327 §5.3, RFC 5626 §6; no GRUU). Pure. It hears of REGISTERs
 * whose sender is known already; what it answers goes out only when its changes are stored.
 */
import type { Millis } from "../../protocol/machine.ts";
import { type FlowId, isReliableHop, type Peer } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { SipUri } from "../../protocol/sip/uri.ts";
import { byPreference, reachOf } from "./binding-reach.ts";
import {
  type Binding,
  type BindingCertificate,
  type BindingChange,
  BindingTable,
} from "./bindings.ts";
import {
  contactBytes,
  isBindingOf,
  isOutOfOrder,
  keyOf,
  mayBind,
  newBinding,
  type SettledContact,
} from "./contact-binding.ts";
import {
  accepted,
  type Done,
  OPTION_TAGS,
  type Refused,
  type RegistrarAnswer,
  refused,
} from "./register-answer.ts";
import { parseRegister, type RegisterRequest, type RequestedContact } from "./register-request.ts";
import { parsed } from "./verdict.ts";

export interface RegistrarLimits {
  /** Counts up to 3600: from one hour on no request is too brief (RFC 3261 §10.3 item 7). */
  readonly minExpiresS: number;
  readonly maxExpiresS: number;
  readonly defaultExpiresS: number;
  /** Contacts of one user. */
  readonly maxContacts: number;
}

export const DEFAULT_LIMITS: RegistrarLimits = {
  minExpiresS: 60,
  maxExpiresS: 7200,
  defaultExpiresS: 3600,
  maxContacts: 10,
};

export interface RegistrarSetting {
  readonly limits?: Partial<RegistrarLimits>;
  /** Whether an address of record is one of our users. */
  readonly isUser: (aor: string) => boolean;
  /** Whether a URI names this proxy itself: a contact there would be a loop. */
  readonly isOwn: (uri: SipUri) => boolean;
}

/** Who sends a REGISTER, as the gatekeeper knows him, and by which way. */
export interface Registration {
  /** His own address of record. */
  readonly by: string;
  /** Whether he may register another. */
  readonly mayRegister?: (aor: string) => boolean;
  readonly peer: Peer;
  readonly flow: FlowId;
  /** What the contact is to be known by. */
  readonly certificate?: BindingCertificate;
  /** The contact came sealed. */
  readonly hidden?: boolean;
}

/** What a REGISTER would do. */
export type Preview =
  | Refused
  | {
      readonly kind: "done";
      /** What it would bind, anew or again. */
      readonly bound: readonly Binding[];
      /** All that would be bound then, the best first. */
      readonly bindings: readonly Binding[];
    };

/** Octets of a contact with its parameters, Path and Call-ID: what a user can make us keep of one. */
export const MAX_BINDING_BYTES = 4096;
const HOUR_S = 3600;

export class Registrar {
  readonly #setting: RegistrarSetting;
  readonly #limits: RegistrarLimits;
  readonly #table = new BindingTable();

  /** @throws RangeError for limits that contradict each other. */
  constructor(setting: RegistrarSetting) {
    this.#setting = setting;
    this.#limits = { ...DEFAULT_LIMITS, ...setting.limits };
    const { minExpiresS, maxExpiresS, defaultExpiresS } = this.#limits;
    if (minExpiresS > defaultExpiresS || defaultExpiresS > maxExpiresS)
      throw new RangeError("registrar: minExpiresS, defaultExpiresS, maxExpiresS do not rise");
  }

  /** Bindings of all users. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * Answers a REGISTER of a known sender: all that it asks for is done, or nothing.
   * @param at when its time begins, if that was told already
   */
  handle(
    request: SipRequest,
    registration: Registration,
    now: Millis,
    at: Millis = now,
  ): RegistrarAnswer {
    const gone = this.expire(now);
    const outcome = this.#judge(request, registration, at);
    if (outcome.kind === "refused") return { response: outcome.response, changes: gone };
    this.#table.apply(outcome.changes);
    const bindings = this.lookup(outcome.register.aor, now);
    const response = accepted(outcome, bindings, at);
    return { response, changes: [...gone, ...outcome.changes] };
  }

  /** What `handle` would do: nothing is changed. */
  preview(request: SipRequest, registration: Registration, at: Millis): Preview {
    const outcome = this.#judge(request, registration, at);
    if (outcome.kind === "refused") return outcome;
    const { register, changes } = outcome;
    const after = new Map(this.#table.of(register.aor, at).map((each) => [each.key, each]));
    for (const change of changes)
      if (change.kind === "put") after.set(change.binding.key, change.binding);
      else after.delete(change.key);
    const bound = changes.flatMap((change) => (change.kind === "put" ? [change.binding] : []));
    return { kind: "done", bound, bindings: [...after.values()].toSorted(byPreference) };
  }

  /** The user's bindings, the one to try first first; `forkGroups` and `reachOf` say how. */
  lookup(aor: string, now: Millis): readonly Binding[] {
    return this.#table.of(aor, now).toSorted(byPreference);
  }

  /** Takes away what has expired. */
  expire(now: Millis): readonly BindingChange[] {
    const changes = this.#table.expired(now);
    this.#table.apply(changes);
    return changes;
  }

  /** A flow is gone: what was bound to it is reached otherwise, or not at all (RFC 5626 §7). */
  dropFlow(flow: FlowId): readonly BindingChange[] {
    const changes = this.#table.onFlow(flow).map((binding) => put(withoutFlow(binding)));
    this.#table.apply(changes);
    return changes;
  }

  /** Users who are known by that key now. @param keyId SHA-256 of the SPKI, hex */
  usersOfKey(keyId: string): readonly string[] {
    return this.#table.usersOfKey(keyId);
  }

  /** Takes away every binding that is good no more, with its certificate. */
  drop(isGone: (binding: Binding) => boolean): readonly BindingChange[] {
    const changes = this.#table.all().filter(isGone).map(remove);
    this.#table.apply(changes);
    return changes;
  }

  /** Takes over what an earlier run stored; the connections of that time are gone. */
  load(rows: readonly Binding[]): void {
    this.#table.apply(
      rows.map((row) =>
        put(row.flow === undefined || !isReliableHop(row.flow) ? row : withoutFlow(row)),
      ),
    );
  }

  /** When `expire` has something to do. */
  deadline(): Millis | undefined {
    return this.#table.deadline();
  }

  #judge(request: SipRequest, registration: Registration, now: Millis): Done | Refused {
    const read = parsed(() => parseRegister(request));
    if (!read.ok) return refused(400);
    const register = read.value;
    const { aor, contacts } = register;
    const unknown = register.required.filter((tag) => !OPTION_TAGS.has(tag));
    if (unknown.length > 0) return refused(420, [["Unsupported", unknown.join(", ")]]);
    if (aor !== registration.by && registration.mayRegister?.(aor) !== true) return refused(403);
    if (!this.#setting.isUser(aor)) return refused(404);
    if (lacksPathSupport(register)) return refused(420, [["Unsupported", "path"]]);
    switch (contacts.kind) {
      case "fetch":
        return { kind: "done", register, outbound: false, changes: [] };
      case "remove-all":
        return this.#removeAll(register, now);
      case "listed":
        return this.#update(register, contacts.contacts, registration, now);
    }
  }

  #removeAll(register: RegisterRequest, now: Millis): Done | Refused {
    const bindings = this.#table.of(register.aor, now);
    if (bindings.some((binding) => isOutOfOrder(binding, register))) return refused(500);
    return { kind: "done", register, outbound: false, changes: bindings.map(remove) };
  }

  #update(
    register: RegisterRequest,
    contacts: readonly RequestedContact[],
    registration: Registration,
    now: Millis,
  ): Done | Refused {
    const wanted = contacts.map((contact) => this.#settle(contact, register));
    const fault = this.#faultOf(wanted, register, registration.peer);
    if (fault !== undefined) return fault;
    const before = this.#table.of(register.aor, now);
    const after = new Map(before.map((binding) => [binding.key, binding]));
    const changes: BindingChange[] = [];
    for (const contact of wanted) {
      const old = before.find((binding) => isBindingOf(binding, contact));
      if (old !== undefined && isOutOfOrder(old, register)) return refused(500);
      const same = [...after.values()].find((binding) => isBindingOf(binding, contact));
      if (same !== undefined && (contact.expiresS === 0 || same.key !== keyOf(contact))) {
        after.delete(same.key);
        changes.push(remove(same));
      }
      if (contact.expiresS === 0) continue;
      const binding = newBinding(contact, { ...registration, register, now });
      after.set(binding.key, binding);
      changes.push(put(binding));
    }
    const evicted = this.#makeRoom([...after.values()], now);
    if (evicted === undefined) return refused(403);
    const outbound = wanted.some(({ regId, expiresS }) => regId !== undefined && expiresS > 0);
    return { kind: "done", register, outbound, changes: [...changes, ...evicted.map(remove)] };
  }

  /** Bindings to give up so that the limit holds: only such as can be reached no more. */
  #makeRoom(bindings: readonly Binding[], now: Millis): readonly Binding[] | undefined {
    const excess = bindings.length - this.#limits.maxContacts;
    if (excess <= 0) return [];
    const dead = bindings.filter((each) => each.updatedAt < now && reachOf(each).kind === "dead");
    const oldest = dead.sort((one, other) => one.updatedAt - other.updatedAt);
    return oldest.length < excess ? undefined : oldest.slice(0, excess);
  }

  /** A contact with the time that it gets; reg-id stays only where outbound applies. */
  #settle(contact: RequestedContact, register: RegisterRequest): SettledContact {
    const { defaultExpiresS, maxExpiresS } = this.#limits;
    const expiresS = Math.min(contact.expiresS ?? defaultExpiresS, maxExpiresS);
    if (register.firstHopKnowsOutbound) return { ...contact, expiresS };
    const { regId: _ignored, ...plain } = contact;
    return { ...plain, expiresS };
  }

  #faultOf(
    contacts: readonly SettledContact[],
    register: RegisterRequest,
    peer: Peer,
  ): Refused | undefined {
    const minExpiresS = Math.min(this.#limits.minExpiresS, HOUR_S);
    const kept = contacts.filter(({ expiresS }) => expiresS > 0);
    if (kept.some(({ expiresS }) => expiresS < minExpiresS))
      return refused(423, [["Min-Expires", String(minExpiresS)]]);
    if (kept.length > 1 && kept.some(({ regId }) => regId !== undefined)) return refused(400);
    if (!register.firstHopKnowsOutbound && wantsOutbound(register))
      return refused(439, [], "First Hop Lacks Outbound Support");
    if (kept.some((contact) => !mayBind(contact, register.path, peer, this.#setting.isOwn)))
      return refused(403);
    const tooLong = kept.some((contact) => contactBytes(contact, register) > MAX_BINDING_BYTES);
    return tooLong ? refused(403) : undefined;
  }
}

const put = (binding: Binding): BindingChange => ({ kind: "put", binding });
const remove = ({ aor, key }: Binding): BindingChange => ({ kind: "delete", aor, key });

function withoutFlow(binding: Binding): Binding {
  const { flow: _gone, ...rest } = binding;
  return rest;
}

const wantsOutbound = ({ contacts, supported }: RegisterRequest): boolean =>
  contacts.kind === "listed" &&
  supported.has("outbound") &&
  contacts.contacts.some(({ regId }) => regId !== undefined);

/** A phone that does not know Path is refused behind a proxy that adds one (RFC 3327 §5.3). */
const lacksPathSupport = ({ path, supported }: RegisterRequest): boolean =>
  path.length > 0 && !supported.has("path");
