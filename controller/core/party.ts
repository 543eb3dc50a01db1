/**
 * The two parties of a call, as its media is judged by them. Pure.
 */

export type Side = "caller" | "callee";

export interface Party {
  /** Absent for one who is no user here. */
  readonly aor?: string;
  /**
   * Canonical addresses that are proven to be his. One whose addresses all lie within the protected
   * prefixes has his media there and nowhere else.
   */
  readonly addresses: readonly string[];
  /** His media is never agreed on in clear. */
  readonly requireSealed: boolean;
}

export const otherSide = (side: Side): Side => (side === "caller" ? "callee" : "caller");
