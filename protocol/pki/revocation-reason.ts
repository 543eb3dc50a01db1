/**
 * Why a certificate is revoked (RFC 5280 §5.3.1), without the reasons that mean a hold. Pure.
 */

/** Each reason's number in a CRL; `unspecified` is written by leaving it out. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const;

export type RevocationReason = keyof typeof REVOCATION_REASONS;
