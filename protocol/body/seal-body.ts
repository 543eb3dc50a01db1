/**
 * Seals SDP for a callee and the controllers it trusts, and the answer under the same first key
 * (RFC 3185, RFC 5083; the patent's EncryptedData form). Pure: random octets are an argument.
 */
import type { ContentCipher } from "../cms/algorithms.ts";
import type { FirstKey } from "../cms/first-key.ts";
import { sealEnvelope } from "../cms/seal-message.ts";
import { sealUnderFirstKey } from "./first-key-message.ts";
import { envelopeType, type SealedBody } from "./sealed-message.ts";
import { type SignedEntityRequest, signEntity } from "./signed-entity.ts";

/** `rfc3185`: the envelope names its key for reuse. `patent`: AES-256-CBC, answered by EncryptedData. */
export type SealingForm = "rfc3185" | "patent";

export interface OfferRequest extends SignedEntityRequest {
  /** DER certificates, P-256 or RSA, at most 16. */
  readonly recipients: readonly Uint8Array[];
  readonly form: SealingForm;
  /** Of the form `rfc3185`; AES-256-GCM unless given. */
  readonly cipher?: ContentCipher;
}

export interface AnswerRequest extends SignedEntityRequest {
  readonly firstKey: FirstKey;
}

const REFERENCE_BYTES = 16;
const PATENT_CIPHER = "aes-256-cbc";

/**
 * Signs header rows and SDP and seals them under a new first key, wrapped for each recipient.
 * @throws ProtocolError `ERR_CERTIFICATE`; RangeError for none or more than 16 recipients.
 */
export async function sealOffer(
  request: OfferRequest,
): Promise<SealedBody & { readonly firstKey: FirstKey }> {
  const { recipients, form, random } = request;
  const cipher = form === "patent" ? PATENT_CIPHER : (request.cipher ?? "aes-256-gcm");
  const { message, firstKey } = sealEnvelope({
    content: await signEntity(request),
    cipher,
    recipients: recipients.map((certificate) => ({ kind: "certificate", certificate })),
    ...(form === "rfc3185" ? { reference: random(REFERENCE_BYTES) } : {}),
    random,
  });
  return { body: message, contentType: envelopeType(cipher), firstKey };
}

/**
 * Signs header rows and SDP and seals them so that all who know the first key can read them: if it
 * has a reference, in an envelope with a new key under the reversed first key (RFC 3185 §3); if
 * not, as EncryptedData under the first key itself.
 * @throws ProtocolError `ERR_CMS_UNSUPPORTED` for a first key of GCM without a reference: one key
 *   never serves two algorithms, so nothing can answer it.
 */
export async function sealAnswer(request: AnswerRequest): Promise<SealedBody> {
  const { firstKey, random } = request;
  return sealUnderFirstKey(await signEntity(request), firstKey, random);
}
