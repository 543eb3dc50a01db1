/**
 * The judgement on a session description, sealed or clear: of a sealed one the signer must be who
 * the headers say and the signed headers those received (draft-ietf-sip-e2m-sec-06 §4.1, §5.3;
 * RFC 3261 §23.4); of both the media must be allowed. Check, verify, commit: nothing here changes
 * state but the memory of bodies seen. Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseSdp } from "../../protocol/sdp/parse-sdp.ts";
import type { SessionDescription } from "../../protocol/sdp/session-description.ts";
import type { SipMessage } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { signedHeadersFault } from "../../protocol/sip/signed-headers.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { type Agreement, agreementOf, type Offer, secretsOf } from "./agreement.ts";
import type { CallRules, OpenedBody } from "./call-port.ts";
import type { MediaEnd } from "./media-end.ts";
import { grantAnswer, grantOffer, type MediaPolicy } from "./media-policy.ts";
import type { Side } from "./party.ts";
import { parsed, type RequestVerdict, type Verdict } from "./verdict.ts";

/** A description as it can be read now. */
export type Content =
  | { readonly kind: "clear"; readonly sdp: Buffer | undefined }
  | { readonly kind: "opened"; readonly body: OpenedBody; readonly firstKey?: FirstKey };

export type Judgement<T, V extends Verdict = RequestVerdict> =
  | { readonly kind: "granted"; readonly value: T }
  | { readonly kind: "refused"; readonly verdict: V };

/** Addresses of record of the two parties, by the INVITE; undefined: not a SIP one. */
export type Names = Readonly<Record<Side, string | undefined>>;

export interface JudgeContext {
  readonly message: SipMessage;
  /** Who sent it. */
  readonly by: Side;
  readonly names: Names;
  readonly rules: CallRules & { readonly policy: MediaPolicy };
  /** Where a stream of the sender's was until now. */
  readonly before?: (index: number) => MediaEnd | undefined;
}

/**
 * Judges an offer; one that was opened with a key known before brings no new one. A call may begin on
 * hold (RFC 3725), yet not a sealed one: nobody seals what asks for nothing.
 */
export function judgeOffer(content: Content, context: JudgeContext, now: Millis): Judgement<Offer> {
  const { message, by, rules } = context;
  const sealed = content.kind === "opened";
  const fault = sealed ? senderFault(context, content.body, now) : clearFault(rules);
  if (fault !== undefined) return refused(fault);
  const isReplayed = sealed && message.kind === "request" && !rules.seen.claim(message.body, now);
  if (isReplayed) return refused("replayed");
  const sdp = description(content);
  if (sdp === undefined) return refused("sdp");
  const granted = grantOffer(sdp, grantContext(context));
  if (granted.kind === "refused") {
    wipeAll(sdp);
    return refused(granted.verdict);
  }
  const isNowhere = granted.value.streams.some(({ offerer }) => offerer === undefined);
  if (sealed && context.before === undefined && isNowhere) {
    wipeAll(sdp);
    return refused("media-address");
  }
  const firstKey = sealed && content.firstKey !== undefined ? { firstKey: content.firstKey } : {};
  const secrets = secretsOf(sdp.media);
  return { kind: "granted", value: { by, sealed, media: granted.value, ...firstKey, secrets } };
}

/** Judges an answer against its offer. */
export function judgeAnswer(
  content: Content,
  offer: Offer,
  context: JudgeContext,
  now: Millis,
): Judgement<Agreement> {
  if (content.kind === "opened") {
    const fault = senderFault(context, content.body, now);
    if (fault !== undefined) return refused(fault);
  }
  const sdp = description(content);
  if (sdp === undefined) return refused("sdp");
  const granted = grantAnswer(offer.media, sdp, grantContext(context));
  if (granted.kind === "refused") {
    wipeAll(sdp);
    return refused(granted.verdict);
  }
  const keys = secretsOf(sdp.media);
  return { kind: "granted", value: agreementOf(offer, granted.value, keys) };
}

/** The address of record that a URI means; undefined: it is not a SIP one. */
export function aorOf(uri: string): string | undefined {
  const aor = parsed(() => addressOfRecord(uri));
  return aor.ok ? aor.value : undefined;
}

const refused = (verdict: RequestVerdict) => ({ kind: "refused", verdict }) as const;

function grantContext({ by, rules, before }: JudgeContext) {
  const { parties, policy } = rules;
  return { party: parties[by], policy, ...(before === undefined ? {} : { before }) };
}

const clearFault = ({ parties, emergency }: CallRules): RequestVerdict | undefined =>
  !emergency && (parties.caller.requireSealed || parties.callee.requireSealed)
    ? "sealing-required"
    : undefined;

/**
 * The signer must be the party that the message names as its sender, in all that was signed. The
 * next hop can write another To into a response: who was called is in the INVITE.
 */
function senderFault(
  { message, by, names }: JudgeContext,
  { signer, sipfrag }: OpenedBody,
  now: Millis,
): RequestVerdict | undefined {
  const field = message.kind === "request" ? "From" : "To";
  const sender = aorOf(messageAddress(message, field).uri);
  if (sender === undefined || sender !== names[by]) return "signer";
  if (!signer.map(aorOf).includes(sender)) return "signer";
  const fault = signedHeadersFault(message, sipfrag, now);
  return fault === undefined ? undefined : HEADER_VERDICTS[fault];
}

const HEADER_VERDICTS = { differ: "headers-differ", stale: "date" } as const;

function description(content: Content): SessionDescription | undefined {
  const octets = content.kind === "opened" ? content.body.sdp : content.sdp;
  if (octets === undefined) return undefined;
  const sdp = parsed(() => parseSdp(octets));
  return sdp.ok ? sdp.value : undefined;
}

function wipeAll({ media }: SessionDescription): void {
  for (const secret of secretsOf(media)) secret.wipe();
}
