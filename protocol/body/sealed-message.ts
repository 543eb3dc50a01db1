/**
 * application/pkcs7-mime as the body of a message or a part (RFC 8551 §3.2): names and decoding. Pure.
 */
import { type ContentCipher, isCbcCipher } from "../cms/algorithms.ts";
import { decryptFailure } from "../cms/decrypt-failure.ts";
import { type CmsMessage, decodeMessage } from "../cms/message.ts";
import { isProtocolError } from "../errors.ts";
import { parseContentType } from "../mime/content-type.ts";
import type { MimeEntity } from "../mime/entity.ts";

export interface SealedBody {
  readonly body: Buffer;
  /** Value of the Content-Type field. */
  readonly contentType: string;
}

const SEALED_TYPE = "application/pkcs7-mime";

/** smime-type by message, in lower case; RFC 8551 §3.2.2 and RFC 8591 §4.2 spell one differently. */
const SMIME_TYPES: Readonly<Record<CmsMessage["kind"], readonly string[]>> = {
  enveloped: ["enveloped-data"],
  "auth-enveloped": ["authenveloped-data", "auth-enveloped-data"],
  encrypted: [],
};

/** Content-Type of EncryptedData, which has no smime-type (RFC 7114). */
export const ENCRYPTED_TYPE = `${SEALED_TYPE};name=smime.p7m`;

/** Content-Type of an envelope (RFC 8551 §3.2.2). */
export const envelopeType = (cipher: ContentCipher): string =>
  `${SEALED_TYPE};smime-type=${isCbcCipher(cipher) ? "enveloped-data" : "authEnveloped-data"};name=smime.p7m`;

/** @throws ProtocolError `ERR_CMS_DECRYPT` for whatever is not a sealed body of its stated type. */
export function decodeSealed(body: Uint8Array, contentType: string): CmsMessage {
  return orDecryptFailure(() => decodeTyped(body, parseContentType(contentType)));
}

/** As `decodeSealed`, for a part. @throws ProtocolError `ERR_CMS_DECRYPT`. */
export const decodeSealedPart = (part: MimeEntity): CmsMessage =>
  orDecryptFailure(() => decodeTyped(part.body, part.contentType));

function decodeTyped(body: Uint8Array, stated: MimeEntity["contentType"]): CmsMessage {
  const message = decodeMessage(body);
  const smimeType = stated.parameters.get("smime-type")?.toLowerCase();
  const isStated = smimeType === undefined || SMIME_TYPES[message.kind].includes(smimeType);
  if (stated.type !== SEALED_TYPE || !isStated) throw decryptFailure();
  return message;
}

function orDecryptFailure<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw isProtocolError(error) ? decryptFailure() : error;
  }
}
