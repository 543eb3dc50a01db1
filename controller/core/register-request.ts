/**
 * A REGISTER, read: whose bindings, which contacts, for how long (RFC 3261 §10.3, RFC 3327 §5.3,
 * RFC 5626 §6). Pure; nothing is decided here that needs more than the request.
 */
import { ProtocolError } from "../../protocol/errors.ts";
import { messageCSeq } from "../../protocol/sip/cseq.ts";
import { findParam, type Param, unquote } from "../../protocol/sip/grammar.ts";
import { headerValue, headerValues, type SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress, parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { addressOfRecord, parseSipUri, uriParam, uriScheme } from "../../protocol/sip/uri.ts";

export interface RequestedContact {
  /** As it came. */
  readonly uri: string;
  /** `expires` and `q` apart. */
  readonly params: readonly Param[];
  readonly q: number;
  /** Undefined when the request leaves it to us. */
  readonly expiresS: number | undefined;
  readonly instance?: string;
  /** Only beside an instance: alone it means nothing (RFC 5626 §6). */
  readonly regId?: number;
}

export type RequestedContacts =
  /** No Contact: asks what there is. */
  | { readonly kind: "fetch" }
  /** `Contact: *`: all go. */
  | { readonly kind: "remove-all" }
  | { readonly kind: "listed"; readonly contacts: readonly RequestedContact[] };

export interface RegisterRequest {
  /** Of To, scheme `sip`: `sips:alice@x` and `sip:alice@x` are one user (RFC 5630 §3.3). */
  readonly aor: string;
  readonly callId: string;
  readonly cseq: number;
  readonly contacts: RequestedContacts;
  /** Values of Path, topmost first. */
  readonly path: readonly string[];
  /** Option tags of Require, lower case. */
  readonly required: readonly string[];
  /** Option tags of Supported and Require, lower case. */
  readonly supported: ReadonlySet<string>;
  /** No proxy stands before us: the phone's own Via is the only one. */
  readonly direct: boolean;
  /** The first proxy behind the phone can tell its flows apart (`ob`), or there is none. */
  readonly firstHopKnowsOutbound: boolean;
}

/** What a value of Expires that is no number means (RFC 3261 §10.2.1.1). */
const MALFORMED_EXPIRES_S = 3600;
/** RFC 5626 §4.2: reg-id is 1 to 2^31 - 1. */
const MAX_REG_ID = 2 ** 31 - 1;

/** @throws ProtocolError `ERR_SIP_SYNTAX` */
export function parseRegister(request: SipRequest): RegisterRequest {
  const path = headerValues(request, "Path");
  const direct = headerValues(request, "Via").length === 1;
  const required = lower(headerValues(request, "Require"));
  const callId = headerValue(request, "Call-ID");
  if (callId === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", "Call-ID is missing");
  const hops = path.map((value) => parseSipUri(parseNameAddr(value).uri));
  const nearest = hops.at(-1);
  return {
    aor: addressOfRecord(messageAddress(request, "To").uri).replace(/^sips:/, "sip:"),
    callId,
    cseq: messageCSeq(request).number,
    contacts: parseContacts(request),
    path,
    required,
    supported: new Set([...lower(headerValues(request, "Supported")), ...required]),
    direct,
    firstHopKnowsOutbound:
      direct || (nearest !== undefined && uriParam(nearest, "ob") !== undefined),
  };
}

function parseContacts(request: SipRequest): RequestedContacts {
  const values = headerValues(request, "Contact");
  const expires = headerValue(request, "Expires");
  if (values.length === 0) return { kind: "fetch" };
  if (values.includes("*")) {
    if (values.length > 1 || expires === undefined || !/^0+$/.test(expires))
      throw new ProtocolError("ERR_SIP_SYNTAX", "Contact * beside others, or without Expires: 0");
    return { kind: "remove-all" };
  }
  return { kind: "listed", contacts: values.map((value) => parseContact(value, expires)) };
}

function parseContact(value: string, expires: string | undefined): RequestedContact {
  const { uri, params } = parseNameAddr(value);
  const get = (name: string): string | undefined => findParam(params, name)?.value;
  const instance = unquote(get("+sip.instance") ?? "");
  const regId = get("reg-id");
  const expiresS = parseExpires(get("expires") ?? expires);
  const isOwn = ({ name }: Param) => !["q", "expires"].includes(name.toLowerCase());
  const named = instance === "" ? {} : { instance, ...(regId === undefined ? {} : flowOf(regId)) };
  return { uri, params: params.filter(isOwn), q: parseQ(get("q")), expiresS, ...named };
}

function flowOf(text: string): { readonly regId: number } {
  const regId = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (regId < 1 || regId > MAX_REG_ID) throw new ProtocolError("ERR_SIP_SYNTAX", "reg-id");
  return { regId };
}

function parseExpires(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^\d{1,10}$/.test(text) ? Number(text) : MALFORMED_EXPIRES_S;
}

function parseQ(text: string | undefined): number {
  if (text === undefined) return 1;
  if (!/^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text))
    throw new ProtocolError("ERR_SIP_SYNTAX", "q of a Contact");
  return Number(text);
}

const lower = (texts: readonly string[]): string[] => texts.map((text) => text.toLowerCase());

/** True for a Contact that is a SIP or SIPS URI: nothing else can be forked to. */
export function isSipContact({ uri }: Pick<RequestedContact, "uri">): boolean {
  return ["sip", "sips"].includes(uriScheme(uri));
}
