/** The watchers of alice's certificate, and dave and biloxi, who watch. */
import assert from "node:assert/strict";
import type { WatchedCertificate } from "../../../controller/core/certificate-watch.ts";
import type { WatchLimits } from "../../../controller/core/certificate-watch-limits.ts";
import { CertificateWatchers } from "../../../controller/core/certificate-watchers.ts";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import { Gatekeeper, type Origin } from "../../../controller/core/gatekeeper.ts";
import { Neighbourhood } from "../../../controller/core/neighbourhood.ts";
import { Sender } from "../../../controller/core/sender.ts";
import type { SipPolicy } from "../../../controller/core/sip-policy.ts";
import type { Site } from "../../../controller/core/site.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { PeerCertificate } from "../../../protocol/sip/flow.ts";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import { reply } from "../sip/sample.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import {
  CERTIFICATE,
  DAVE,
  FROM_ALICE,
  peerWith,
  type RequestSketch,
  request,
  requestsOf,
  responsesOf,
  type Sent,
  SIP,
  USERS,
} from "./proxy-fixture.ts";

export const TO_OUR_TAG = (tag: string): string => `<${ALICE}>;tag=${tag}`;

export const FROM_DAVE: Arrival = peerWith(
  FROM_ALICE,
  { identities: [DAVE], address: "10.10.0.3", port: 40_003 },
  "flow-dave",
);
const PHONE = "Contact: <sip:dave@10.10.0.3:40003;transport=tls>";

/** `dave`, who watches alice, unless the sketch says otherwise. */
export function subscribe(sketch: RequestSketch = {}, contact = PHONE): SipRequest {
  const made = request({
    method: "SUBSCRIBE",
    uri: ALICE,
    from: `<${DAVE}>;tag=d1`,
    to: `<${ALICE}>`,
    callId: "w1@10.10.0.3",
    ...sketch,
    rows: sketch.rows ?? ["Event: certificate"],
  });
  const headers = made.headers.filter(({ name }) => name !== "Contact");
  const [name = "", ...value] = contact.split(": ");
  return {
    ...made,
    headers: name === "" ? headers : [...headers, { name, value: value.join(": ") }],
  };
}

export const certificate = (text: string, endsAt = NOW + 3_600_000): WatchedCertificate => ({
  der: Buffer.from(text),
  endsAt,
});

export const daveIn = (policy: SipPolicy): Origin => {
  const user = policy.users.find(DAVE);
  assert.ok(user !== undefined);
  return { kind: "user", user, addresses: [] };
};

/** Drives the machine and sorts what comes out. */
export class WatchDriver {
  readonly machine: CertificateWatchers;
  now = NOW;
  /** What is in service, by address of record. */
  readonly served = new Map<string, WatchedCertificate>([[ALICE, certificate("one")]]);
  readonly gone = new Set<string>();
  site: Site;
  #drawn = 0;

  constructor(limits: Partial<WatchLimits> = {}, policy: SipPolicy = SIP) {
    const random = (size: number) => {
      this.#drawn += 1;
      const octets = Buffer.alloc(size);
      octets.writeUInt32BE(this.#drawn);
      return octets;
    };
    this.site = this.siteOf(policy);
    this.machine = new CertificateWatchers({
      ...{ random, limits },
      site: () => this.site,
      sender: new Sender({ random, rules: () => ({ sip: SIP, bodyCertificate: CERTIFICATE }) }),
      certificateOf: (aor, now) => {
        const found = this.served.get(aor);
        return found !== undefined && found.endsAt > now ? found : undefined;
      },
    });
  }

  siteOf(policy: SipPolicy): Site {
    const neighbourhood = new Neighbourhood(policy);
    const gatekeeper = new Gatekeeper({
      ...{ policy, neighbourhood },
      nonceKey: new Secret(Buffer.alloc(32, 1)),
      random: (size) => Buffer.alloc(size, 9),
      isInService: ({ keyId }: PeerCertificate) => !this.gone.has(keyId),
    });
    return { policy, neighbourhood, gatekeeper, media: undefined, authority: undefined };
  }

  subscribe(
    received: SipRequest = subscribe(),
    arrival: Arrival = FROM_DAVE,
    origin: Origin = daveIn(SIP),
    aor = ALICE,
  ): readonly ControllerEffect[] {
    return this.machine.subscribe({ received, key: "s1", arrival, origin, aor }, this.now);
  }

  /** A subscription whose first NOTIFY was taken; returns our tag and that NOTIFY. */
  watching(received: SipRequest = subscribe()): { readonly tag: string; readonly notify: Sent } {
    const effects = this.subscribe(received);
    const [answer] = responsesOf(effects);
    assert.equal(answer?.response.status, 200);
    const [notify] = requestsOf(effects);
    assert.ok(notify !== undefined);
    assert.deepEqual(this.answer(notify.request), []);
    return { tag: messageTag(answer.response, "To") ?? "", notify };
  }

  receive(
    received: SipRequest,
    arrival: Arrival = FROM_DAVE,
  ): readonly ControllerEffect[] | undefined {
    return this.machine.receive({ received, key: "s2", arrival }, this.now);
  }

  answer(notify: SipRequest, status = 200): readonly ControllerEffect[] | undefined {
    return this.machine.respond(clientKey(notify) ?? "", reply(notify, status), this.now);
  }

  fail(notify: SipRequest, reason: "timeout" | "transport" = "timeout") {
    return this.machine.failed(clientKey(notify) ?? "", reason);
  }

  /** Lets time pass as the driver would, tick by tick; what is asked for meanwhile. */
  pass(forMs: number): readonly ControllerEffect[] {
    const until = this.now + forMs;
    const effects: ControllerEffect[] = [];
    for (let round = 0; round < 1000; round += 1) {
      const next = this.machine.deadline();
      if (next === undefined || next > until) {
        this.now = until;
        return effects;
      }
      this.now = Math.max(this.now, next);
      effects.push(...this.machine.tick(this.now));
    }
    throw new Error("deadlines without end");
  }

  serve(text: string | undefined, endsAt?: number): readonly ControllerEffect[] {
    if (text === undefined) this.served.delete(ALICE);
    else this.served.set(ALICE, certificate(text, endsAt));
    return this.machine.changed(ALICE, this.now);
  }
}

/** State and body of each NOTIFY: `active;expires=60 one`, `terminated;reason=timeout` for an empty one. */
export const told = (effects: readonly ControllerEffect[] | undefined): string[] =>
  requestsOf(effects ?? []).map(({ request: { method, headers, body } }) => {
    assert.equal(method, "NOTIFY");
    return `${headerValue({ headers }, "Subscription-State")} ${body.toString()}`.trim();
  });

export const statuses = (effects: readonly ControllerEffect[] | undefined): number[] =>
  responsesOf(effects ?? []).map(({ response }) => response.status);

export const usersWithout = (aor: string) => USERS.filter((each) => each.aor !== aor);

/** A SUBSCRIBE of the dialog that has this tag of ours. */
export const refresh = (tag: string, cseq: number, ...rows: readonly string[]): SipRequest =>
  subscribe({ to: TO_OUR_TAG(tag), cseq, rows: ["Event: certificate", ...rows] });
