/**
 * SRTP session keys from the master key (RFC 3711 §4.3; RFC 6188 §4 for longer AES). Pure.
 * Derived once: a key derivation rate is refused where it is negotiated.
 */
import { createCipheriv } from "node:crypto";
import { masterKeySaltBytes, SRTP_SUITES, type SrtpSuite } from "../rtp/srtp-suite.ts";
import { Secret } from "../secret.ts";

/** The keys of one packet kind. */
export interface SessionKeys {
  readonly encryptionKey: Secret;
  /** 20 octets, for HMAC-SHA1. */
  readonly authenticationKey: Secret;
  /** 14 octets. */
  readonly salt: Secret;
}

/** One `label` a key, RTP's at 0 to 2 and RTCP's at 3 to 5 (§4.3.1, §4.3.2). */
const LABELS = { rtp: 0, rtcp: 3 } as const;
const AUTHENTICATION_KEY_BYTES = 20;
const SESSION_SALT_BYTES = 14;

/**
 * Derives the session keys for RTP or RTCP.
 * @throws RangeError if `masterKeySalt` (key, then salt) has not the suite's length.
 */
export function deriveSessionKeys(
  suite: SrtpSuite,
  masterKeySalt: Secret,
  kind: "rtp" | "rtcp",
): SessionKeys {
  const { keyBytes } = SRTP_SUITES[suite];
  if (masterKeySalt.length !== masterKeySaltBytes(suite))
    throw new RangeError(`${suite} takes ${masterKeySaltBytes(suite)} octets of key and salt`);
  const octets = masterKeySalt.expose();
  const [key, salt] = [octets.subarray(0, keyBytes), octets.subarray(keyBytes)];
  const label = LABELS[kind];
  return {
    encryptionKey: deriveKey(key, salt, label, keyBytes),
    authenticationKey: deriveKey(key, salt, label + 1, AUTHENTICATION_KEY_BYTES),
    salt: deriveKey(key, salt, label + 2, SESSION_SALT_BYTES),
  };
}

/**
 * One key: the first `bytes` octets of AES-CM under the master key, counter block
 * x · 2^16 with x = (label · 2^48) XOR salt (§4.3.3). A 96-bit salt is padded on the right.
 */
export function deriveKey(
  masterKey: Uint8Array,
  masterSalt: Uint8Array,
  label: number,
  bytes: number,
): Secret {
  const counter = Buffer.alloc(16);
  counter.set(masterSalt);
  counter.writeUInt8(counter.readUInt8(7) ^ label, 7);
  const cipher = createCipheriv(`aes-${8 * masterKey.length}-ctr`, masterKey, counter);
  const key = cipher.update(Buffer.alloc(bytes));
  try {
    return new Secret(key);
  } finally {
    key.fill(0);
    counter.fill(0);
  }
}
