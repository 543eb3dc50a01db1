/**
 * From a Contact that a REGISTER asks for to a binding, and back to a Contact of the 200
 * (RFC 3261 §10.3 items 6-8, RFC 5626 §6). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { isForbiddenMediaAddress, parseAddress } from "../../protocol/net/address.ts";
import type { FlowId, Peer } from "../../protocol/sip/flow.ts";
import { parseNameAddr, serializeNameAddr } from "../../protocol/sip/name-addr.ts";
import { parseSipUri, type SipUri, uriParam } from "../../protocol/sip/uri.ts";
import type { Binding, BindingCertificate } from "./bindings.ts";
import { isSameUri } from "./contact-uri.ts";
import { isSipContact, type RegisterRequest, type RequestedContact } from "./register-request.ts";
import { canonicalAddress } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

/** A contact with the time that it gets, and a reg-id only where outbound applies. */
export type SettledContact = RequestedContact & { readonly expiresS: number };

/** What names a contact among its user's bindings. */
export const keyOf = ({ uri, instance, regId }: RequestedContact): string =>
  regId === undefined ? uri : `${regId} ${instance}`;

/** True for the binding that a contact refreshes, replaces or takes away. */
export function isBindingOf(binding: Binding, contact: SettledContact): boolean {
  if (contact.regId !== undefined || binding.regId !== undefined)
    return binding.key === keyOf(contact);
  if (!isSipContact(contact)) return binding.contact === contact.uri;
  return isSameUri(parseSipUri(binding.contact), parseSipUri(contact.uri));
}

/** True for a REGISTER overtaken by a later one of the same phone (RFC 3261 §10.3 items 6-7). */
export const isOutOfOrder = (binding: Binding, { callId, cseq }: RegisterRequest): boolean =>
  binding.callId === callId && cseq <= binding.cseq;

/** False for a contact that is no SIP URI, or that leads where no phone is, by its Path or itself. */
export function mayBind(
  contact: SettledContact,
  path: readonly string[],
  peer: Peer,
  isOwn: (uri: SipUri) => boolean,
): boolean {
  const hops = [contact.uri, ...path.slice(0, 1).map((value) => parseNameAddr(value).uri)];
  return isSipContact(contact) && hops.every((hop) => mayLeadTo(hop, peer, isOwn));
}

/**
 * False for what would come back to ourselves, or can be no phone's nor proxy's address; loopback
 * is one only for a phone on this machine.
 */
function mayLeadTo(text: string, peer: Peer, isOwn: (uri: SipUri) => boolean): boolean {
  const uri = parseSipUri(text);
  if (isOwn(uri)) return false;
  const host = (uriParam(uri, "maddr") ?? uri.host).replace(/^\[(.*)\]$/, "$1");
  if (isLoopback(host)) return isLoopback(peer.address);
  const address = parsed(() => parseAddress(host));
  return !address.ok || !isForbiddenMediaAddress(address.value);
}

function isLoopback(host: string): boolean {
  return /^(?:127\.[\d.]+|::1|(?:.*\.)?localhost\.?)$/i.test(canonicalAddress(host));
}

/** How much of the request would be kept for the contact. */
export const contactBytes = (
  { uri, params }: SettledContact,
  { callId, path }: RegisterRequest,
): number =>
  [uri, callId, ...path, ...params.flatMap(({ name, value }) => [name, value ?? ""])].join("")
    .length;

export function newBinding(
  contact: SettledContact,
  made: {
    readonly register: RegisterRequest;
    readonly peer: Peer;
    readonly flow: FlowId;
    readonly now: Millis;
    readonly certificate?: BindingCertificate;
    readonly hidden?: boolean;
  },
): Binding {
  const { aor, callId, cseq, path, direct } = made.register;
  const { peer, flow, now, certificate, hidden = false } = made;
  const { uri, params, q, expiresS, instance, regId } = contact;
  const address = canonicalAddress(peer.address);
  return {
    ...{ aor, key: keyOf(contact), contact: uri, params, q, callId, cseq, path, direct },
    expiresAt: now + expiresS * 1000,
    ...(instance === undefined ? {} : { instance }),
    ...(regId === undefined ? {} : { regId }),
    ...(direct ? { flow } : {}),
    received: { transport: peer.transport, address, port: peer.port },
    addresses: direct ? [address] : [],
    updatedAt: now,
    ...(certificate === undefined ? {} : { certificate }),
    ...(hidden ? { hidden } : {}),
  };
}

/** A binding as the 200 lists it: with the seconds that it has left. */
export function contactValue({ contact, params, q, expiresAt }: Binding, now: Millis): string {
  const left = Math.max(1, Math.floor((expiresAt - now) / 1000));
  const rank = q === 1 ? [] : [{ name: "q", value: String(q) }];
  const expires = { name: "expires", value: String(left) };
  return serializeNameAddr({ uri: contact, params: [...params, ...rank, expires] });
}
