/**
 * A call as the table keeps it, made from an INVITE that may be placed. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { NOT_WAITING } from "../../protocol/sip/deadline-heap.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress, messageTag } from "../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { Call } from "./call.ts";
import type { CallRules, SessionName } from "./call-port.ts";
import type { CallRecord } from "./call-table.ts";
import type { ControllerRules } from "./controller-port.ts";
import { callIdOf, type DialogSet } from "./dialog-table.ts";
import { aorOfUri, type Origin } from "./gatekeeper.ts";
import type { Whom } from "./next-hops.ts";
import type { Placing } from "./placing.ts";
import { restoreDialogs, type SavedCall } from "./saved-call.ts";
import type { SeenBodies } from "./seen-bodies.ts";
import type { Site } from "./site.ts";

export interface NewCall {
  /** As received. */
  readonly invite: SipRequest;
  readonly serverKey: string;
  readonly arrival: Arrival;
  readonly placing: Placing;
  /** The recording that it goes on from. */
  readonly linked?: string | undefined;
}

export interface CallMaking {
  readonly rules: ControllerRules;
  readonly seen: SeenBodies;
  readonly random: (size: number) => Buffer;
}

const ID_BYTES = 16;

export function newCallRecord(made: NewCall, making: CallMaking, now: Millis): CallRecord {
  const { invite, serverKey, arrival, placing, linked } = made;
  const { request, origin, caller, callee, users, emergency, labelled } = placing;
  const id = making.random(ID_BYTES).toString("hex");
  const mustRecord =
    users.length === 0 ? making.rules.recordingRequired : users.some((user) => user.mustRecord);
  const parties = { caller, callee };
  const call = new Call({
    ...callRules({ parties, mustRecord, emergency }, making),
    invite: request,
    labelled,
    ...(linked === undefined ? undefined : { linked }),
  });
  const from = messageAddress(invite, "From").uri;
  const to = messageAddress(invite, "To").uri;
  return {
    id,
    call,
    dialogs: dialogsOf(invite, origin, arrival, id),
    beginning: {
      serverKey,
      timed: placing.timed,
      asked: { invite, placing, from: arrival.peer },
    },
    users: users.map(({ aor }) => aor),
    parties,
    mustRecord,
    emergency,
    sessions: new Set(),
    order: {
      callId: callIdOf(invite),
      from: caller.aor ?? aorOfUri(from) ?? from,
      to: aorOfUri(to) ?? to,
      startedAt: now,
      ...(linked === undefined ? undefined : { linked }),
    },
    recording: undefined,
    isCounted: true,
    place: NOT_WAITING,
    isSaved: false,
  };
}

/** A call of before a restart. */
export function restoredCallRecord(
  id: string,
  saved: SavedCall,
  making: CallMaking,
  site: Site,
): CallRecord {
  const { parties, mustRecord, emergency, users, order } = saved;
  const last = saved.call.dialogs.findLast(({ session }) => session !== null);
  return {
    id,
    call: Call.restore(saved.call, callRules({ parties, mustRecord, emergency }, making)),
    dialogs: restoreDialogs(id, saved, site.neighbourhood),
    beginning: undefined,
    ...{ users, parties, mustRecord, emergency, order },
    sessions: new Set(saved.sessions),
    recording: last?.session?.recording,
    isCounted: true,
    place: NOT_WAITING,
    isSaved: true,
  };
}

function callRules(
  who: Pick<CallRules, "parties" | "mustRecord" | "emergency">,
  { rules, seen, random }: CallMaking,
): CallRules {
  const { media, applyTimeoutMs } = rules;
  const nameSession = () => newSession(random);
  return {
    ...who,
    ...(media === undefined ? undefined : { policy: media }),
    seen,
    applyTimeoutMs,
    nameSession,
  };
}

export const whomOf = (origin: Origin): Whom =>
  origin.kind === "user" ? { aor: origin.user.aor } : { trunk: origin.trunk };

/** The dialogs that a request may make; of an INVITE, those of its call. */
export function dialogsOf(
  request: SipRequest,
  origin: Origin,
  { flow, peer }: Arrival,
  call?: string,
): DialogSet {
  return {
    callId: callIdOf(request),
    callerTag: messageTag(request, "From") ?? "",
    caller: { whom: whomOf(origin), flow, peer, contact: undefined },
    callees: new Map(),
    ...(call === undefined ? undefined : { call }),
    asked: [],
  };
}

/** Names that say nothing of the call; the recording's is a UUID (RFC 9562 §5.4). */
function newSession(random: (size: number) => Buffer): SessionName {
  const octets = Buffer.from(random(ID_BYTES));
  octets.writeUInt8((octets.readUInt8(6) & 0x0f) | 0x40, 6);
  octets.writeUInt8((octets.readUInt8(8) & 0x3f) | 0x80, 8);
  const recording = octets
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return { session: random(ID_BYTES).toString("hex"), recording };
}
