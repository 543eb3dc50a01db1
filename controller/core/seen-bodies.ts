/**
 * Remembers sealed bodies that were opened, so that none opens a second call. Pure.
 * A signed Date ages a body out of use by itself; the memory need only last as long.
 */
import { createHash } from "node:crypto";
import type { Millis } from "../../protocol/machine.ts";
import { MAX_DATE_SKEW_MS } from "../../protocol/sip/signed-headers.ts";

/** Bodies remembered at most; the oldest is forgotten first. */
export const MAX_SEEN_BODIES = 65_536;
/** A Date may be ahead by the skew when first seen, and behind by it when seen last. */
export const SEEN_BODY_LIFETIME_MS = 2 * MAX_DATE_SKEW_MS;

export class SeenBodies {
  /** Digest to time of first use, oldest first. */
  readonly #seen = new Map<string, Millis>();
  readonly #limit: number;

  constructor(limit = MAX_SEEN_BODIES) {
    this.#limit = limit;
  }

  /** True the first time a body comes; it must have been authenticated before it is shown here. */
  claim(body: Uint8Array, now: Millis): boolean {
    this.#forget(now);
    const digest = createHash("sha256").update(body).digest("base64");
    if (this.#seen.has(digest)) return false;
    this.#seen.set(digest, now);
    return true;
  }

  #forget(now: Millis): void {
    for (const [digest, since] of this.#seen) {
      if (this.#seen.size < this.#limit && now - since < SEEN_BODY_LIFETIME_MS) return;
      this.#seen.delete(digest);
    }
  }
}
