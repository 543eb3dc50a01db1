/** Certificates that are watched, and connections that outlive theirs, through the whole core. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import type { PeerCertificate } from "../../../protocol/sip/flow.ts";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import { reply } from "../sip/sample.ts";
import { ALICE } from "./call-fixture.ts";
import { Book, CertificateDriver, sealedRegister } from "./certificate-fixture.ts";
import {
  directory,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  peerWith,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
} from "./proxy-fixture.ts";
import { FROM_DAVE, statuses, subscribe, told, usersWithout } from "./watch-fixture.ts";

const MINUTE_MS = 60_000;
const HOUR = sealedRegister.bind(undefined, { expires: 3600 });

/** Alice's certificate as each NOTIFY since shows it; each is taken. */
class Watching extends CertificateDriver {
  tag = "";
  #cseq = 1;

  /** Dave watches. */
  begin(received: SipRequest = subscribe()): readonly string[] {
    const effects = this.receive(received, FROM_DAVE);
    const [answer] = responsesOf(effects);
    assert.equal(answer?.response.status, 200);
    this.tag = messageTag(answer.response, "To") ?? "";
    return this.hear(effects);
  }

  refresh(expiresS: number, arrival: Arrival = FROM_DAVE): readonly ControllerEffect[] {
    this.#cseq += 1;
    const rows = ["Event: certificate", `Expires: ${expiresS}`];
    const to = `<${ALICE}>;tag=${this.tag}`;
    return this.receive(subscribe({ to, cseq: this.#cseq, rows }), arrival);
  }

  /** What is told: state without its time, and body. */
  hear(effects: readonly ControllerEffect[], status = 200): readonly string[] {
    const notifies = requestsOf(effects).filter(({ request: { method } }) => method === "NOTIFY");
    for (const { request: notify } of notifies) {
      const response = reply(notify, status);
      const key = clientKey(notify) ?? "";
      this.feed({ kind: "deliver-response", key, response, ...FROM_DAVE });
    }
    return told(effects).map((each) => each.replace(/;expires=\d+/, ""));
  }

  pass(forMs: number): readonly string[] {
    this.now += forMs;
    return this.hear(this.feed({ kind: "tick" }));
  }
}

test("a watcher is told when the user registers, refreshes and leaves", () => {
  const driver = new Watching();
  assert.deepEqual(driver.begin(), ["active"]);
  driver.register(HOUR());
  assert.deepEqual(driver.pass(MINUTE_MS), ["active certificate 1"]);
  driver.register(HOUR());
  assert.deepEqual(driver.pass(MINUTE_MS), ["active certificate 2"]);
  driver.now += MINUTE_MS;
  const leaving = sealedRegister({ expires: 0, body: null });
  assert.deepEqual(driver.hear(driver.receive(leaving, FROM_ALICE)), ["active"]);
});

test("a watcher is told when the registration ends by itself", () => {
  const driver = new Watching();
  driver.register(sealedRegister({ expires: 120 }));
  assert.deepEqual(driver.begin(), ["active certificate 1"]);
  assert.deepEqual(driver.pass(119_999), []);
  assert.deepEqual(driver.pass(1), ["active"]);
});

test("a watcher is told of a revocation, and of a user who is gone", () => {
  const driver = new Watching();
  driver.register(HOUR());
  driver.begin();
  driver.now += MINUTE_MS;
  driver.book.revoked.add("key-1");
  assert.deepEqual(driver.hear(driver.feed({ kind: "certificates-revoked" })), ["active"]);
  driver.now += MINUTE_MS;
  const rules = {
    sip: { ...SIP, users: directory(...usersWithout(ALICE)) },
    applyTimeoutMs: 1000,
    recordingRequired: false,
    bodyCertificate: Buffer.alloc(0),
  };
  const effects = driver.feed({ kind: "reload", rules });
  assert.deepEqual(driver.hear(effects), ["terminated;reason=noresource"]);
  assert.deepEqual(statuses(driver.refresh(60)), [481]);
});

test("the subscription's own requests find it, and nobody else's do", () => {
  const driver = new Watching();
  driver.begin();
  assert.deepEqual(statuses(driver.refresh(0, FROM_NOBODY)), [407]);
  assert.deepEqual(statuses(driver.refresh(600)), [200]);
  assert.deepEqual(statuses(driver.refresh(0)), [200]);
  assert.deepEqual(statuses(driver.refresh(600)), [481]);
});

test("a NOTIFY that is not taken ends the subscription", () => {
  const driver = new Watching();
  const effects = driver.receive(subscribe(), FROM_DAVE);
  const [answer] = responsesOf(effects);
  driver.tag = answer === undefined ? "" : (messageTag(answer.response, "To") ?? "");
  driver.hear(effects, 481);
  assert.deepEqual(statuses(driver.refresh(600)), [481]);
  const second = driver.receive(subscribe({ callId: "again" }), FROM_DAVE);
  const [sent] = requestsOf(second);
  const key = clientKey(sent?.request ?? subscribe()) ?? "";
  driver.feed({ kind: "failed", side: "client", key, reason: "timeout" });
  assert.equal(driver.core.deadline(), undefined);
});

test("who may not ask may not watch; nobody of ours cannot be watched", () => {
  const driver = new Watching();
  assert.deepEqual(statuses(driver.receive(subscribe(), FROM_NOBODY)), [407]);
  const nobody = "sip:nobody@atlanta.example.com";
  assert.deepEqual(statuses(driver.receive(subscribe({ uri: nobody }), FROM_DAVE)), [404]);
  const foreign = subscribe({ from: "<sip:bob@biloxi.example.com>;tag=b1" });
  assert.deepEqual(statuses(driver.receive(foreign, FROM_BILOXI)), [200]);
});

test("other packages go to the phone; for ourselves there is only 489", () => {
  const driver = new Watching();
  driver.register(HOUR());
  const presence = subscribe({ rows: ["Event: presence"] });
  const [sent] = requestsOf(driver.receive(presence, FROM_DAVE));
  assert.equal(sent?.to, FROM_ALICE.flow);
  const own = subscribe({ uri: "sip:atlanta.example.com", rows: ["Event: presence"], callId: "x" });
  const [answer] = responsesOf(driver.receive(own, FROM_DAVE));
  assert.equal(answer?.response.status, 489);
  assert.equal(headerValue(answer.response, "Allow-Events"), "certificate");
});

test("asking too often is refused for watchers as for others", () => {
  const driver = new Watching({ perMinute: { registrations: 60, queries: 2 } });
  const ask = (callId: string) => statuses(driver.receive(subscribe({ callId }), FROM_DAVE))[0];
  assert.deepEqual(["a", "b", "c"].map(ask).slice(0, 2), [200, 200]);
  assert.notEqual(ask("d"), 200);
});

/** The certificate that alice's connection was opened with. */
const SHOWN: PeerCertificate = { keyId: "key-1", fingerprint: "issued before" };

class Issued extends Book {
  override hasIssued(fingerprint: string): boolean {
    return fingerprint === SHOWN.fingerprint;
  }
}

test("a TLS identity counts as long as a registration of its key does, and no longer", () => {
  const book = new Issued();
  const driver = new CertificateDriver({ directory: book });
  const status = (certificate: PeerCertificate) => {
    const arrival = peerWith(FROM_ALICE, { certificate });
    return statusOf(
      driver.receive(request({ method: "OPTIONS", uri: "sip:atlanta.example.com" }), arrival),
    );
  };
  assert.equal(status(SHOWN), 407, "before there is a registration");
  driver.register(sealedRegister({ expires: 60 }));
  assert.equal(status(SHOWN), 200);
  driver.register(sealedRegister({ expires: 60 }));
  assert.equal(status(SHOWN), 200, "a refresh with the same key");
  driver.now += MINUTE_MS;
  assert.equal(status(SHOWN), 407, "the registration is over");
  driver.feed({ kind: "tick" });
  assert.equal(status(SHOWN), 407);
  const foreign = { ...SHOWN, fingerprint: "another authority's" };
  assert.equal(status(foreign), 200, "a certificate that we did not issue");
  book.revoked.add("key-1");
  assert.equal(status(foreign), 407, "a key that is revoked");
});
