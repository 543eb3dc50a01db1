/**
 * Messages under a first key that both sides hold: an envelope whose one recipient is the reversed
 * key (RFC 3185 §3), or the patent's EncryptedData under the key itself. Pure: random octets are an
 * argument.
 */
import { isCbcCipher } from "../cms/algorithms.ts";
import { decryptFailure, notForHolder } from "../cms/decrypt-failure.ts";
import { deriveReplyKek, type FirstKey } from "../cms/first-key.ts";
import type { CmsMessage } from "../cms/message.ts";
import { openEncryptedData, openEnvelope } from "../cms/open-message.ts";
import { sealEncryptedData, sealEnvelope } from "../cms/seal-message.ts";
import { assertNever, ProtocolError } from "../errors.ts";
import { ENCRYPTED_TYPE, envelopeType, type SealedBody } from "./sealed-message.ts";

/**
 * Seals content so that all who know the first key can read it: if it has a reference, in an
 * envelope with a new key under the reversed first key; if not, as EncryptedData.
 * @throws ProtocolError `ERR_CMS_UNSUPPORTED` for a key of GCM without a reference: one key never
 *   serves two algorithms, so nothing can be sealed under it again.
 */
export function sealUnderFirstKey(
  content: Uint8Array,
  firstKey: FirstKey,
  random: (size: number) => Buffer,
): SealedBody {
  const { cipher, reference } = firstKey;
  if (reference === undefined && !isCbcCipher(cipher))
    throw new ProtocolError("ERR_CMS_UNSUPPORTED", "first key cannot be used again");
  if (reference === undefined)
    return { body: sealEncryptedData(content, firstKey, random), contentType: ENCRYPTED_TYPE };
  const kek = deriveReplyKek(firstKey);
  const recipients = [{ kind: "kek" as const, keyIdentifier: reference, kek }];
  const sealed = sealEnvelope({ content, cipher, recipients, random });
  kek.wipe();
  sealed.firstKey.cek.wipe();
  return { body: sealed.message, contentType: envelopeType(cipher) };
}

/**
 * Opens what was sealed so. After GCM only GCM is believed, and EncryptedData only after CBC.
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` (wrapped under another key), else `ERR_CMS_DECRYPT`.
 */
export function openUnderFirstKey(message: CmsMessage, firstKey: FirstKey): Buffer {
  switch (message.kind) {
    case "encrypted":
      return openEncryptedData(message, firstKey);
    case "enveloped":
    case "auth-enveloped": {
      if (firstKey.reference === undefined) throw notForHolder();
      if (message.kind === "enveloped" && !isCbcCipher(firstKey.cipher)) throw decryptFailure();
      const kek = deriveReplyKek(firstKey);
      try {
        const holder = { kind: "kek" as const, keyIdentifier: firstKey.reference, kek };
        const opened = openEnvelope(message, holder);
        opened.firstKey.cek.wipe();
        return opened.content;
      } finally {
        kek.wipe();
      }
    }
    default:
      return assertNever(message);
  }
}
