/** SIP over TCP and TLS, on real sockets of the loopback interface: what listeners can be told. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { EXPIRED_KEPT_MS } from "../../../runtime/authority-database.ts";
import {
  createSipTransport,
  type SipArrival,
  type SipListener,
  type SipTransportHandle,
  type SipTransportSetting,
} from "../../../runtime/sip-transport.ts";
import { PROOF_OUTLIVED_MS } from "../../../runtime/sip-transport-streams.ts";
import { makeDomain } from "../sip/certificates.ts";
import { reply, sampleRequest } from "../sip/sample.ts";

const open: SipTransportHandle[] = [];
after(() => Promise.all(open.map((transport) => transport.close())));

/** A transport that keeps what it is told, in order; `told` waits for so much of it. */
async function start(
  listener: SipListener | undefined,
  setting: Partial<SipTransportSetting> = {},
) {
  const arrivals: SipArrival[] = [];
  const news: string[] = [];
  let wake = (): void => undefined;
  const note = (what: string): void => {
    news.push(what);
    wake();
  };
  const handle = await createSipTransport({
    listeners: listener === undefined ? [] : [listener],
    onMessage: (arrival) => {
      arrivals.push(arrival);
      note(`message ${arrival.message.body.toString("latin1")}`);
    },
    onClosed: (flow) => note(`closed ${flow}`),
    onSent: (key, flow) => note(`sent ${key} ${flow}`),
    onFailed: (key) => note(`failed ${key}`),
    ...setting,
  });
  open.push(handle);
  const told = async (count: number): Promise<readonly string[]> => {
    while (news.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return news;
  };
  return { handle, port: handle.listening[0]?.port ?? 0, arrivals, told };
}

const at = (transport: "tcp" | "tls", address = "127.0.0.1"): SipListener => ({
  ...{ transport, address, port: 0 },
});
const target = (transport: "tcp" | "tls", port: number, address = "127.0.0.1") =>
  ({ transport, address, port }) as const;
const message = (body = ""): SipRequest =>
  sampleRequest("MESSAGE", { body: Buffer.from(body, "latin1") });

async function rawClient(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

test("IPv6: TCP there and back; an IPv6 listener leaves the port to IPv4", async () => {
  const server = await start(at("tcp", "::1"));
  const client = await start(undefined);
  const flow = await client.handle.send(message("six"), target("tcp", server.port, "::1"));
  await server.told(1);
  const [arrival] = server.arrivals;
  assert.equal(arrival?.peer.address, "::1");
  assert.equal(arrival?.peer.localPort, server.port);
  server.handle.post(reply(message("back"), 200), arrival?.flow ?? "");
  await client.told(1);
  assert.equal(client.arrivals[0]?.flow, flow);
  const all = await start(at("tcp", "::"));
  const beside = await start({ transport: "tcp", address: "0.0.0.0", port: all.port });
  assert.equal(beside.port, all.port);
});

test("posting tells by key which connection was taken, or that none was to be had", async () => {
  const server = await start(at("tcp"));
  const client = await start(undefined);
  client.handle.post(message("one"), target("tcp", server.port), "k1");
  await server.told(1);
  const [sent] = await client.told(1);
  assert.match(sent ?? "", /^sent k1 flow-/);
  const flow = (sent ?? "").replace("sent k1 ", "");
  client.handle.post(message("two"), flow, "k2");
  client.handle.post(message("three"), "flow-99", "k3");
  client.handle.post(message("four"), "flow-99");
  await server.told(2);
  assert.deepEqual((await client.told(2)).slice(1), ["failed k3"]);
});

test("a target that names our own address gets a connection from there", async () => {
  const server = await start(at("tcp"));
  const client = await start(undefined);
  const from = { ...target("tcp", server.port), localAddress: "127.0.0.3" };
  const flow = await client.handle.send(message(), from);
  assert.equal(await client.handle.send(message(), from), flow);
  assert.notEqual(await client.handle.send(message(), target("tcp", server.port)), flow);
  await server.told(3);
  assert.deepEqual(server.arrivals.map(({ peer }) => peer.address).toSorted(), [
    "127.0.0.1",
    "127.0.0.3",
    "127.0.0.3",
  ]);
  const [{ peer }] = server.arrivals as [SipArrival];
  const back = { ...target("tcp", peer.port, peer.address), localAddress: "127.0.0.1" };
  assert.match(await server.handle.send(message("back"), back), /^flow-/);
  await client.told(1);
});

test("who opens a connection and never completes a message is let go; a keep-alive counts", async () => {
  const { handle, port } = await start(at("tcp"), { limits: { firstMessageTimeoutMs: 60 } });
  const mute = await rawClient(port);
  const pinging = await rawClient(port);
  pinging.write("\r\n\r\n");
  await once(mute.resume(), "close");
  assert.equal(pinging.closed, false);
  assert.equal(handle.counters.keepAlives, 1);
  pinging.destroy();
});

test("a stream that sends too fast is read more slowly, and loses nothing", async () => {
  const limits = { messagesPerSecond: 100, messageBurst: 2 };
  const server = await start(at("tcp"), { limits });
  const socket = await rawClient(server.port);
  const began = performance.now();
  for (let sent = 0; sent < 12; sent += 1) {
    socket.write(serializeMessage(message(String(sent))));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const news = await server.told(12);
  assert.deepEqual(
    news,
    Array.from({ length: 12 }, (_, index) => `message ${index}`),
  );
  assert.ok(performance.now() - began > 50);
  assert.ok(server.handle.counters.overRate > 0);
  socket.destroy();
});

test("connections beyond the limit are refused and counted, with one warning for all", async () => {
  const warnings: unknown[][] = [];
  const ignore = (): void => undefined;
  const log = { info: ignore, debug: ignore, warn: (...line: unknown[]) => warnings.push(line) };
  const server = await start(at("tcp"), {
    limits: { connectionsPerAddress: 1 },
    log: log as unknown as NonNullable<SipTransportSetting["log"]>,
  });
  const held = await rawClient(server.port);
  for (let refused = 1; refused <= 3; refused += 1) {
    const socket = await rawClient(server.port);
    await once(socket.resume(), "close");
    assert.equal(server.handle.counters.refusedConnections, refused);
  }
  assert.deepEqual(warnings, [[{ refusedSinceStart: 1 }, "too many SIP connections"]]);
  held.destroy();
});

test("a message cut off by our own rest has its whole time afterwards, and no more", async () => {
  // One message above the burst: the rest, of 200 ms, is longer than a message may take.
  const limits = { messagesPerSecond: 5, messageBurst: 1, messageTimeoutMs: 100 };
  const server = await start(at("tcp"), { limits });
  const socket = await rawClient(server.port);
  const third = serializeMessage(message("third"));
  const two = ["first", "second"].map((body) => serializeMessage(message(body)));
  socket.write(Buffer.concat([...two, third.subarray(0, 20)]));
  await server.told(2);
  socket.write(third.subarray(20));
  assert.deepEqual(await server.told(3), ["message first", "message second", "message third"]);
  await new Promise((resolve) => setTimeout(resolve, 250));
  socket.write(third.subarray(0, 20));
  assert.match((await server.told(4))[3] ?? "", /^closed flow-/);
  socket.destroy();
});

test("TLS: each listener says for itself whom it asks for a certificate", async () => {
  const domain = await makeDomain();
  const { server: tls, alice } = domain;
  const cases = [
    ["none", [], true],
    ["request", ["sip:alice@atlanta.example.com"], true],
    ["require", ["sip:alice@atlanta.example.com"], false],
  ] as const;
  for (const [clientCertificates, identities, takesStrangers] of cases) {
    const server = await start({ ...at("tls"), clientCertificates }, { tls });
    const client = await start(undefined, { tls: alice });
    await client.handle.send(message("known"), target("tls", server.port));
    await server.told(1);
    assert.deepEqual(server.arrivals[0]?.peer.identities, identities);
    const stranger = tlsConnect({
      ...{ host: "127.0.0.1", port: server.port },
      rejectUnauthorized: false,
    });
    stranger.on("error", () => undefined);
    stranger.write(serializeMessage(message("stranger")));
    if (takesStrangers) assert.equal((await server.told(2))[1], "message stranger");
    else await new Promise((resolve) => stranger.resume().once("close", resolve));
    assert.equal(server.arrivals.length, takesStrangers ? 2 : 1);
    stranger.destroy();
  }
});

test("TLS: credentials are replaced without dropping a connection", async () => {
  const [old, next] = [await makeDomain(), await makeDomain()];
  const server = await start(at("tls"), { tls: old.server });
  const kept = await start(undefined, { tls: old.alice });
  const flow = await kept.handle.send(message("before"), target("tls", server.port));
  await server.told(1);
  server.handle.setTls(next.server);
  assert.equal(await kept.handle.send(message("after"), flow), flow);
  await server.told(2);
  const late = await start(undefined, { tls: old.alice });
  await assert.rejects(
    late.handle.send(message(), target("tls", server.port)),
    /SELF_SIGNED|VERIFY|ISSUER/,
  );
  late.handle.setTls(next.alice);
  await late.handle.send(message("new"), target("tls", server.port));
  assert.deepEqual(await server.told(3), ["message before", "message after", "message new"]);
});

test("TLS: a connection is heard for a while after its certificate's end, and then no more", async (context) => {
  assert.ok(PROOF_OUTLIVED_MS < EXPIRED_KEPT_MS, "or what we issued would count as foreign");
  const domain = await makeDomain();
  const server = await start(
    { ...at("tls"), clientCertificates: "require" },
    { tls: domain.server },
  );
  const client = await start(undefined, { tls: domain.alice });
  const flow = await client.handle.send(message("valid"), target("tls", server.port));
  await server.told(1);
  const { notAfter } = decodeCertificate(new X509Certificate(domain.alice.certificate).raw);
  context.mock.timers.enable({ apis: ["Date"], now: notAfter + PROOF_OUTLIVED_MS });
  await client.handle.send(message("refreshed"), flow);
  await server.told(2);
  context.mock.timers.tick(1);
  await client.handle.send(message("over"), flow);
  const [, , last] = await server.told(3);
  assert.equal(last, `closed ${server.arrivals[0]?.flow}`);
});
