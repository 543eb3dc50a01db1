/**
 * The keys of one call, so that all of them can be wiped at its end. Pure.
 */
import type { Secret } from "../../protocol/secret.ts";
import type { Offer } from "./inspection.ts";
import type { DraftStream } from "./recording-order.ts";

export class CallKeys {
  readonly #secrets = new Set<Secret>();

  keep(secret: Secret): void {
    this.#secrets.add(secret);
  }

  keepOffer({ firstKey, streams }: Offer): void {
    this.keep(firstKey.cek);
    for (const { offer } of streams)
      for (const { masterKeySalt } of offer.crypto) this.keep(masterKeySalt);
  }

  keepStreams(streams: readonly DraftStream[]): void {
    for (const { protection } of streams)
      if (protection.kind === "srtp") this.keep(protection.crypto.masterKeySalt);
  }

  /** Overwrites them all. */
  wipe(): void {
    for (const secret of this.#secrets) secret.wipe();
    this.#secrets.clear();
  }
}
