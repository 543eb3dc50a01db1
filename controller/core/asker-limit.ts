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
import type { Trunk } from "./sip-policy.ts";

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
    const waitS =
      origin.kind === "user"
        ? this.#rate.take(origin.user.aor, perMinute, now)
        : this.#waitOf(origin.trunk, received, perMinute, now);
    return waitS === undefined ? undefined : tryLater("Too many queries", waitS);
  }

  /** Whoever a trunk says is asking: it uses up nobody's share but its own. */
  #waitOf(
    { domain }: Trunk,
    received: SipRequest,
    perMinute: number,
    now: Millis,
  ): number | undefined {
    const asker = aorOfUri(messageAddress(received, "From").uri);
    const ofOne = this.#rate.take(`trunk ${domain} ${asker}`, perMinute, now);
    const ofAll = this.#rate.take(`trunk ${domain}`, perMinute * TRUNK_SHARE, now);
    return ofOne === undefined ? ofAll : Math.max(ofOne, ofAll ?? 0);
  }
}
