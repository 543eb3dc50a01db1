/**
 * The SIP messages of a call as this phone writes them (RFC 3261 §13, draft-ietf-sip-e2m-sec-06
 * §5). Pure.
 */
import { createHash } from "node:crypto";
import type { Millis } from "../../protocol/machine.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { messageCSeq } from "../../protocol/sip/cseq.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import { serializeInspectionLabel } from "../../protocol/sip/inspection-label.ts";
import {
  appendHeader,
  headerRows,
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { parseSipUri, serializeSipUri } from "../../protocol/sip/uri.ts";
import type { Via } from "../../protocol/sip/via.ts";
import type { CallParty } from "./call.ts";

export const ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS";
export const ACCEPT = "application/pkcs7-mime, application/sdp";
const TAG_BYTES = 8;
const ID_BYTES = 12;

/** A body on its way into a message. */
export interface Sealed {
  readonly body: Buffer;
  readonly contentType: string;
}

export const newTag = ({ random }: CallParty): string => random(TAG_BYTES).toString("hex");

/** The Via of our next request. */
export const newVia = ({ transport, host, port, random }: CallParty): Via =>
  ownVia(transport, host, port, newBranch(random));

/** The INVITE, all but its body. Date and Contact are there to be signed. */
export function createInvite(party: CallParty, target: string, now: Millis): SipRequest {
  return createRequest({
    method: "INVITE",
    uri: target,
    via: newVia(party),
    from: { uri: party.aor, params: [{ name: "tag", value: newTag(party) }] },
    to: { uri: target, params: [] },
    callId: party.random(ID_BYTES).toString("hex"),
    cseq: 1,
    headers: [...dialogHeaders(party, now), ["Accept", ACCEPT]],
  });
}

/** The INVITE once more, after a challenge: of the same call, and the next in its order (RFC 3261 §22.2). */
export function repeatInvite(party: CallParty, invite: SipRequest, now: Millis): SipRequest {
  const { number } = messageCSeq(invite);
  return createRequest({
    method: "INVITE",
    uri: invite.uri,
    via: newVia(party),
    from: messageAddress(invite, "From"),
    to: messageAddress(invite, "To"),
    callId: headerValue(invite, "Call-ID") ?? "",
    cseq: number + 1,
    headers: [...dialogHeaders(party, now), ["Accept", ACCEPT]],
  });
}

/** With the credentials of another request: an ACK has those of its INVITE (RFC 3261 §22.1). */
export const withCredentialsOf = (message: SipRequest, other: SipRequest): SipRequest =>
  withRows(
    message,
    ["Authorization", "Proxy-Authorization"].flatMap((name) =>
      headerRows(other, name).map(({ value }) => [name, value] as const),
    ),
  );

/** The 200 to an INVITE, all but its body. */
export const createAnswer = (
  party: CallParty,
  invite: SipRequest,
  toTag: string,
  now: Millis,
): SipResponse => createResponse(invite, 200, { toTag, headers: dialogHeaders(party, now) });

/** 180, by which the caller hears it ring (RFC 3261 §13.3.1.1). */
export const createRinging = (party: CallParty, invite: SipRequest, toTag: string): SipResponse =>
  createResponse(invite, 180, { toTag, headers: [["Contact", contactOf(party)]] });

/** Puts a sealed body in, with the label that asks `hosts` to look at it. */
export function withSealedBody<M extends SipMessage>(
  message: M,
  { body, contentType }: Sealed,
  hosts: readonly string[],
  party: CallParty,
): M {
  const cid = `${party.random(ID_BYTES).toString("hex")}@${parseSipUri(party.aor).host}`;
  const rows: readonly (readonly [string, string])[] = [
    ...hosts.map((host) => labelRow(host, cid)),
    ["Content-Type", contentType],
    ["Content-Disposition", "session;handling=required"],
    ["Content-ID", `<${cid}>`],
  ];
  return { ...withRows(message, rows), body };
}

/** Puts a description in as it is. */
export const withPlainBody = <M extends SipMessage>(message: M, sdp: Buffer): M => ({
  ...withRows(message, [
    ["Content-Type", "application/sdp"],
    ["Content-Disposition", "session;handling=required"],
  ]),
  body: sdp,
});

/** What a body is, by its Content-Type. */
export function bodyKind(message: SipMessage): "sealed" | "plain" | "none" | "unknown" {
  const contentType = headerValue(message, "Content-Type") ?? "";
  const encoding = headerValue(message, "Content-Encoding") ?? "identity";
  if (message.body.length === 0) return "none";
  if (encoding.toLowerCase() !== "identity") return "unknown";
  if (/^application\/(?:x-)?pkcs7-mime(?:\s*;|\s*$)/i.test(contentType)) return "sealed";
  return /^application\/sdp(?:\s*;|\s*$)/i.test(contentType) ? "plain" : "unknown";
}

/** SHA-256 of a body, in hex, to show that it came as it was sent. */
export const bodySha256 = ({ body }: SipMessage): string =>
  createHash("sha256").update(body).digest("hex");

const labelRow = (host: string, cid: string): readonly [string, string] => [
  "Proxy-Inspect-Body",
  serializeInspectionLabel({ host, cids: [cid] }),
];

const dialogHeaders = (party: CallParty, now: Millis): readonly (readonly [string, string])[] => [
  ["Contact", contactOf(party)],
  ["Date", serializeSipDate(now)],
  ["Allow", ALLOW],
  ["Supported", ""], // no extension (RFC 3261 §20.37)
];

function contactOf({ aor, transport, host, port }: CallParty): string {
  const { user } = parseSipUri(aor);
  const params = [{ name: "transport", value: transport }];
  const uri = { scheme: "sip" as const, host, port, params };
  return `<${serializeSipUri(user === undefined ? uri : { ...uri, user })}>`;
}

const withRows = <M extends SipMessage>(
  message: M,
  rows: readonly (readonly [name: string, value: string])[],
): M => rows.reduce((made, [name, value]) => appendHeader(made, name, value), message);
