/**
 * Sealed answers of one dialog that are known to say the same, so that none is opened twice. Pure.
 */
import { createHash } from "node:crypto";

/** Older ones are opened again. */
export const MAX_KNOWN_BODIES = 8;

export class KnownAnswers {
  #digests: readonly string[] = [];

  has(body: Uint8Array): boolean {
    return this.#digests.length > 0 && this.#digests.includes(digest(body));
  }

  add(body: Uint8Array): void {
    this.#digests = [...this.#digests, digest(body)].slice(-MAX_KNOWN_BODIES);
  }

  forget(): void {
    this.#digests = [];
  }
}

const digest = (body: Uint8Array): string => createHash("sha256").update(body).digest("base64");
