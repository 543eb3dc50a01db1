/** What a connection proved by a certificate counts for nothing once that is out of service. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { strangerTo } from "../../../controller/core/dialog-guard.ts";
import type { DialogPlace, Leg } from "../../../controller/core/dialog-table.ts";
import { Gatekeeper } from "../../../controller/core/gatekeeper.ts";
import { Neighbourhood } from "../../../controller/core/neighbourhood.ts";
import { Secret } from "../../../protocol/secret.ts";
import { DigestClient } from "../../../protocol/sip/digest-client.ts";
import type { PeerCertificate } from "../../../protocol/sip/flow.ts";
import { appendHeader, type SipRequest } from "../../../protocol/sip/message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { reply } from "../sip/sample.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import { CertificateDriver, sealedRegister } from "./certificate-fixture.ts";
import {
  DAVE,
  FROM_ALICE,
  FROM_BILOXI,
  peerWith,
  request,
  SIP,
  statusOf,
  trunk,
} from "./proxy-fixture.ts";

const random = (size: number) => Buffer.alloc(size, 3);
const GOOD: PeerCertificate = { fingerprint: "a".repeat(64), keyId: "b".repeat(64) };
const GONE: PeerCertificate = { fingerprint: "c".repeat(64), keyId: "d".repeat(64) };
const BILOXI = "sip:biloxi.example.com";

const routed = trunk("biloxi.example.com", "10.30.0.2", {
  transport: "tls",
  identities: [BILOXI],
});
const policy = { ...SIP, trunks: [routed] };
const neighbourhood = new Neighbourhood(policy);
const asked: [PeerCertificate, number][] = [];
const gatekeeper = new Gatekeeper({
  ...{ policy, neighbourhood, random },
  nonceKey: new Secret(Buffer.alloc(32, 1)),
  isInService: (certificate, now) => {
    asked.push([certificate, now]);
    return certificate.keyId !== GONE.keyId;
  },
});
const site = { policy, neighbourhood, gatekeeper, media: undefined, authority: undefined };

const aliceWith = (certificate?: PeerCertificate): Arrival =>
  peerWith(FROM_ALICE, certificate === undefined ? {} : { certificate });
const daveWith = (certificate: PeerCertificate): Arrival =>
  peerWith(FROM_ALICE, { identities: [DAVE], certificate }, "flow-dave");
const biloxiWith = (certificate: PeerCertificate): Arrival =>
  peerWith(FROM_BILOXI, { transport: "tls", identities: [BILOXI], certificate });

const kindOf = (sent: SipRequest, { peer }: Arrival): string =>
  gatekeeper.admit(sent, peer, NOW).kind;
const FROM_BOB = { from: "<sip:bob@biloxi.example.com>;tag=b1", uri: ALICE };

test("a certificate in service admits its user and its trunk, and is asked about each time", () => {
  asked.length = 0;
  assert.equal(kindOf(request(), aliceWith(GOOD)), "user");
  assert.equal(kindOf(request(FROM_BOB), biloxiWith(GOOD)), "trunk");
  assert.equal(kindOf(request(), aliceWith()), "user");
  assert.deepEqual(asked, [
    [GOOD, NOW],
    [GOOD, NOW],
  ]);
});

test("one that is out of service admits nobody: a user is challenged, a trunk as well", () => {
  assert.equal(kindOf(request(), aliceWith(GONE)), "challenge");
  assert.equal(kindOf(request(FROM_BOB), biloxiWith(GONE)), "challenge");
});

test("digest admits all the same, by the connection of a certificate that is out of service", () => {
  const { peer } = daveWith(GONE);
  const sent = request({ from: `<${DAVE}>;tag=d1` });
  const challenge = gatekeeper.admit(sent, peer, NOW);
  assert.ok(challenge.kind === "challenge");
  const client = new DigestClient({
    username: "dave",
    password: new Secret(Buffer.from("swordfish")),
    random,
  });
  const response = challenge.values.reduce(
    (made, value) => appendHeader(made, "Proxy-Authenticate", value),
    reply(sent, 407),
  );
  assert.equal(client.challenged(sent, response), "again");
  const admission = gatekeeper.admit(client.authorize(sent), peer, NOW);
  assert.ok(admission.kind === "user");
  assert.equal(admission.user.aor, DAVE);
});

test("other rules keep the question", () => {
  const reloaded = gatekeeper.with(policy, neighbourhood);
  assert.equal(reloaded.admit(request(), aliceWith(GONE).peer, NOW).kind, "challenge");
});

/** The dialog of a leg as its caller. */
const placeOf = (leg: Leg): DialogPlace => ({
  set: { callId: "c1", callerTag: "a1", caller: leg, callees: new Map(), asked: [] },
  side: "caller",
  tag: "b1",
});
const legOf = ({ flow, peer }: Arrival, whom: Leg["whom"]): Leg => ({
  ...{ whom, flow, peer },
  contact: undefined,
});
const statusFor = (method: string, leg: Leg, arrival: Arrival): number | undefined =>
  strangerTo(site, placeOf(leg), request({ method }), arrival, NOW)?.status;

test("a dialog's own connection is believed for ends alone once its certificate is out of service", () => {
  const leg = legOf(FROM_ALICE, { aor: ALICE });
  for (const method of ["INVITE", "UPDATE", "INFO", "BYE", "ACK", "PRACK"]) {
    assert.equal(statusFor(method, leg, aliceWith(GOOD)), undefined, method);
    assert.equal(statusFor(method, leg, aliceWith()), undefined, method);
    const expected = ["BYE", "ACK", "PRACK"].includes(method) ? undefined : 407;
    assert.equal(statusFor(method, leg, aliceWith(GONE)), expected, method);
  }
});

test("a new connection with such a certificate is no party of the dialog", () => {
  const leg = legOf(FROM_ALICE, { aor: ALICE });
  const elsewhere = (certificate: PeerCertificate) =>
    peerWith(FROM_ALICE, { certificate, port: 40_001 }, "flow-other");
  assert.equal(statusFor("BYE", leg, elsewhere(GOOD)), undefined);
  assert.equal(statusFor("BYE", leg, elsewhere(GONE)), 407);
});

test("nor does such a connection begin a dialog that its phone was only asked for", () => {
  const asked = legOf(FROM_ALICE, { aor: ALICE });
  const { set } = placeOf(legOf(daveWith(GOOD), { aor: DAVE }));
  const place: DialogPlace = { set: { ...set, asked: [asked] }, side: "callee", tag: "new" };
  const status = (arrival: Arrival) =>
    strangerTo(site, place, request({ method: "NOTIFY" }), arrival, NOW)?.status;
  assert.equal(status(aliceWith(GOOD)), undefined);
  assert.equal(status(aliceWith(GONE)), 403);
});

test("a trunk whose certificate is out of service ends its dialogs, and that is all", () => {
  const leg = legOf(biloxiWith(GOOD), { trunk: routed });
  assert.equal(statusFor("INVITE", leg, biloxiWith(GOOD)), undefined);
  assert.equal(statusFor("INVITE", leg, biloxiWith(GONE)), 403);
  assert.equal(statusFor("BYE", leg, biloxiWith(GONE)), undefined);
});

test("through the core: a TLS identity counts as long as a registration of its key does", () => {
  const driver = new CertificateDriver();
  const shown: PeerCertificate = { keyId: "key-1", fingerprint: "issued before" };
  driver.book.issued.add(shown.fingerprint);
  const status = (certificate: PeerCertificate) => {
    const question = request({ method: "OPTIONS", uri: "sip:atlanta.example.com" });
    return statusOf(driver.receive(question, peerWith(FROM_ALICE, { certificate })));
  };
  assert.equal(status(shown), 407, "before there is a registration");
  driver.register(sealedRegister({ expires: 60 }));
  assert.equal(status(shown), 200);
  driver.register(sealedRegister({ expires: 60 }));
  assert.equal(status(shown), 200, "a refresh with the same key");
  driver.now += 60_000;
  assert.equal(status(shown), 407, "the registration is over");
  const foreign = { ...shown, fingerprint: "another authority's" };
  assert.equal(status(foreign), 200, "a certificate that we did not issue");
  driver.book.revoked.add("key-1");
  assert.equal(status(foreign), 407, "a key that is revoked");
});
