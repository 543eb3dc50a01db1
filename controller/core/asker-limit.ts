/**
 * How often somebody may ask for certificates, once or by subscription: each asker, and all behind
 * one trunk together, whose names are what it says they are. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { tryLater } from "./certificate-refusals.ts";
import { aorOfUri, type Origin } from "./gatekeeper.ts";
import { RateLimit } from "./rate-limit.ts";
import type { Rejection } from "./sender.ts";

/** Questions that come from one trunk: so many times as many as of one asker. */
export const TRUNK_SHARE = 20;

export class AskerLimit {
  readonly #rate = new RateLimit();

  /** Counts a question; undefined if it may be asked. */
  refusalOf(
    { received, origin }: { readonly received: SipRequest; readonly origin: Origin },
    perMinute: number,
    now: Millis,
  ): Rejection | undefined {
    const asker =
      origin.kind === "user" ? origin.user.aor : aorOfUri(messageAddress(received, "From").uri);
    const waits = [this.#rate.take(`asker ${asker}`, perMinute, now)];
    if (origin.kind === "trunk")
      waits.push(this.#rate.take(`trunk ${origin.trunk.domain}`, perMinute * TRUNK_SHARE, now));
    const waitS = Math.max(...waits.map((each) => each ?? 0));
    return waitS === 0 ? undefined : tryLater("Too many queries", waitS);
  }
}
