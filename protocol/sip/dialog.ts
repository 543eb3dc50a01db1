/**
 * Dialogs: what two devices remember of each other between requests (RFC 3261 §12). Pure: each
 * step returns the next value.
 */
import { ProtocolError } from "../errors.ts";
import { createRequest } from "./create-request.ts";
import { messageCSeq } from "./cseq.ts";
import { withParam } from "./grammar.ts";
import {
  firstValue,
  headerValue,
  headerValues,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "./message.ts";
import { messageAddress, messageTag, type NameAddr, parseNameAddr } from "./name-addr.ts";
import { parseSipUri, uriParam } from "./uri.ts";
import type { Via } from "./via.ts";

export interface Dialog {
  readonly side: "caller" | "callee";
  readonly state: "early" | "confirmed";
  readonly callId: string;
  /** From of our requests, with our tag. */
  readonly local: NameAddr;
  /** To of our requests, with the peer's tag; RFC 2543 peers have none. */
  readonly remote: NameAddr;
  readonly localTag: string;
  readonly remoteTag: string | undefined;
  /** The number of our last request. */
  readonly localCSeq: number;
  /** The number of the peer's last request, once there was one. */
  readonly remoteCSeq: number | undefined;
  /** The peer's Contact. */
  readonly remoteTarget: string;
  /** Route values in the order our requests carry them. */
  readonly routeSet: readonly string[];
}

/**
 * The dialog as the caller sees it, from his request and a 101-299 response with a To tag.
 * @throws ProtocolError `ERR_SIP_SYNTAX` without tags or Contact.
 */
export function dialogOfCaller(request: SipRequest, response: SipResponse): Dialog {
  return {
    side: "caller",
    state: response.status < 200 ? "early" : "confirmed",
    callId: callIdOf(request),
    local: messageAddress(request, "From"),
    remote: messageAddress(response, "To"),
    localTag: tagOf(request, "From"),
    remoteTag: tagOf(response, "To"),
    localCSeq: messageCSeq(request).number,
    remoteCSeq: undefined,
    remoteTarget: contactOf(response),
    routeSet: headerValues(response, "Record-Route").toReversed(),
  };
}

/**
 * The dialog as the callee sees it, from the request and the response he gives to it.
 * @throws ProtocolError `ERR_SIP_SYNTAX` without Contact in the request or To tag in the response.
 */
export function dialogOfCallee(request: SipRequest, response: SipResponse): Dialog {
  return {
    side: "callee",
    state: response.status < 200 ? "early" : "confirmed",
    callId: callIdOf(request),
    local: messageAddress(response, "To"),
    remote: messageAddress(request, "From"),
    localTag: tagOf(response, "To"),
    remoteTag: messageTag(request, "From"),
    localCSeq: 0,
    remoteCSeq: messageCSeq(request).number,
    remoteTarget: contactOf(request),
    routeSet: headerValues(request, "Record-Route"),
  };
}

export interface InDialogParts {
  readonly method: string;
  readonly via: Via;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
}

/** The next request inside a dialog and the dialog after it (§12.2.1.1). Not for ACK and CANCEL. */
export function requestInDialog(
  dialog: Dialog,
  parts: InDialogParts,
): { readonly dialog: Dialog; readonly request: SipRequest } {
  const localCSeq = dialog.localCSeq + 1;
  const next = { ...dialog, localCSeq };
  return { dialog: next, request: createInDialog(next, parts, localCSeq) };
}

/** The ACK of a 2xx, with the number of its INVITE: a request of its own (§13.2.2.4). */
export const ackInDialog = (
  dialog: Dialog,
  inviteCSeq: number,
  parts: Omit<InDialogParts, "method">,
): SipRequest => createInDialog(dialog, { ...parts, method: "ACK" }, inviteCSeq);

function createInDialog(dialog: Dialog, parts: InDialogParts, cseq: number): SipRequest {
  return createRequest({
    ...parts,
    ...requestLine(dialog),
    from: dialog.local,
    to: dialog.remote,
    callId: dialog.callId,
    cseq,
  });
}

/** A first hop without `lr` is a strict router and wants to be the Request-URI (§12.2.1.1). */
function requestLine(dialog: Dialog): { uri: string; route: readonly string[] } {
  const [first, ...others] = dialog.routeSet;
  if (first === undefined) return { uri: dialog.remoteTarget, route: [] };
  const { uri } = parseNameAddr(first);
  if (uriParam(parseSipUri(uri), "lr") !== undefined)
    return { uri: dialog.remoteTarget, route: dialog.routeSet };
  return { uri, route: [...others, `<${dialog.remoteTarget}>`] };
}

/** RFC 3261 §12.2, RFC 3311 §5.1, RFC 6665 §4.1.2.2 and §4.2.2. */
const TARGET_REFRESHES: ReadonlySet<string> = new Set(["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY"]);

export type InDialogVerdict =
  | { readonly kind: "accepted"; readonly dialog: Dialog }
  /** 500: an old number came again (§12.2.2). */
  | { readonly kind: "refused"; readonly status: 500 };

/** Takes a request of the peer inside the dialog; a target refresh moves the remote target. */
export function receiveInDialog(dialog: Dialog, request: SipRequest): InDialogVerdict {
  const { number } = messageCSeq(request);
  if (request.method === "ACK") return { kind: "accepted", dialog };
  if (dialog.remoteCSeq !== undefined && number <= dialog.remoteCSeq)
    return { kind: "refused", status: 500 };
  const target = TARGET_REFRESHES.has(request.method) ? firstValue(request, "Contact") : undefined;
  const remoteTarget = target === undefined ? dialog.remoteTarget : parseNameAddr(target).uri;
  return { kind: "accepted", dialog: { ...dialog, remoteCSeq: number, remoteTarget } };
}

/** The caller's dialog after a further response to the INVITE that made it (§12.1.2, §13.2.2.4). */
export function advanceDialog(dialog: Dialog, response: SipResponse): Dialog {
  const contact = firstValue(response, "Contact");
  const remoteTarget = contact === undefined ? dialog.remoteTarget : parseNameAddr(contact).uri;
  if (response.status < 200 || dialog.state === "confirmed") return { ...dialog, remoteTarget };
  const routeSet = headerValues(response, "Record-Route").toReversed();
  return { ...dialog, state: "confirmed", remoteTarget, routeSet };
}

/** True for a request that the peer sent, or a response to one we sent, inside this dialog. */
export function isInDialog(dialog: Dialog, message: SipMessage): boolean {
  const [ours, theirs] =
    message.kind === "request" ? (["To", "From"] as const) : (["From", "To"] as const);
  return (
    headerValue(message, "Call-ID") === dialog.callId &&
    messageTag(message, ours) === dialog.localTag &&
    messageTag(message, theirs) === dialog.remoteTag
  );
}

/** An address with a tag: From of a first request, To of a response. */
export const withTag = (address: NameAddr, tag: string): NameAddr => ({
  ...address,
  params: withParam(address.params, "tag", tag),
});

function callIdOf(message: SipMessage): string {
  return required(headerValue(message, "Call-ID"), "Call-ID");
}

function tagOf(message: SipMessage, field: "From" | "To"): string {
  return required(messageTag(message, field), `tag of ${field}`);
}

function contactOf(message: SipMessage): string {
  return parseNameAddr(required(firstValue(message, "Contact"), "Contact")).uri;
}

function required(value: string | undefined, what: string): string {
  if (value === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", `${what} is missing`);
  return value;
}
