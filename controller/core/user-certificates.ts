/**
 * Who may learn our users' certificates: those who ask once by OPTIONS, and those who watch by
 * SUBSCRIBE (RFC 3261 §11, RFC 6072). Pure. Both see what the registrations hold at that moment.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { earliest, type FailureReason } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { AskerLimit } from "./asker-limit.ts";
import type { Binding } from "./bindings.ts";
import type { AskerOutcome, SignedOutcome } from "./certificate-port.ts";
import { CertificateQueries, type CertificateQuery } from "./certificate-queries.ts";
import { refusedFor } from "./certificate-refusals.ts";
import type { WatchedCertificate } from "./certificate-watch.ts";
import { CertificateWatchers } from "./certificate-watchers.ts";
import { certificatesInService } from "./certificates-in-service.ts";
import type { ControllerEffect } from "./controller-port.ts";
import type { Sender } from "./sender.ts";
import type { Site } from "./site.ts";

export interface UserCertificatesSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly random: (size: number) => Buffer;
  /** Where a user is, the best contact first. */
  readonly bindingsOf: (aor: string, now: Millis) => readonly Binding[];
}

interface Received {
  readonly received: SipRequest;
  readonly key: string;
  readonly arrival: Arrival;
}

export class UserCertificates {
  readonly #setting: UserCertificatesSetting;
  readonly #limit = new AskerLimit();
  readonly #queries: CertificateQueries;
  readonly #watchers: CertificateWatchers;

  constructor(setting: UserCertificatesSetting) {
    this.#setting = setting;
    const certificateOf = (aor: string, now: Millis) => this.#newestOf(aor, now);
    this.#queries = new CertificateQueries({ ...setting, limit: this.#limit });
    this.#watchers = new CertificateWatchers({ ...setting, certificateOf });
  }

  query(query: CertificateQuery, now: Millis): readonly ControllerEffect[] {
    return this.#queries.begin(query, now);
  }

  verified(ref: string, outcome: AskerOutcome, now: Millis): readonly ControllerEffect[] {
    return this.#queries.verified(ref, outcome, now);
  }

  signed(ref: string, outcome: SignedOutcome): readonly ControllerEffect[] {
    return this.#queries.signed(ref, outcome);
  }

  watch(watching: CertificateQuery, now: Millis): readonly ControllerEffect[] {
    const { site, sender } = this.#setting;
    const { authority } = site();
    const refused =
      authority === undefined
        ? refusedFor("no-authority")
        : this.#limit.refusalOf(watching, authority.perMinute.queries, now);
    return refused === undefined
      ? this.#watchers.subscribe(watching, now)
      : sender.turnAway(watching.received, watching.key, refused);
  }

  /** A request of a subscription to a certificate; undefined for any other. */
  receive(received: Received, now: Millis): readonly ControllerEffect[] | undefined {
    const isOfNone = this.#watchers.size === 0 || messageTag(received.received, "To") === undefined;
    return isOfNone ? undefined : this.#watchers.receive(received, now);
  }

  /** The answer to a NOTIFY; undefined for any other. */
  respond(
    client: string,
    response: SipResponse,
    now: Millis,
  ): readonly ControllerEffect[] | undefined {
    return this.#watchers.respond(client, response, now);
  }

  /** A NOTIFY that came to nothing; undefined for any other request. */
  failed(client: string, reason: FailureReason): readonly ControllerEffect[] | undefined {
    return this.#watchers.failed(client, reason);
  }

  /** What was done to bindings, and then what their watchers are told of it. */
  told(effects: readonly ControllerEffect[], now: Millis): readonly ControllerEffect[] {
    if (this.#watchers.size === 0) return effects;
    const changes = effects.flatMap((each) => (each.kind === "store-bindings" ? each.changes : []));
    const aors = changes.map((each) => (each.kind === "put" ? each.binding.aor : each.aor));
    return [...effects, ...[...new Set(aors)].flatMap((aor) => this.#watchers.changed(aor, now))];
  }

  dropFlow(flow: FlowId): void {
    this.#queries.dropFlow(flow);
    this.#watchers.dropFlow(flow);
  }

  /** Other rules. */
  reload(now: Millis): readonly ControllerEffect[] {
    return this.#watchers.reload(now);
  }

  tick(now: Millis): readonly ControllerEffect[] {
    return [...this.#queries.expire(now), ...this.#watchers.tick(now)];
  }

  deadline(): Millis | undefined {
    return earliest(this.#queries.deadline(), this.#watchers.deadline());
  }

  /** Of several phones the one that registered last (RFC 6072 §6.7: there is one certificate). */
  #newestOf(aor: string, now: Millis): WatchedCertificate | undefined {
    const { site, bindingsOf } = this.#setting;
    const { authority } = site();
    if (authority === undefined) return undefined;
    const served = certificatesInService(bindingsOf(aor, now), authority.directory, now);
    const [newest] = served.toSorted(
      (one, other) => other.binding.updatedAt - one.binding.updatedAt,
    );
    return newest === undefined ? undefined : { der: newest.der, endsAt: newest.until };
  }
}
