/**
 * Requests that are merely passed on, statefully, one branch each: those of a dialog, and those
 * outside any (RFC 3261 §16.2). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { upstreamFinal } from "../../protocol/sip/proxy.ts";
import type { FailureReason } from "../../protocol/sip/transaction.ts";

/** How long the 2xx of a passed INVITE may come again (RFC 6026 §7.2, Timer M). */
export const ACCEPTED_MS = 32_000;

export interface Relay {
  readonly clientKey: string;
  readonly serverKey: string;
  /** As received. */
  readonly request: SipRequest;
  /** The call whose dialog it belongs to, and the callee's tag there. */
  readonly dialog?: { readonly call: string; readonly tag: string };
}

export class Relays {
  readonly #byClient = new Map<string, Relay>();
  readonly #byServer = new Map<string, Relay>();
  readonly #deadlines = new DeadlineQueue();

  add(relay: Relay): void {
    this.#byClient.set(relay.clientKey, relay);
    this.#byServer.set(relay.serverKey, relay);
  }

  ofClient(key: string): Relay | undefined {
    return this.#byClient.get(key);
  }

  ofServer(key: string): Relay | undefined {
    return this.#byServer.get(key);
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  /** The response to pass upstream, if any; after a final one the relay is forgotten. */
  pass(
    relay: Relay,
    outcome: SipResponse | FailureReason,
    toTag: string,
    now: Millis,
  ): SipResponse | undefined {
    if (typeof outcome === "string" || outcome.status >= 200) this.#finish(relay, outcome, now);
    return upstreamFinal(relay.request, outcome, { toTag });
  }

  tick(now: Millis): void {
    for (
      let key = this.#deadlines.takeDue(now);
      key !== undefined;
      key = this.#deadlines.takeDue(now)
    ) {
      const relay = this.#byClient.get(key);
      if (relay !== undefined) this.#forget(relay);
    }
  }

  #finish(relay: Relay, outcome: SipResponse | FailureReason, now: Millis): void {
    const accepted =
      relay.request.method === "INVITE" && typeof outcome !== "string" && outcome.status < 300;
    if (accepted) this.#deadlines.set(relay.clientKey, now + ACCEPTED_MS);
    else this.#forget(relay);
  }

  #forget({ clientKey, serverKey }: Relay): void {
    this.#deadlines.set(clientKey, undefined);
    this.#byClient.delete(clientKey);
    this.#byServer.delete(serverKey);
  }
}
