/**
 * The keys that one call or dialog alone holds, so that each is wiped as soon as nothing needs it. Pure.
 */
import type { Secret } from "../../protocol/secret.ts";

export class OwnedKeys {
  readonly #owned = new Set<Secret>();

  own(secrets: readonly Secret[]): void {
    for (const secret of secrets) this.#owned.add(secret);
  }

  wipeAllBut(live: readonly Secret[] = []): void {
    if (this.#owned.size === 0) return;
    const kept = new Set(live);
    for (const secret of this.#owned) {
      if (kept.has(secret)) continue;
      secret.wipe();
      this.#owned.delete(secret);
    }
  }
}
