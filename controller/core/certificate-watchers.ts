/**
 * The notifier of the event package `certificate`: whoever passed the gatekeeper may watch the
 * certificate of a user of ours, and is told when it changes or goes out of service (RFC 6072 §6,
 * RFC 6665 §4.2). Pure. It lives in memory alone: after a restart watchers hear 481 and ask anew.
 *
 * ```text
 *   SUBSCRIBE ──subscribe, receive──▶ ┌──────────┐ ──▶ 200, NOTIFY (certificate, or an empty body)
 *   bindings ──changed──────────────▶ │ watchers │ ──▶ NOTIFY: a withdrawal now, others once a minute
 *   its answer ──respond, failed────▶ └──────────┘     not taken: the subscription is over
 * ```
 */
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import { receiveInDialog } from "../../protocol/sip/dialog.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { FailureReason } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { CertificateNotifies, type Notify } from "./certificate-notifies.ts";
import {
  detached,
  endByRules,
  isShown,
  newWatch,
  notifyOf,
  placeOfSubscriber,
  type Watch,
  type WatchEnd,
  type WatchedCertificate,
  waysToSubscriber,
} from "./certificate-watch.ts";
import {
  DEFAULT_WATCH_LIMITS,
  isDialogTooLong,
  type WatchLimits,
} from "./certificate-watch-limits.ts";
import { readWatchRequest } from "./certificate-watch-request.ts";
import { WatchTable } from "./certificate-watch-table.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { strangerTo } from "./dialog-guard.ts";
import type { Origin } from "./gatekeeper.ts";
import { type Rejection, rejection, respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";

/** A certificate that has ended by its own dates is looked for again no sooner than so. */
const RECHECK_MS = 1_000;

export interface CertificateWatchersSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly random: (size: number) => Buffer;
  /** The newest certificate of a user that is in service now. */
  readonly certificateOf: (aor: string, now: Millis) => WatchedCertificate | undefined;
  readonly limits?: Partial<WatchLimits>;
}

interface Received {
  readonly received: SipRequest;
  /** Its server transaction. */
  readonly key: string;
  readonly arrival: Arrival;
}

export class CertificateWatchers {
  readonly #setting: CertificateWatchersSetting;
  readonly #limits: WatchLimits;
  readonly #watches = new WatchTable();
  readonly #notifies: CertificateNotifies;
  readonly #deadlines = new DeadlineQueue();

  constructor(setting: CertificateWatchersSetting) {
    this.#setting = setting;
    this.#notifies = new CertificateNotifies(setting);
    this.#limits = { ...DEFAULT_WATCH_LIMITS, ...setting.limits };
  }

  get size(): number {
    return this.#watches.size;
  }

  /** A first SUBSCRIBE, for a user of ours, by somebody whom the gatekeeper let in. */
  subscribe(
    subscribing: Received & { readonly origin: Origin; readonly aor: string },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { received, key } = subscribing;
    const reading = readWatchRequest(received, this.#limits);
    if (reading.kind === "refused") return this.#refuse(received, key, reading.rejection);
    const { site, sender } = this.#setting;
    const offer = { ...subscribing, ...reading.asked, toTag: sender.newTag() };
    const made = newWatch(offer, site().neighbourhood, now);
    if ("status" in made) return this.#refuse(received, key, made);
    if (isDialogTooLong(made.watch.dialog, this.#limits))
      return this.#refuse(received, key, rejection(403));
    const { watch, response } = made;
    if (reading.asked.expiresS === 0)
      return [respond(key, response), ...this.#notify(watch, "timeout", now)];
    const before = this.#watches.sameBefore(watch);
    const refused = this.#watches.refusalOf(watch, this.#limits);
    if (refused !== undefined) return this.#refuse(received, key, refused);
    if (before !== undefined) this.#forget(before);
    this.#watches.add(watch);
    return [respond(key, response), ...this.#notify(watch, undefined, now)];
  }

  /** A request with a To tag; undefined if it is of no subscription here. */
  receive(
    { received, key, arrival }: Received,
    now: Millis,
  ): readonly ControllerEffect[] | undefined {
    const watch = this.#watches.find(received);
    if (watch === undefined) return undefined;
    const place = placeOfSubscriber(watch.leg, watch.dialog);
    const stranger = strangerTo(this.#setting.site(), place, received, arrival, now);
    if (stranger !== undefined) return this.#refuse(received, key, stranger);
    if (received.method !== "SUBSCRIBE")
      return this.#refuse(received, key, rejection(405, [["Allow", "SUBSCRIBE"]]));
    const reading = readWatchRequest(received, this.#limits);
    if (reading.kind === "refused") return this.#refuse(received, key, reading.rejection);
    // One dialog, one subscription (RFC 6665 §4.5.2).
    if (reading.asked.eventId !== watch.eventId) return this.#refuse(received, key, rejection(481));
    const verdict = receiveInDialog(watch.dialog, received);
    if (verdict.kind === "refused") return this.#refuse(received, key, rejection(verdict.status));
    if (isDialogTooLong(verdict.dialog, this.#limits))
      return this.#refuse(received, key, rejection(403));
    watch.dialog = detached(verdict.dialog);
    this.#watches.move(watch, received, arrival);
    return this.#prolong(watch, { received, key, arrival }, reading.asked.expiresS, now);
  }

  /** The answer to a NOTIFY; undefined if it was none of ours. */
  respond(
    client: string,
    { status }: SipResponse,
    now: Millis,
  ): readonly ControllerEffect[] | undefined {
    const sent = this.#notifies.get(client);
    if (sent === undefined || status < 200) return sent === undefined ? undefined : [];
    this.#notifies.delete(client);
    const { watch } = sent;
    if (status >= 300) this.#forget(watch);
    if (watch.pending === client) watch.pending = undefined;
    if (!this.#watches.has(watch) || watch.pending !== undefined) return [];
    return watch.owed ? this.#notify(watch, undefined, now) : this.#review(watch, now);
  }

  /**
   * A NOTIFY that nobody answered, or that did not leave: it takes another way unless there is a
   * newer one. Undefined if it was none of ours.
   */
  failed(client: string, reason: FailureReason): readonly ControllerEffect[] | undefined {
    const sent = this.#notifies.get(client);
    if (sent === undefined) return undefined;
    this.#notifies.delete(client);
    if (reason === "transport") return sent.watch.pending === client ? this.#send(sent) : [];
    this.#forget(sent.watch);
    return [];
  }

  /** A user's certificates may be others than before. */
  changed(aor: string, now: Millis): readonly ControllerEffect[] {
    const watches = this.#watches.ofAor(aor);
    if (watches.length === 0) return [];
    const current = this.#setting.certificateOf(aor, now);
    return watches.flatMap((watch) => this.#compare(watch, current, now));
  }

  /** A connection is gone. */
  dropFlow(flow: FlowId): void {
    this.#watches.dropFlow(flow);
  }

  /** Other rules: who is gone watches nobody, and who is gone is watched by nobody. */
  reload(now: Millis): readonly ControllerEffect[] {
    return this.#watches.all().flatMap((watch) => {
      const end = endByRules(watch, this.#setting.site());
      return end === undefined ? this.#review(watch, now) : this.#end(watch, end, now);
    });
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  tick(now: Millis): readonly ControllerEffect[] {
    const effects: ControllerEffect[] = [];
    for (let key = this.#deadlines.takeDue(now); key !== undefined; ) {
      const watch = this.#watches.get(key);
      if (watch !== undefined)
        effects.push(
          ...(watch.endsAt <= now ? this.#end(watch, "timeout", now) : this.#review(watch, now)),
        );
      key = this.#deadlines.takeDue(now);
    }
    return effects;
  }

  #refuse(received: SipRequest, key: string, refused: Rejection): readonly ControllerEffect[] {
    return this.#setting.sender.turnAway(received, key, refused);
  }

  #prolong(
    watch: Watch,
    { received, key }: Received,
    expiresS: number,
    now: Millis,
  ): readonly ControllerEffect[] {
    const headers = [
      ["Contact", watch.contact],
      ["Expires", String(expiresS)],
    ] as const;
    const accepted = respond(key, createResponse(received, 200, { headers }));
    watch.endsAt = now + expiresS * 1000;
    if (expiresS === 0) return [accepted, ...this.#end(watch, "timeout", now)];
    watch.owed = watch.pending !== undefined;
    if (!watch.owed) return [accepted, ...this.#notify(watch, undefined, now)];
    this.#schedule(watch, undefined);
    return [accepted];
  }

  /**
   * Tells what has changed since the last NOTIFY: another certificate as soon as a minute has gone
   * by, a withdrawal now. There is at most one of these for each of those.
   */
  #review(watch: Watch, now: Millis): readonly ControllerEffect[] {
    return this.#compare(watch, this.#setting.certificateOf(watch.aor, now), now);
  }

  #compare(
    watch: Watch,
    current: WatchedCertificate | undefined,
    now: Millis,
  ): readonly ControllerEffect[] {
    const mayNotifyAt = watch.notifiedAt + this.#limits.notifyIntervalMs;
    if (watch.pending !== undefined) this.#schedule(watch, undefined);
    else if (isShown(watch, current))
      this.#schedule(watch, current && Math.max(current.endsAt, now + RECHECK_MS));
    else if (current !== undefined && mayNotifyAt > now) this.#schedule(watch, mayNotifyAt);
    else return this.#tell(watch, current, undefined, now);
    return [];
  }

  #schedule({ key, endsAt }: Watch, lookAgainAt: Millis | undefined): void {
    this.#deadlines.set(key, Math.min(endsAt, lookAgainAt ?? endsAt));
  }

  #end(watch: Watch, end: WatchEnd, now: Millis): readonly ControllerEffect[] {
    this.#forget(watch);
    return this.#notify(watch, end, now);
  }

  #notify(watch: Watch, end: WatchEnd | undefined, now: Millis): readonly ControllerEffect[] {
    const isThere = end !== "noresource";
    const current = isThere ? this.#setting.certificateOf(watch.aor, now) : undefined;
    return this.#tell(watch, current, end, now);
  }

  #tell(
    watch: Watch,
    current: WatchedCertificate | undefined,
    end: WatchEnd | undefined,
    now: Millis,
  ): readonly ControllerEffect[] {
    const request = notifyOf(watch, current, end, now);
    watch.shown = current?.der;
    watch.notifiedAt = now;
    watch.owed = false;
    if (end === undefined) this.#schedule(watch, undefined);
    const ways = waysToSubscriber(this.#setting.site(), watch.leg, request);
    return this.#send({ watch, request, ways });
  }

  /** A subscriber to whom no way leads is given up. */
  #send(notify: Notify): readonly ControllerEffect[] {
    const sent = this.#notifies.send(notify);
    if (sent === undefined) this.#forget(notify.watch);
    return sent === undefined ? [] : [sent];
  }

  #forget(watch: Watch): void {
    if (!this.#watches.has(watch)) return;
    this.#watches.delete(watch);
    this.#deadlines.set(watch.key, undefined);
  }
}
