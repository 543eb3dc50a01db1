/**
 * Which recording a new call goes on from: that of the call it replaces (RFC 3891), or in which
 * its caller was asked to place it (RFC 3515). Pure. It is a claim of the sender's, told in the
 * log; nothing is opened for it.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { referTarget, requestReplaces } from "../../protocol/sip/replaces.ts";
import { type DialogPlace, type DialogTable, receiverOf } from "./dialog-table.ts";
import { aorOfUri, type Origin } from "./gatekeeper.ts";
import { whomOf } from "./new-call.ts";
import type { Whom } from "./next-hops.ts";
import { parsed } from "./verdict.ts";

/** How long somebody who was asked to call may take. */
export const REFERRED_MS = 60_000;
/** Such requests remembered; the oldest is forgotten first. */
export const MAX_REFERRED = 1_000;

interface Referred {
  readonly recording: string;
  readonly until: Millis;
}

export interface LinkSource {
  readonly dialogs: DialogTable;
  /** The recording of a call, if it has one. */
  readonly recordingOf: (call: string | undefined) => string | undefined;
}

export class CallLinks {
  readonly #source: LinkSource;
  readonly #referred = new Map<string, Referred>();

  constructor(source: LinkSource) {
    this.#source = source;
  }

  /** A request of a dialog passes: REFER asks the other party to call somebody. */
  note(request: SipRequest, place: DialogPlace, now: Millis): void {
    if (request.method !== "REFER") return;
    const recording = this.#source.recordingOf(place.set.call);
    const target = parsed(() => referTarget(request));
    const receiver = receiverOf(place);
    if (recording === undefined || receiver === undefined || !target.ok) return;
    if (target.value === undefined) return;
    const key = keyOf(receiver.whom, target.value.uri);
    this.#referred.delete(key);
    this.#referred.set(key, { recording, until: now + REFERRED_MS });
    const [oldest] = this.#referred.keys();
    if (this.#referred.size > MAX_REFERRED && oldest !== undefined) this.#referred.delete(oldest);
  }

  /** The recording that a new call is linked to. */
  linkOf(invite: SipRequest, origin: Origin, now: Millis): string | undefined {
    return this.#ofReplaced(invite) ?? this.#ofReferrer(invite, origin, now);
  }

  #ofReplaced(invite: SipRequest): string | undefined {
    const replaces = parsed(() => requestReplaces(invite));
    if (!replaces.ok || replaces.value === undefined) return undefined;
    const { callId, toTag, fromTag } = replaces.value;
    const set = this.#source.dialogs.ofTags(callId, toTag, fromTag);
    return this.#source.recordingOf(set?.call);
  }

  #ofReferrer({ uri }: SipRequest, origin: Origin, now: Millis): string | undefined {
    if (this.#referred.size === 0) return undefined;
    const key = keyOf(whomOf(origin), uri);
    const referred = this.#referred.get(key);
    if (referred === undefined) return undefined;
    this.#referred.delete(key);
    return referred.until > now ? referred.recording : undefined;
  }
}

const keyOf = ({ aor, trunk }: Whom, uri: string): string =>
  `${aor ?? trunk?.domain ?? ""} ${aorOfUri(uri) ?? uri}`;
