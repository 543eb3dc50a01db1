/**
 * Opens sealed bodies: the offer with a private key, the answer with the first key that was kept.
 * Everything but 'not for us' fails in one way; whoever tells a peer of a later failure (signature,
 * SDP) must answer it as he answers this one, or CBC bodies become an oracle. Pure.
 */
import { decodeCertificateIdentity } from "../cms/certificate-identity.ts";
import { decryptFailure, notForHolder } from "../cms/decrypt-failure.ts";
import type { FirstKey } from "../cms/first-key.ts";
import { type CmsMessage, decodeMessage } from "../cms/message.ts";
import { isEnvelopeFor, openEnvelope } from "../cms/open-message.ts";
import { isProtocolError } from "../errors.ts";
import type { Identity } from "../pki/signed-data.ts";
import { openUnderFirstKey } from "./first-key-message.ts";
import { decodeSealed } from "./sealed-message.ts";
import { isExpectedEntity } from "./signed-entity.ts";

/** How many recipient entries a body has; 0 if it is no envelope that can be read. */
export function recipientCount(body: Uint8Array): number {
  const message = tryDecode(body);
  return message === undefined || message.kind === "encrypted" ? 0 : message.recipients.length;
}

/**
 * True if an entry of the body names this certificate. No private key is needed; a body that
 * cannot be read is for nobody.
 * @throws ProtocolError `ERR_CERTIFICATE` if the certificate itself cannot be read.
 */
export function isRecipient(body: Uint8Array, certificate: Uint8Array): boolean {
  const identity = decodeCertificateIdentity(certificate);
  const message = tryDecode(body);
  return message !== undefined && message.kind !== "encrypted" && isEnvelopeFor(message, identity);
}

/**
 * Opens an offer that is sealed for the holder, P-256 or RSA.
 * @returns the entity, unverified, and the first key for what follows
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` (no entry names the holder), else `ERR_CMS_DECRYPT`.
 */
export async function openOffer(request: {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly holder: Identity;
}): Promise<{ readonly entity: Buffer; readonly firstKey: FirstKey }> {
  const message = decodeSealed(request.body, request.contentType);
  if (message.kind === "encrypted") throw notForHolder();
  const opened = openEnvelope(message, { kind: "certificate", ...request.holder });
  if (isExpectedEntity(opened.content))
    return { entity: opened.content, firstKey: opened.firstKey };
  opened.firstKey.cek.wipe();
  throw decryptFailure();
}

/**
 * Opens an answer under the first key. After GCM only GCM is believed, and EncryptedData only
 * after CBC: one key never serves two algorithms.
 * @returns the entity, unverified
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` (wrapped under another key), else `ERR_CMS_DECRYPT`.
 */
export async function openAnswer(request: {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly firstKey: FirstKey;
}): Promise<{ readonly entity: Buffer }> {
  const message = decodeSealed(request.body, request.contentType);
  const entity = openUnderFirstKey(message, request.firstKey);
  if (!isExpectedEntity(entity)) throw decryptFailure();
  return { entity };
}

function tryDecode(body: Uint8Array): CmsMessage | undefined {
  try {
    return decodeMessage(body);
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
