/**
 * What lies inside a sealed body: `multipart/signed` over `multipart/mixed` of message/sipfrag and
 * application/sdp (RFC 1847 §2.1, RFC 3261 §23.4). Pure: random octets and time are arguments.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { type MimeEntity, parseEntity, partsOf, serializeEntity } from "../mime/entity.ts";
import { serializeMultipart } from "../mime/multipart.ts";
import { type Identity, signDetached, verifyDetached } from "../pki/signed-data.ts";
import { verifyChain } from "../pki/verify-chain.ts";
import { parseSipfrag, type SipfragRows, serializeSipfrag } from "./sipfrag.ts";

export interface SignedEntityRequest {
  readonly sipfrag: SipfragRows;
  readonly sdp: Uint8Array;
  readonly signer: Identity;
  readonly random: (size: number) => Buffer;
}

export interface VerifiedEntity {
  readonly signer: {
    /** DER. */
    readonly certificate: Buffer;
    /** URIs of its subjectAltName. */
    readonly uris: readonly string[];
  };
  readonly sipfrag: SipfragRows;
  readonly sdp: Buffer;
}

const SIGNATURE_TYPE = "application/pkcs7-signature";
const SIGNED = "multipart/signed";
const MIXED = "multipart/mixed";
const SIPFRAG = "message/sipfrag";
const SDP = "application/sdp";

/** Types that a decrypted content may have; anything else was not decrypted (RFC 3185 gives no proof). */
const EXPECTED_TYPES: ReadonlySet<string> = new Set([SIGNED, MIXED, SDP]);

/** True if the octets look like what our peers seal, signed or not. */
export function isExpectedEntity(octets: Uint8Array): boolean {
  try {
    return EXPECTED_TYPES.has(parseEntity(octets).contentType.type);
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}

/** Header rows and SDP in one entity, signed by the signer's certificate, which goes along. */
export async function signEntity(request: SignedEntityRequest): Promise<Buffer> {
  const { sipfrag, sdp, signer, random } = request;
  const inner = serializeMultipart(
    [
      serializeEntity([["Content-Type", SIPFRAG]], serializeSipfrag(sipfrag)),
      serializeEntity([["Content-Type", SDP]], sdp),
    ],
    random,
  );
  const content = serializeEntity(
    [["Content-Type", `${MIXED};boundary=${inner.boundary}`]],
    inner.body,
  );
  const signature = serializeEntity(
    [
      ["Content-Type", `${SIGNATURE_TYPE};name=smime.p7s`],
      ["Content-Transfer-Encoding", "binary"],
      ["Content-Disposition", "attachment;handling=required;filename=smime.p7s"],
    ],
    await signDetached(content, signer),
  );
  const outer = serializeMultipart([content, signature], random);
  const type = `${SIGNED};protocol="${SIGNATURE_TYPE}";micalg=sha-256;boundary=${outer.boundary}`;
  return serializeEntity([["Content-Type", type]], outer.body);
}

/**
 * Verifies signature and certificate path, and only then reads what was signed. Whether the signer
 * is the sender, and the rows are those of the message, is for the caller to compare.
 * @param anchors DER certificates that are trusted
 * @throws ProtocolError `ERR_BODY` (structure), `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`,
 *   `ERR_CERTIFICATE`.
 */
export async function verifySignedEntity(request: {
  readonly entity: Uint8Array;
  readonly anchors: readonly Uint8Array[];
  readonly now: Millis;
}): Promise<VerifiedEntity> {
  const { entity, anchors, now } = request;
  const { content, signature } = asBody(() => splitSigned(parseEntity(entity)));
  const { signer, others } = await verifyDetached(content.octets, signature);
  await verifyChain({ certificate: signer, intermediates: others, anchors, now });
  const { sipfrag, sdp } = asBody(() => splitContent(content));
  return { signer: { certificate: signer.encoded, uris: signer.uris }, sipfrag, sdp };
}

function splitSigned(entity: MimeEntity): { content: MimeEntity; signature: Buffer } {
  const { type, parameters } = entity.contentType;
  if (type !== SIGNED || parameters.get("protocol")?.toLowerCase() !== SIGNATURE_TYPE)
    throw new ProtocolError("ERR_SIGNATURE_MISSING", "content is not signed");
  const [content, signature, ...more] = partsOf(entity);
  if (content === undefined || signature === undefined || more.length > 0)
    throw new ProtocolError("ERR_BODY", "content and signature expected");
  if (signature.contentType.type !== SIGNATURE_TYPE)
    throw new ProtocolError("ERR_SIGNATURE_MISSING", "content is not signed");
  return { content, signature: signature.body };
}

function splitContent(content: MimeEntity): { sipfrag: SipfragRows; sdp: Buffer } {
  if (content.contentType.type !== MIXED)
    throw new ProtocolError("ERR_BODY", "not multipart/mixed");
  const parts = partsOf(content);
  return {
    sipfrag: parseSipfrag(singlePart(parts, SIPFRAG)),
    sdp: singlePart(parts, SDP),
  };
}

/** The one part of this type: with two, two readers might believe two things. */
function singlePart(parts: readonly MimeEntity[], type: string): Buffer {
  const [part, ...more] = parts.filter(({ contentType }) => contentType.type === type);
  if (part === undefined || more.length > 0)
    throw new ProtocolError("ERR_BODY", `one part of ${type} expected`);
  return part.body;
}

function asBody<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (isProtocolError(cause, "ERR_MIME_SYNTAX") || isProtocolError(cause, "ERR_MIME_LIMIT"))
      throw new ProtocolError("ERR_BODY", "content cannot be read", { cause });
    throw cause;
  }
}
