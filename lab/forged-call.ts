/**
 * INVITEs and answers written by hand, octet by octet as a test wants them: what no phone of ours
 * would ever send. Sealing is the product's own; what is sealed, for whom and by whom is not.
 */
import { randomBytes } from "node:crypto";
import { openOffer } from "../protocol/body/open-body.ts";
import { type SealingForm, sealAnswer, sealOffer } from "../protocol/body/seal-body.ts";
import { signEntity } from "../protocol/body/signed-entity.ts";
import type { FirstKey } from "../protocol/cms/first-key.ts";
import { sealEnvelope } from "../protocol/cms/seal-message.ts";
import type { Identity } from "../protocol/pki/signed-data.ts";
import { createResponse } from "../protocol/sip/create-response.ts";
import { serializeSipDate } from "../protocol/sip/date.ts";
import {
  appendHeader,
  headerRows,
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../protocol/sip/message.ts";
import { AORS, CONTROLLER_NAME } from "./site-config.ts";
import { LEAVES } from "./topology.ts";

export interface SealedParts {
  readonly sdp: Buffer;
  readonly signer: Identity;
  /** DER certificates. */
  readonly recipients: readonly Buffer[];
  readonly form?: SealingForm;
  /** Hosts that the label names. */
  readonly label?: readonly string[];
  /** Rows of the signed header copy that differ from the message's own. */
  readonly signedInstead?: Readonly<Record<string, string>>;
}

const SIGNED_ROWS = ["From", "To", "Call-ID", "CSeq", "Date", "Contact"];
const REFERENCE_BYTES = 16;
const token = (bytes: number): string => randomBytes(bytes).toString("hex");

/** An INVITE of alice's to bob, without a body. */
export function forgeInvite(from: string = AORS.alice): SipRequest {
  const contact = `<sip:alice@${LEAVES.alice.address}:5099;transport=tls>`;
  const rows: readonly (readonly [string, string])[] = [
    ["Via", `SIP/2.0/TLS ${LEAVES.alice.address}:5099;branch=z9hG4bK${token(8)}`],
    ["Max-Forwards", "70"],
    ["From", `<${from}>;tag=${token(8)}`],
    ["To", `<${AORS.bob}>`],
    ["Call-ID", token(12)],
    ["CSeq", "1 INVITE"],
    ["Contact", contact],
    ["Date", serializeSipDate(Date.now())],
  ];
  const headers = rows.map(([name, value]) => ({ name, value }));
  return { kind: "request", method: "INVITE", uri: AORS.bob, headers, body: Buffer.alloc(0) };
}

/** The message with a sealed body, and the key that it is sealed under. */
export async function withSealedOffer<M extends SipMessage>(
  message: M,
  { sdp, signer, recipients, form = "rfc3185", label = [], signedInstead = {} }: SealedParts,
): Promise<{ readonly message: M; readonly firstKey: FirstKey }> {
  const { body, contentType, firstKey } = await sealOffer({
    sipfrag: signedRows(message, signedInstead),
    ...{ sdp, signer, recipients, form },
    random: randomBytes,
  });
  return { message: withRows(message, bodyRows(label, contentType), body), firstKey };
}

/** The message with an envelope round an entity of any kind, signed by nobody or wrongly. */
export function withSealedEntity<M extends SipMessage>(
  message: M,
  entity: Buffer,
  { recipients, label = [] }: Pick<SealedParts, "recipients" | "label">,
): M {
  const sealed = sealEnvelope({
    content: entity,
    cipher: "aes-256-gcm",
    recipients: recipients.map((certificate) => ({ kind: "certificate", certificate })),
    reference: randomBytes(REFERENCE_BYTES),
    random: randomBytes,
  });
  const contentType = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";
  return withRows(message, bodyRows(label, contentType), sealed.message);
}

/** SDP as a MIME entity without any signature. */
export const unsignedEntity = (sdp: Buffer): Buffer =>
  Buffer.concat([Buffer.from("Content-Type: application/sdp\r\n\r\n"), sdp]);

/** A signed entity in which one text was put for another, of the same length, after the signing. */
export async function tamperedEntity(
  message: SipMessage,
  { sdp, signer }: Pick<SealedParts, "sdp" | "signer">,
  change: (entity: Buffer) => Buffer,
): Promise<Buffer> {
  const sipfrag = signedRows(message, {});
  return change(await signEntity({ sipfrag, sdp, signer, random: randomBytes }));
}

/** Bob's 200 to a sealed INVITE, with whatever SDP and signature. */
export async function forgeAnswer(
  invite: SipRequest,
  { sdp, bob, signer = bob }: { sdp: Buffer; bob: Identity; signer?: Identity },
): Promise<SipResponse> {
  const contentType = headerValue(invite, "Content-Type") ?? "";
  const { firstKey } = await openOffer({ body: invite.body, contentType, holder: bob });
  const routes = headerRows(invite, "Record-Route").map(
    ({ value }) => ["Record-Route", value] as const,
  );
  const contact = `<sip:bob@${LEAVES.bob.address}:5060;transport=tcp>`;
  const bare = createResponse(invite, 200, {
    toTag: token(8),
    headers: [...routes, ["Contact", contact], ["Date", serializeSipDate(Date.now())]],
  });
  const sipfrag = signedRows(bare, {});
  const sealed = await sealAnswer({ sipfrag, sdp, signer, firstKey, random: randomBytes });
  return withRows(bare, [["Content-Type", sealed.contentType]], sealed.body);
}

/** The label that asks for the demo's controller. */
export const CONTROLLER_LABEL = [CONTROLLER_NAME];

function bodyRows(
  label: readonly string[],
  contentType: string,
): readonly (readonly [string, string])[] {
  const cid = `${token(8)}@atlanta.example.com`;
  const labels = label.map((host) => ["Proxy-Inspect-Body", `${host};cid="${cid}"`] as const);
  return [...labels, ["Content-Type", contentType], ["Content-ID", `<${cid}>`]];
}

function signedRows(
  message: SipMessage,
  instead: Readonly<Record<string, string>>,
): readonly (readonly [string, string])[] {
  return SIGNED_ROWS.flatMap((name) =>
    headerRows(message, name).map(({ value }) => [name, instead[name] ?? value] as const),
  );
}

function withRows<M extends SipMessage>(
  message: M,
  rows: readonly (readonly [string, string])[],
  body: Buffer,
): M {
  const made = rows.reduce((each, [name, value]) => appendHeader(each, name, value), message);
  return { ...made, body };
}
