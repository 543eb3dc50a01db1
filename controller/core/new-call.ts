/**
 * A call as the table keeps it, made from an INVITE that may be placed. Pure.
 */
import { createHash } from "node:crypto";
import type { Millis } from "../../protocol/machine.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress, messageTag } from "../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { Call } from "./call.ts";
import type { SessionName } from "./call-effect.ts";
import type { CallRecord } from "./call-table.ts";
import type { ControllerSetting } from "./controller-port.ts";
import type { Placing } from "./placing.ts";
import type { SeenBodies } from "./seen-bodies.ts";
import { parsed } from "./verdict.ts";

export interface NewCall {
  /** As received. */
  readonly invite: SipRequest;
  readonly serverKey: string;
  readonly arrival: Arrival;
  readonly placing: Placing;
  readonly seen: SeenBodies;
}

const ID_BYTES = 16;
const LABEL_CHARS = 12;

export function newCallRecord(made: NewCall, setting: ControllerSetting, now: Millis): CallRecord {
  const { invite, serverKey, arrival, placing, seen } = made;
  const { random, media: policy, applyTimeoutMs, recordingRequired } = setting;
  const { request, callerAor, ownAddresses, body, labelled } = placing;
  const nameSession = () => newSession(random);
  const judged = { body, labelled, ownAddresses, policy, seen };
  const gateway = { applyTimeoutMs, recordingRequired, nameSession };
  return {
    id: random(ID_BYTES).toString("hex"),
    label: callLabel(invite),
    call: new Call({ invite: request, ...judged, ...gateway }),
    callerTag: messageTag(invite, "From") ?? "",
    callerAor,
    callerFlow: arrival.flow,
    callerPeer: arrival.peer,
    invite,
    placing,
    serverKey,
    clientKey: undefined,
    sessions: new Set(),
    contacts: new Map(),
    order: {
      callId: headerValue(invite, "Call-ID") ?? "",
      from: callerAor,
      to: calleeOf(invite),
      startedAt: now,
    },
  };
}

/** What a call is named by in logs: a digest, since a Call-ID may hold a host or a user name. */
export function callLabel(message: SipMessage): string {
  const callId = headerValue(message, "Call-ID") ?? "";
  return createHash("sha256").update(callId, "latin1").digest("hex").slice(0, LABEL_CHARS);
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

function calleeOf(invite: SipRequest): string {
  const { uri } = messageAddress(invite, "To");
  const aor = parsed(() => addressOfRecord(uri));
  return aor.ok ? aor.value : uri;
}
