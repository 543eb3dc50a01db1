/**
 * What a certificate's key may be used for (RFC 5280 §4.2.1.12, RFC 5924 §3). Pure.
 */

/** Extended key usages by name. */
export const KEY_PURPOSES = {
  "tls-server": "1.3.6.1.5.5.7.3.1",
  "tls-client": "1.3.6.1.5.5.7.3.2",
  /** What S/MIME tools ask for (RFC 8551 §4.4.4). */
  email: "1.3.6.1.5.5.7.3.4",
  /** Speaks for a SIP domain. */
  "sip-domain": "1.3.6.1.5.5.7.3.20",
} as const;

export type KeyPurpose = keyof typeof KEY_PURPOSES;

/** Stands for every purpose. */
export const ANY_PURPOSE = "2.5.29.37.0";
