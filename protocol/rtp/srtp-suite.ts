/**
 * The SRTP crypto suites by their SDES names, with the sizes each one fixes
 * (RFC 4568 §6.2, RFC 6188 §3, RFC 7714 §12 and §14). Pure.
 */

interface SuiteSizes {
  readonly transform: "aes-cm" | "aes-f8" | "aes-gcm";
  readonly keyBytes: number;
  readonly saltBytes: number;
  readonly srtpTagBytes: number;
  readonly srtcpTagBytes: number;
  /** Most packets one master key may protect, SRTP and SRTCP each (RFC 4568 §6.1). */
  readonly lifetimePackets: number;
}

const CM_LIFETIME_PACKETS = 2 ** 31;
const GCM_LIFETIME_PACKETS = 2 ** 48;

/** A tag of 32 bits is for SRTP alone: SRTCP keeps 80 (RFC 3711 §5.2). */
const sha1 = (
  transform: "aes-cm" | "aes-f8",
  keyBytes: number,
  srtpTagBytes: number,
): SuiteSizes => ({
  transform,
  keyBytes,
  saltBytes: 14,
  srtpTagBytes,
  srtcpTagBytes: 10,
  lifetimePackets: CM_LIFETIME_PACKETS,
});

const gcm = (keyBytes: number): SuiteSizes => ({
  transform: "aes-gcm",
  keyBytes,
  saltBytes: 12,
  srtpTagBytes: 16,
  srtcpTagBytes: 16,
  lifetimePackets: GCM_LIFETIME_PACKETS,
});

/** Sizes by suite; the names differ in where the key length stands, as registered. */
export const SRTP_SUITES = {
  AES_CM_128_HMAC_SHA1_80: sha1("aes-cm", 16, 10),
  AES_CM_128_HMAC_SHA1_32: sha1("aes-cm", 16, 4),
  F8_128_HMAC_SHA1_80: sha1("aes-f8", 16, 10),
  AES_192_CM_HMAC_SHA1_80: sha1("aes-cm", 24, 10),
  AES_192_CM_HMAC_SHA1_32: sha1("aes-cm", 24, 4),
  AES_256_CM_HMAC_SHA1_80: sha1("aes-cm", 32, 10),
  AES_256_CM_HMAC_SHA1_32: sha1("aes-cm", 32, 4),
  AEAD_AES_128_GCM: gcm(16),
  AEAD_AES_256_GCM: gcm(32),
} as const satisfies Record<string, SuiteSizes>;

export type SrtpSuite = keyof typeof SRTP_SUITES;

/** True for a registered suite name that this code knows the sizes of; case counts. */
export const isSrtpSuite = (name: string): name is SrtpSuite => Object.hasOwn(SRTP_SUITES, name);

/** Octets of master key and master salt together, as `inline:` carries them. */
export const masterKeySaltBytes = (suite: SrtpSuite): number =>
  SRTP_SUITES[suite].keyBytes + SRTP_SUITES[suite].saltBytes;

/** True if `protocol/srtp` can protect and open packets of this suite (the AES-CM ones). */
export const isSupportedSuite = (suite: SrtpSuite): boolean =>
  SRTP_SUITES[suite].transform === "aes-cm";
