/**
 * REGISTER as this phone writes it: the rows outside, and the rows that are sealed (RFC 3261
 * §10.2, RFC 5626 §4.2). Pure.
 *
 * ```text
 *            outside                                    sealed
 * open       From To Call-ID CSeq Date Contact Expires   the same
 *            Authorization
 * private    From To Call-ID CSeq Date                   the same, Contact, Expires, Authorization
 * ```
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { Millis } from "../../protocol/machine.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import { quote } from "../../protocol/sip/grammar.ts";
import { serializeInspectionLabel } from "../../protocol/sip/inspection-label.ts";
import {
  appendHeader,
  headerRows,
  type SipRequest,
  withBody,
  withoutHeader,
} from "../../protocol/sip/message.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import type { OwnContact, RegistrationSetting } from "./registration-port.ts";

/** What changes from one REGISTER to the next. */
export interface RegisterStep {
  readonly callId: string;
  readonly cseq: number;
  readonly contact: OwnContact;
  /** 0 takes it away. */
  readonly expiresS: number;
}

const TAG_BYTES = 8;
const ID_BYTES = 12;
const SEALED_ROWS = ["From", "To", "Call-ID", "CSeq", "Date", "Contact", "Expires"] as const;

/** The REGISTER with all that is to be sealed still outside, and no body. */
export function createRegister(
  setting: RegistrationSetting,
  step: RegisterStep,
  now: Millis,
): SipRequest {
  const { aor, transport, random, profile } = setting;
  const { contact, callId, cseq, expiresS } = step;
  const outbound = contact.isFlow && profile === "open" ? "path, outbound" : "";
  return createRequest({
    method: "REGISTER",
    uri: `sip:${parseSipUri(aor).host}`,
    via: ownVia(transport, contact.host, contact.port, newBranch(random)),
    from: { uri: aor, params: [{ name: "tag", value: random(TAG_BYTES).toString("hex") }] },
    to: { uri: aor, params: [] },
    callId,
    cseq,
    headers: [
      ["Contact", contactValue(setting, contact)],
      ["Expires", String(expiresS)],
      ["Date", serializeSipDate(now)],
      ["Supported", outbound],
    ],
  });
}

/** The rows that go into the sealed body. */
export function sealedRows(
  register: SipRequest,
  { profile }: Pick<RegistrationSetting, "profile">,
): SipfragRows {
  const names = profile === "private" ? [...SEALED_ROWS, "Authorization"] : SEALED_ROWS;
  return names.flatMap((name) =>
    headerRows(register, name).map(({ value }) => [name, value] as const),
  );
}

/** The REGISTER as it goes out, but for credentials in the open. */
export function withSealedRows(
  register: SipRequest,
  sealed: { readonly body: Buffer; readonly contentType: string },
  { profile, controllerHost, aor, random }: RegistrationSetting,
): SipRequest {
  const hidden = profile === "private" ? ["Contact", "Expires", "Authorization"] : [];
  const outside = hidden.reduce((message, name) => withoutHeader(message, name), register);
  const cid = `${random(ID_BYTES).toString("hex")}@${parseSipUri(aor).host}`;
  const rows = [
    ["Proxy-Inspect-Body", serializeInspectionLabel({ host: controllerHost, cids: [cid] })],
    ["Content-Type", sealed.contentType],
    ["Content-Disposition", "signal;handling=required"],
    ["Content-ID", `<${cid}>`],
  ] as const;
  const labelled = rows.reduce(
    (message, [name, value]) => appendHeader(message, name, value),
    outside,
  );
  return withBody(labelled, sealed.body);
}

/** One for all REGISTERs of a run (RFC 3261 §10.2). */
export const newCallId = (random: (size: number) => Buffer): string =>
  random(ID_BYTES).toString("hex");

/**
 * In profile `private` the credentials are sealed with the rest, so they cannot cover the sealed
 * body: they cover `claim`, the octets of the request or certificate inside.
 */
export function authorizeInside(
  register: SipRequest,
  { profile, digest }: RegistrationSetting,
  claim: Buffer,
): SipRequest {
  if (profile !== "private" || digest === undefined) return register;
  const authorized = digest.authorize(withBody(register, claim));
  return withRowsOf(register, authorized, ["Authorization"]);
}

/** Credentials outside: towards proxies, and in profile `open` towards the registrar. */
export function authorizeOutside(
  register: SipRequest,
  { profile, digest }: RegistrationSetting,
): SipRequest {
  if (digest === undefined) return register;
  const fields =
    profile === "private" ? ["Proxy-Authorization"] : ["Authorization", "Proxy-Authorization"];
  return withRowsOf(register, digest.authorize(register), fields);
}

/** The message with those rows of another. */
export const withRowsOf = (
  message: SipRequest,
  other: SipRequest,
  fields: readonly string[],
): SipRequest =>
  fields
    .flatMap((name) => headerRows(other, name).map(({ value }) => [name, value] as const))
    .reduce((made, [name, value]) => appendHeader(made, name, value), message);

function contactValue(
  { instance, profile }: RegistrationSetting,
  { uri, isFlow }: OwnContact,
): string {
  if (profile === "private") return `<${uri}>`;
  const named = `<${uri}>;+sip.instance=${quote(`<${instance}>`)}`;
  return isFlow ? `${named};reg-id=1` : named;
}
