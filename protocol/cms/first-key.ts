/**
 * The first key: the content key of an envelope, kept to open and seal what answers it. Pure.
 */
import { Secret } from "../secret.ts";
import type { ContentCipher } from "./algorithms.ts";

export interface FirstKey {
  readonly cek: Secret;
  /** The one algorithm that this key may ever serve. */
  readonly cipher: ContentCipher;
  /** CEKReference of the envelope: present if the answer is to name the key (RFC 3185). */
  readonly reference?: Buffer;
}

/** KEK of an answer: the octets of the first key in reverse order (RFC 3185 §3). */
export function deriveReplyKek(firstKey: FirstKey): Secret {
  const reversed = Buffer.from(firstKey.cek.expose()).reverse();
  const kek = new Secret(reversed);
  reversed.fill(0);
  return kek;
}
