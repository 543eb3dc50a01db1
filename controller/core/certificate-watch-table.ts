/**
 * The subscriptions to certificates, found by dialog, by whom they watch, by who watches and by the
 * connection that leads there. Pure.
 */
import type { FlowId } from "../../protocol/sip/flow.ts";
import { FlowMembers } from "../../protocol/sip/flow-members.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { detached, type Watch, watchKey } from "./certificate-watch.ts";
import type { WatchLimits } from "./certificate-watch-limits.ts";
import { callIdOf } from "./dialog-table.ts";
import { Multimap } from "./multimap.ts";
import { contactHost } from "./note-party.ts";
import { type Rejection, rejection } from "./sender.ts";
import { RETRY_AFTER_S } from "./verdict.ts";

export class WatchTable {
  readonly #byKey = new Map<string, Watch>();
  readonly #byAor = new Multimap<Watch>();
  readonly #bySubscriber = new Multimap<Watch>();
  readonly #byFlow = new FlowMembers<Watch>();

  get size(): number {
    return this.#byKey.size;
  }

  has(watch: Watch): boolean {
    return this.#byKey.get(watch.key) === watch;
  }

  get(key: string): Watch | undefined {
    return this.#byKey.get(key);
  }

  /** The subscription whose subscriber sent a request with both tags. */
  find(request: SipRequest): Watch | undefined {
    const watch = this.#byKey.get(watchKey(callIdOf(request), messageTag(request, "To") ?? ""));
    return watch?.dialog.remoteTag === messageTag(request, "From") ? watch : undefined;
  }

  all(): readonly Watch[] {
    return [...this.#byKey.values()];
  }

  ofAor(aor: string): readonly Watch[] {
    return this.#byAor.of(aor);
  }

  /** Of the same phone for the same user, as it subscribes again after it has forgotten. */
  sameBefore({ subscriber, aor, dialog }: Watch): Watch | undefined {
    return this.#bySubscriber
      .of(subscriber)
      .find((each) => each.aor === aor && each.dialog.remoteTarget === dialog.remoteTarget);
  }

  /** Why there is no room for one more, if there is none; one of the same phone gives way to it. */
  refusalOf(watch: Watch, limits: WatchLimits): Rejection | undefined {
    const { watches, watchesPerUser, watchesPerTrunk } = limits;
    const { subscriber, leg } = watch;
    const freed = this.sameBefore(watch) === undefined ? 0 : 1;
    const theirs = this.#bySubscriber.countOf(subscriber) - freed;
    if (theirs >= (leg.whom.trunk === undefined ? watchesPerUser : watchesPerTrunk))
      return rejection(403);
    return this.size - freed < watches
      ? undefined
      : { ...rejection(503), retryAfterS: RETRY_AFTER_S };
  }

  add(watch: Watch): void {
    this.#byKey.set(watch.key, watch);
    this.#byAor.add(watch.aor, watch);
    this.#bySubscriber.add(watch.subscriber, watch);
    if (watch.leg.flow !== undefined) this.#byFlow.add(watch.leg.flow, watch);
  }

  delete(watch: Watch): void {
    this.#byKey.delete(watch.key);
    this.#byAor.delete(watch.aor, watch);
    this.#bySubscriber.delete(watch.subscriber, watch);
    if (watch.leg.flow !== undefined) this.#byFlow.delete(watch.leg.flow, watch);
  }

  /** The subscriber is where an authenticated request of his came from. */
  move(watch: Watch, request: SipRequest, { flow, peer }: Arrival): void {
    const { leg } = watch;
    if (leg.flow !== undefined) this.#byFlow.delete(leg.flow, watch);
    leg.flow = flow;
    leg.peer = peer;
    const contact = contactHost(request);
    if (contact !== undefined) leg.contact = detached(contact);
    this.#byFlow.add(flow, watch);
  }

  /** A connection is gone: nobody is reached by it any more. */
  dropFlow(flow: FlowId): void {
    for (const watch of this.#byFlow.of(flow)) {
      this.#byFlow.delete(flow, watch);
      watch.leg.flow = undefined;
    }
  }
}
