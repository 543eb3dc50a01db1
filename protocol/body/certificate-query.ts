/**
 * The question for a user's certificates, OPTIONS with a signed body, and its signed answer. Whoever
 * reads one verifies here that it is signed; whose signature it is, is for him. Pure: random octets
 * are an argument.
 *
 *     multipart/signed { sipfrag with its start line }
 *     multipart/signed { multipart/mixed { sipfrag, application/pkix-cert ... } }
 */
import { ProtocolError } from "../errors.ts";
import { type MimeEntity, serializeEntity } from "../mime/entity.ts";
import type { Certificate } from "../pki/certificate.ts";
import { certificatePart, PKIX_CERT, readCertificatePart } from "./certificate-part.ts";
import {
  asBody,
  mixedPartsOf,
  requireKnownParts,
  serializeMixed,
  singlePart,
} from "./mixed-entity.ts";
import { type SignedBody, type SigningRequest, signBody, verifyBody } from "./signed-content.ts";
import {
  parseSipfrag,
  parseStartedSipfrag,
  SIPFRAG,
  type SipfragRows,
  serializeStartedSipfrag,
  sipfragPart,
} from "./sipfrag.ts";

/** Most certificates in one answer: one for each of a user's phones. */
export const QUERY_MAX_CERTIFICATES = 15;

export interface VerifiedQuery {
  /** Of the request, as it stands: `OPTIONS sip:... SIP/2.0`. */
  readonly startLine: string;
  readonly rows: SipfragRows;
  readonly signer: Certificate;
  /** The other certificates that came along: candidates for the path, not trusted. */
  readonly others: readonly Certificate[];
}

export interface VerifiedQueryAnswer {
  readonly rows: SipfragRows;
  /** Of the user asked for, one at least; the answer's signer vouches for them. */
  readonly certificates: readonly Certificate[];
  readonly signer: Certificate;
  readonly others: readonly Certificate[];
}

const CERTIFICATE_DISPOSITION = "signal";

/** Signs a question. @throws RangeError if start line or a row would break its line. */
export async function signQuery(
  request: SigningRequest & { readonly startLine: string; readonly rows: SipfragRows },
): Promise<SignedBody> {
  const { startLine, rows } = request;
  const fragment = serializeStartedSipfrag(startLine, rows);
  return signBody({ ...request, content: serializeEntity([["Content-Type", SIPFRAG]], fragment) });
}

/**
 * Verifies the signature of a question and reads it.
 * @throws ProtocolError `ERR_BODY`, `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`.
 */
export async function verifyQuery(request: {
  readonly body: Uint8Array;
  readonly contentType: string;
}): Promise<VerifiedQuery> {
  const { content, signer, others } = await verifyBody(request);
  if (content.contentType.type !== SIPFRAG) throw new ProtocolError("ERR_BODY", "sipfrag expected");
  return { ...parseStartedSipfrag(content.body), signer, others };
}

/**
 * Signs an answer.
 * @throws RangeError for none or more than `QUERY_MAX_CERTIFICATES` certificates.
 */
export async function signQueryAnswer(
  request: SigningRequest & {
    readonly rows: SipfragRows;
    /** DER. */
    readonly certificates: readonly Uint8Array[];
  },
): Promise<SignedBody> {
  const { rows, certificates, random } = request;
  if (certificates.length === 0 || certificates.length > QUERY_MAX_CERTIFICATES)
    throw new RangeError(`1 to ${QUERY_MAX_CERTIFICATES} certificates expected`);
  const parts = certificates.map((one) => certificatePart(one, CERTIFICATE_DISPOSITION));
  return signBody({ ...request, content: serializeMixed([sipfragPart(rows), ...parts], random) });
}

/**
 * Verifies the signature of an answer and reads it.
 * @throws ProtocolError `ERR_BODY`, `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`, `ERR_CERTIFICATE` (one
 *   cannot be read).
 */
export async function verifyQueryAnswer(request: {
  readonly body: Uint8Array;
  readonly contentType: string;
}): Promise<VerifiedQueryAnswer> {
  const { content, signer, others } = await verifyBody(request);
  return { ...asBody(() => readAnswer(content)), signer, others };
}

function readAnswer(content: MimeEntity): Pick<VerifiedQueryAnswer, "rows" | "certificates"> {
  const parts = mixedPartsOf(content);
  requireKnownParts(parts, [SIPFRAG, PKIX_CERT]);
  const certificates = parts
    .filter(({ contentType }) => contentType.type === PKIX_CERT)
    .map(readCertificatePart);
  if (certificates.length === 0) throw new ProtocolError("ERR_BODY", "answer of no certificate");
  return { rows: parseSipfrag(singlePart(parts, SIPFRAG).body), certificates };
}
