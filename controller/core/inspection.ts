/**
 * What opening a sealed body yielded, and the judgement on it: the signer must be who the headers
 * say, the signed headers those received, the media allowed (draft-ietf-sip-e2m-sec-06 §4.1, §5.3;
 * RFC 3261 §23.4). Check, verify, commit: nothing here changes state but the memory of bodies seen.
 * Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { ProtocolErrorCode } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseSdp } from "../../protocol/sdp/parse-sdp.ts";
import type { SessionDescription } from "../../protocol/sdp/session-description.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { type SignedHeader, signedHeadersFault } from "../../protocol/sip/signed-headers.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import {
  type AnsweredStream,
  grantAnswer,
  grantOffer,
  type MediaPolicy,
  type OfferedStream,
} from "./media-policy.ts";
import type { SeenBodies } from "./seen-bodies.ts";
import { parsed, type RequestVerdict, verdictOfFault } from "./verdict.ts";

/** An opened body whose signature verified. */
export interface OpenedBody {
  /** URIs that the signer's certificate speaks for. */
  readonly signer: readonly string[];
  readonly sipfrag: readonly SignedHeader[];
  readonly sdp: Buffer;
}

const HEADER_VERDICTS = { differ: "headers-differ", stale: "date" } as const;

export type OfferInspection =
  | { readonly kind: "opened"; readonly body: OpenedBody; readonly firstKey: FirstKey }
  | { readonly kind: "failed"; readonly code: ProtocolErrorCode };

export type AnswerInspection =
  | { readonly kind: "opened"; readonly body: OpenedBody }
  | { readonly kind: "failed"; readonly code: ProtocolErrorCode };

/** What an opened offer leaves for the answer to be judged by. */
export interface Offer {
  readonly firstKey: FirstKey;
  readonly streams: readonly OfferedStream[];
  readonly mediaCount: number;
  /** Address of record of To, the only one who may answer; undefined: not a SIP one. */
  readonly callee: string | undefined;
}

export type Judgement<T> =
  | { readonly kind: "granted"; readonly value: T }
  | { readonly kind: "refused"; readonly verdict: RequestVerdict };

/** Everything else that an offer is judged by. */
export interface OfferContext {
  readonly request: SipRequest;
  /** Canonical addresses that the caller proved to be his. */
  readonly ownAddresses: readonly string[];
  readonly policy: MediaPolicy;
  readonly seen: SeenBodies;
}

/** Judges an inspected offer. */
export function judgeOffer(
  inspection: OfferInspection,
  { request, ownAddresses, policy, seen }: OfferContext,
  now: Millis,
): Judgement<Offer> {
  if (inspection.kind === "failed") return refused(verdictOfFault(inspection.code));
  const { body, firstKey } = inspection;
  const fault = senderFault(request, "From", body, now);
  if (fault !== undefined) return refused(fault);
  if (!seen.claim(request.body, now)) return refused("replayed");
  const sdp = description(body.sdp);
  if (sdp === undefined) return refused("sdp");
  const granted = grantOffer(sdp, ownAddresses, policy);
  if (granted.kind === "refused") return refused(granted.verdict);
  return {
    kind: "granted",
    value: {
      firstKey,
      streams: granted.streams,
      mediaCount: sdp.media.length,
      callee: aorOf(messageAddress(request, "To").uri),
    },
  };
}

/** Judges an inspected answer against its offer. */
export function judgeAnswer(
  inspection: AnswerInspection,
  { response, offer, policy }: { response: SipResponse; offer: Offer; policy: MediaPolicy },
  now: Millis,
): Judgement<readonly AnsweredStream[]> {
  if (inspection.kind === "failed") return refused(verdictOfFault(inspection.code));
  // The next hop can write another To; who was called is in the request (RFC 3261 §8.2.6.2).
  if (aorOf(messageAddress(response, "To").uri) !== offer.callee) return refused("signer");
  const fault = senderFault(response, "To", inspection.body, now);
  if (fault !== undefined) return refused(fault);
  const sdp = description(inspection.body.sdp);
  if (sdp === undefined) return refused("sdp");
  const granted = grantAnswer(offer.streams, offer.mediaCount, sdp, policy);
  return granted.kind === "refused"
    ? refused(granted.verdict)
    : { kind: "granted", value: granted.streams };
}

const refused = (verdict: RequestVerdict) => ({ kind: "refused", verdict }) as const;

/** The signer must be the party that the message names as its sender, in all that was signed. */
function senderFault(
  message: SipMessage,
  field: "From" | "To",
  { signer, sipfrag }: OpenedBody,
  now: Millis,
): RequestVerdict | undefined {
  const sender = aorOf(messageAddress(message, field).uri);
  const signed = signer.map(aorOf).some((aor) => aor !== undefined && aor === sender);
  if (!signed) return "signer";
  const fault = signedHeadersFault(message, sipfrag, now);
  return fault === undefined ? undefined : HEADER_VERDICTS[fault];
}

function aorOf(uri: string): string | undefined {
  const aor = parsed(() => addressOfRecord(uri));
  return aor.ok ? aor.value : undefined;
}

function description(octets: Buffer): SessionDescription | undefined {
  const sdp = parsed(() => parseSdp(octets));
  return sdp.ok ? sdp.value : undefined;
}
