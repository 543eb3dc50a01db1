/**
 * What lies inside a sealed call: `multipart/signed` over `multipart/mixed` of message/sipfrag and
 * application/sdp (RFC 3261 §23.4). Pure: random octets and time are arguments.
 */
import { isProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { type MimeEntity, parseEntity, serializeEntity } from "../mime/entity.ts";
import type { Certificate } from "../pki/certificate.ts";
import type { Identity } from "../pki/signed-data.ts";
import { verifyChain } from "../pki/verify-chain.ts";
import { asBody, MIXED, mixedPartsOf, serializeMixed, singlePart } from "./mixed-entity.ts";
import { SIGNED, signContent, verifyContent } from "./signed-content.ts";
import { parseSipfrag, SIPFRAG, type SipfragRows, sipfragPart } from "./sipfrag.ts";

export interface SignedEntityRequest {
  readonly sipfrag: SipfragRows;
  readonly sdp: Uint8Array;
  readonly signer: Identity;
  /** DER certificates that go along with the signer's, towards an anchor of the reader. */
  readonly chain?: readonly Uint8Array[];
  readonly random: (size: number) => Buffer;
}

/** DER certificates that are trusted, or those for this signer, of whom nothing is verified yet. */
export type Anchors = readonly Uint8Array[] | ((signer: Certificate) => readonly Uint8Array[]);

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
  const { sipfrag, sdp, random } = request;
  const sdpPart = serializeEntity([["Content-Type", SDP]], sdp);
  const content = serializeMixed([sipfragPart(sipfrag), sdpPart], random);
  return signContent({ ...request, content });
}

/**
 * Verifies signature and certificate path, and only then reads what was signed. Whether the signer
 * is the sender, and the rows are those of the message, is for the caller to compare.
 * @throws ProtocolError `ERR_BODY` (structure), `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`,
 *   `ERR_CERTIFICATE`.
 */
export async function verifySignedEntity(request: {
  readonly entity: Uint8Array;
  readonly anchors: Anchors;
  readonly now: Millis;
}): Promise<VerifiedEntity> {
  const { entity, now } = request;
  const { content, signer, others } = await verifyContent(entity);
  const anchors = anchorsFor(request.anchors, signer);
  await verifyChain({ certificate: signer, intermediates: others, anchors, now });
  const { sipfrag, sdp } = asBody(() => splitContent(content));
  return { signer: { certificate: signer.encoded, uris: signer.uris }, sipfrag, sdp };
}

const anchorsFor = (anchors: Anchors, signer: Certificate): readonly Uint8Array[] =>
  typeof anchors === "function" ? anchors(signer) : anchors;

function splitContent(content: MimeEntity): { sipfrag: SipfragRows; sdp: Buffer } {
  const parts = mixedPartsOf(content);
  return {
    sipfrag: parseSipfrag(singlePart(parts, SIPFRAG).body),
    sdp: singlePart(parts, SDP).body,
  };
}
