/**
 * `multipart/signed` over any entity (RFC 1847 §2.1, RFC 3261 §23.4): the signature covers the
 * octets of the first part as they stand. Pure: random octets are an argument.
 */
import { ProtocolError } from "../errors.ts";
import {
  entityOfBody,
  type MimeEntity,
  parseEntity,
  partsOf,
  serializeEntity,
} from "../mime/entity.ts";
import { serializeMultipart } from "../mime/multipart.ts";
import type { Certificate } from "../pki/certificate.ts";
import { type Identity, signDetached, verifyDetached } from "../pki/signed-data.ts";
import { asBody } from "./mixed-entity.ts";

export interface SigningRequest {
  readonly signer: Identity;
  /** DER certificates that go along with the signer's, towards an anchor of the reader. */
  readonly chain?: readonly Uint8Array[];
  readonly random: (size: number) => Buffer;
}

export interface SignedBody {
  readonly body: Buffer;
  /** Value of the Content-Type field. */
  readonly contentType: string;
}

export interface VerifiedContent {
  /** What was signed. */
  readonly content: MimeEntity;
  readonly signer: Certificate;
  /** The other certificates that came along: candidates for the path, not trusted. */
  readonly others: readonly Certificate[];
}

export const SIGNED = "multipart/signed";
const SIGNATURE_TYPE = "application/pkcs7-signature";

/**
 * Signs an entity; the result is an entity.
 * @param request `content`: a MIME entity, headers and body
 */
export async function signContent(
  request: SigningRequest & { readonly content: Uint8Array },
): Promise<Buffer> {
  const { body, contentType } = await signBody(request);
  return serializeEntity([["Content-Type", contentType]], body);
}

/** Signs an entity; the result is the body of a SIP message. */
export async function signBody(
  request: SigningRequest & { readonly content: Uint8Array },
): Promise<SignedBody> {
  const { content, signer, chain, random } = request;
  const signature = serializeEntity(
    [
      ["Content-Type", `${SIGNATURE_TYPE};name=smime.p7s`],
      ["Content-Transfer-Encoding", "binary"],
      ["Content-Disposition", "attachment;handling=required;filename=smime.p7s"],
    ],
    await signDetached(content, signer, chain),
  );
  const { body, boundary } = serializeMultipart([content, signature], random);
  const contentType = `${SIGNED};protocol="${SIGNATURE_TYPE}";micalg=sha-256;boundary=${boundary}`;
  return { body, contentType };
}

/**
 * Verifies the signature of a signed entity, and only that: the path of the signer's certificate
 * and who the signer is are for the caller.
 * @throws ProtocolError `ERR_BODY` (structure), `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`.
 */
export const verifyContent = (entity: Uint8Array): Promise<VerifiedContent> =>
  verifySigned(() => parseEntity(entity));

/** As `verifyContent`, for the body of a SIP message and the value of its Content-Type. */
export const verifyBody = (request: {
  readonly body: Uint8Array;
  readonly contentType: string;
}): Promise<VerifiedContent> => verifySigned(() => entityOfBody(request.body, request.contentType));

async function verifySigned(read: () => MimeEntity): Promise<VerifiedContent> {
  const { content, signature } = asBody(() => splitSigned(read()));
  return { content, ...(await verifyDetached(content.octets, signature)) };
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
