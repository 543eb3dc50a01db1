/** Whose authority may speak for whom: the rule itself, and over real TLS connections. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { after, test } from "node:test";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import {
  createSipTransport,
  type SipArrival,
  type SipTransportHandle,
} from "../../../runtime/sip-transport.ts";
import { MAX_INTERMEDIATES, nameRule } from "../../../runtime/sip-transport-anchors.ts";
import type { SipTlsSetting } from "../../../runtime/sip-transport-tls.ts";
import { dns, issue, LOOPBACK, uri } from "../sip/certificates.ts";
import { sampleRequest } from "../sip/sample.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";
const atlanta = await issue("authority", [], undefined, 1);
const biloxi = await issue("authority", [], undefined, 1);
const issuing = await issue("authority", [], biloxi.issuer);
const x509 = (der: Buffer) => new X509Certificate(der);
const anchors = {
  anchors: [atlanta.pem],
  anchorsByDomain: new Map([["biloxi.example.com", [biloxi.certificate]]]),
};

const names: readonly (readonly [host: string, expected: boolean])[] = [
  ["biloxi.example.com", true],
  ["BILOXI.example.com.", true],
  ["ss2.biloxi.example.com", true],
  ["atlanta.example.com", false],
  ["example.com", false],
  ["notbiloxi.example.com", false],
  ["biloxi.example.com.evil.org", false],
  ["127.0.0.1", false],
  ["", false],
];

test("an anchor of one domain proves names of that domain and below it, no others", async () => {
  const leaf = await issue("user", [], issuing.issuer);
  const mayBear = nameRule(anchors, x509(leaf.certificate), () => [x509(issuing.certificate)]);
  for (const [host, expected] of names) assert.equal(mayBear(host), expected, host);
});

test("an anchor for any name proves them all; without domains so does every chain", async () => {
  const [ours, theirs] = [
    await issue("user", [], atlanta.issuer),
    await issue("user", [], issuing.issuer),
  ];
  for (const [host] of names) {
    assert.ok(nameRule(anchors, x509(ours.certificate), () => [])(host));
    const open = { anchors: [atlanta.pem, biloxi.pem] };
    assert.ok(nameRule(open, x509(theirs.certificate), () => assert.fail("nobody asked"))(host));
  }
});

test("an authority that both lists name proves any name", async () => {
  const both = { ...anchors, anchors: [`${atlanta.pem}${biloxi.pem}`] };
  const leaf = await issue("user", [], biloxi.issuer);
  assert.ok(nameRule(both, x509(leaf.certificate), () => [])("atlanta.example.com"));
});

test("what is sent along counts only by its signatures, and only so far", async () => {
  const leaf = await issue("user", [uri(ALICE)], issuing.issuer);
  const forged = await issue("authority", [], atlanta.issuer);
  const other = await issue("host", [], atlanta.issuer);
  const certificate = x509(leaf.certificate);
  const chain = x509(issuing.certificate);
  const mayBe = (sent: readonly X509Certificate[], host: string) =>
    nameRule(anchors, certificate, () => sent)(host);
  assert.ok(!mayBe([x509(forged.certificate), x509(atlanta.certificate)], "atlanta.example.com"));
  assert.ok(!mayBe([x509(other.certificate)], "biloxi.example.com"));
  assert.ok(!mayBe([], "biloxi.example.com"));
  const padding = Array.from({ length: MAX_INTERMEDIATES - 1 }, () => x509(forged.certificate));
  assert.ok(mayBe([...padding, chain], "biloxi.example.com"));
  assert.ok(!mayBe([...padding, x509(forged.certificate), chain], "biloxi.example.com"));
  const endless = x509(biloxi.certificate);
  assert.ok(mayBe([endless, endless, chain], "biloxi.example.com"));
});

const open: SipTransportHandle[] = [];
after(() => Promise.all(open.map((each) => each.close())));

type Issued = Awaited<ReturnType<typeof issue>>;

const settingOf = (own: Issued, chain = ""): SipTlsSetting => ({
  ...anchors,
  certificate: `${own.pem}${chain}`,
  key: own.key,
  clientCertificates: "require",
});

async function start(tls: SipTlsSetting, listens: boolean) {
  const { promise, resolve } = Promise.withResolvers<SipArrival>();
  const handle = await createSipTransport({
    listeners: listens ? [{ transport: "tls", address: "127.0.0.1", port: 0 }] : [],
    tls,
    onMessage: resolve,
    onClosed: () => undefined,
  });
  open.push(handle);
  return { handle, arrival: promise, port: handle.listening[0]?.port ?? 0 };
}

const message: SipRequest = sampleRequest("MESSAGE");
const target = (port: number, serverName: string) =>
  ({ transport: "tls", address: "127.0.0.1", port, serverName }) as const;

test("TLS: a client of another domain's authority has that domain's names alone, and is named", async () => {
  const server = await start(
    settingOf(await issue("host", [dns("ss1.atlanta.example.com")], atlanta.issuer)),
    true,
  );
  const own = await issue("user", [uri(ALICE), uri(BOB), uri("sip:[")], issuing.issuer);
  const client = await start(settingOf(own, issuing.pem), false);
  await client.handle.send(message, target(server.port, "ss1.atlanta.example.com"));
  const { peer } = await server.arrival;
  assert.deepEqual(peer.identities, [BOB]);
  const { publicKey } = x509(own.certificate);
  const hash = (octets: Buffer) => createHash("sha256").update(octets).digest("hex");
  assert.deepEqual(peer.certificate, {
    fingerprint: hash(own.certificate),
    keyId: hash(publicKey.export({ format: "der", type: "spki" })),
  });
});

test("TLS: a server of another domain's authority is spoken to under that domain's names alone", async () => {
  const everything = [
    dns("ss1.atlanta.example.com"),
    uri("sip:atlanta.example.com"),
    dns("ss2.biloxi.example.com"),
    uri("sip:biloxi.example.com"),
    LOOPBACK,
  ];
  const own = await issue("host", everything, issuing.issuer);
  const server = await start(settingOf(own, issuing.pem), true);
  const client = await start(settingOf(await issue("user", [uri(ALICE)], atlanta.issuer)), false);
  for (const name of ["ss2.biloxi.example.com", "biloxi.example.com"])
    assert.match(await client.handle.send(message, target(server.port, name)), /^flow-/);
  for (const name of ["ss1.atlanta.example.com", "atlanta.example.com", "127.0.0.1"])
    await assert.rejects(
      client.handle.send(message, target(server.port, name)),
      /another domain/,
      name,
    );
});
