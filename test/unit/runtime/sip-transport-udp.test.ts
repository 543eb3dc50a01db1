/** SIP over UDP, on real sockets of the loopback interface. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns";
import { once } from "node:events";
import { after, test } from "node:test";
import type { FlowId } from "../../../protocol/sip/flow.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import {
  createSipTransport,
  type SipArrival,
  type SipTransportHandle,
  type SipTransportSetting,
} from "../../../runtime/sip-transport.ts";
import { newCounters } from "../../../runtime/sip-transport-counters.ts";
import { MessageRate } from "../../../runtime/sip-transport-rate.ts";
import { DatagramTransport } from "../../../runtime/sip-transport-udp.ts";
import { reply, sampleRequest } from "../sip/sample.ts";

const open: (() => unknown)[] = [];
after(() => Promise.all(open.map((close) => close())));

interface Started {
  readonly handle: SipTransportHandle;
  readonly port: number;
  readonly arrivals: SipArrival[];
  readonly failures: string[];
  /** Waits until so many messages have come. */
  readonly come: (messages: number) => Promise<readonly SipArrival[]>;
}

async function start(
  addresses: readonly string[],
  setting: Partial<SipTransportSetting> = {},
): Promise<Started> {
  const arrivals: SipArrival[] = [];
  const failures: string[] = [];
  let wake = (): void => undefined;
  const handle = await createSipTransport({
    listeners: addresses.map((address) => ({ transport: "udp", address, port: 0 })),
    onMessage: (arrival) => {
      arrivals.push(arrival);
      wake();
    },
    onClosed: () => assert.fail("a UDP flow never ends"),
    onSent: () => assert.fail("never told of UDP"),
    onFailed: (key) => {
      failures.push(key);
      wake();
    },
    ...setting,
  });
  open.push(() => handle.close());
  const come = async (messages: number): Promise<readonly SipArrival[]> => {
    while (arrivals.length < messages)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return arrivals;
  };
  return { handle, port: handle.listening[0]?.port ?? 0, arrivals, failures, come };
}

async function rawSocket(address = "127.0.0.1"): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  open.push(() => socket.close());
  socket.bind(0, address);
  await once(socket, "listening");
  return socket;
}

const message = (body = ""): SipRequest =>
  sampleRequest("MESSAGE", { body: Buffer.from(body, "latin1") });
const udp = (port: number, address = "127.0.0.1") => ({ transport: "udp", address, port }) as const;
const bodyOf = ({ message: { body } }: SipArrival): string => body.toString("latin1");

test("nothing goes to port 0, and nothing breaks", async () => {
  const { handle, failures } = await start(["127.0.0.1"]);
  for (const to of ["udp/0/0/127.0.0.1", udp(0)])
    await assert.rejects(handle.send(message(), to), /takes no more/);
  handle.post(message(), "udp/0/0/127.0.0.1", "c|key");
  handle.post(message(), "udp/0/0/127.0.0.1");
  await new Promise(setImmediate);
  assert.deepEqual(failures, ["c|key"]);
});

/** Sends datagrams whose source port is 0, as no socket of its own would. */
const FROM_PORT_0 = `
import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
for text in sys.argv[2:]:
    octets = bytes.fromhex(text)
    raw.sendto(struct.pack("!HHHH", 0, int(sys.argv[1]), 8 + len(octets), 0) + octets, ("127.0.0.1", 0))
`;

test("whoever sends from port 0 gets no answer and harms nobody", {
  skip: process.getuid?.() !== 0 && "raw sockets are for root",
}, async () => {
  const server = await start(["127.0.0.1"]);
  const stun = Buffer.from("000100002112a442000102030405060708090a0b", "hex");
  const unreadable = Buffer.from(
    "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\r\n",
  );
  const octets = [stun, unreadable, serializeMessage(message())].map((each) =>
    each.toString("hex"),
  );
  execFileSync("python3", ["-c", FROM_PORT_0, String(server.port), ...octets]);
  const client = await rawSocket();
  client.send(serializeMessage(message("good")), server.port);
  const [arrival] = await server.come(1);
  assert.equal(arrival === undefined ? "" : bodyOf(arrival), "good");
  assert.equal(server.handle.counters.malformed, octets.length);
});

for (const address of ["127.0.0.1", "::1"])
  test(`a message there and its answer back from the same socket, ${address}`, async () => {
    const server = await start([address, address]);
    const second = server.handle.listening[1]?.port ?? 0;
    const client = await start([address]);
    const flow = await client.handle.send(message("\0\r\n\r\nx"), udp(second, address));
    const [arrival] = await server.come(1);
    assert.ok(arrival !== undefined);
    assert.equal(bodyOf(arrival), "\0\r\n\r\nx");
    assert.match(arrival.flow, /^udp\//);
    assert.deepEqual(arrival.peer, {
      ...{ transport: "udp", address, port: client.port },
      ...{ localAddress: address, localPort: second, identities: [] },
    });
    server.handle.post(reply(message(), 200), arrival.flow, "answer");
    const [answer] = await client.come(1);
    assert.equal(answer?.flow, flow);
    assert.equal(answer?.peer.port, second);
  });

test("a target chooses the socket by our address and port; without one, any of its family", async () => {
  const server = await start(["127.0.0.1"]);
  const client = await start(["::1", "127.0.0.1", "127.0.0.2"]);
  const [, first, second] = client.handle.listening;
  const choices = [
    [{}, first?.port],
    [{ localAddress: "127.0.0.2" }, second?.port],
    [{ localPort: second?.port ?? 0 }, second?.port],
  ] as const;
  for (const [index, [chosen, port]] of choices.entries()) {
    client.handle.post(message(), { ...udp(server.port), ...chosen });
    assert.equal((await server.come(index + 1))[index]?.peer.port, port);
  }
  const wrong = { ...udp(server.port), localAddress: "127.0.0.9" };
  await assert.rejects(client.handle.send(message(), wrong), /no UDP socket/);
});

test("without a listener a socket is opened for each family; answers come back to it", async () => {
  const client = await start([]);
  for (const [index, address] of ["127.0.0.1", "::1", "127.0.0.1"].entries()) {
    const server = await start([address]);
    await client.handle.send(message(), udp(server.port, address));
    const [arrival] = await server.come(1);
    server.handle.post(reply(message(), 200), arrival?.flow ?? "");
    const answers = await client.come(index + 1);
    assert.equal(answers[index]?.peer.localPort, arrival?.peer.port);
    assert.equal(answers[index]?.peer.localAddress, undefined);
  }
});

test("a wildcard listener does not pretend to know which address was meant", async () => {
  const server = await start(["0.0.0.0", "::"]);
  const [four, six] = server.handle.listening;
  const client = await start([]);
  await client.handle.send(message("4"), udp(four?.port ?? 0));
  await client.handle.send(message("6"), udp(six?.port ?? 0, "::1"));
  for (const { peer } of await server.come(2)) assert.equal(peer.localAddress, undefined);
});

test("what cannot be sent: too long, nowhere, an unknown flow, a name that nobody has", async () => {
  const client = await start(["127.0.0.1"]);
  client.handle.post(message("x".repeat(66_000)), udp(9), "long");
  client.handle.post(message(), "udp/7/5060/127.0.0.1", "flow");
  client.handle.post(message(), udp(5060, "name.invalid"), "name");
  client.handle.post(message(), udp(5060, "name.invalid"));
  await assert.rejects(client.handle.send(message(), "udp/7/5060/127.0.0.1"), /gone/);
  await assert.rejects(client.handle.send(message(), udp(5060, "name.invalid")), /ENOTFOUND|EAI/);
  while (client.failures.length < 3) await new Promise(setImmediate);
  assert.deepEqual(client.failures.toSorted(), ["flow", "long", "name"]);
});

test("bad beside good: what cannot be read is answered at most once and harms nobody", async () => {
  const server = await start(["127.0.0.1"]);
  const socket = await rawSocket();
  const answers: string[] = [];
  socket.on("message", (octets) => answers.push(octets.toString("latin1").split("\r\n")[0] ?? ""));
  const via = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n";
  const bad = [
    `OPTIONS sip:a SIP/2.0\r\n${via}l: 9\r\n\r\nshort`,
    `OPTIONS sip:a SIP/7.0\r\n${via}l: 0\r\n\r\n`,
    `SIP/2.0 200 OK\r\n${via}l: 9\r\n\r\n`,
    `ACK sip:a SIP/2.0\r\n${via}l: 9\r\n\r\n`,
    "\x16\x03\x01 not SIP",
    "\r\n\r\n",
    "\0",
  ];
  for (const text of bad) socket.send(Buffer.from(text, "latin1"), server.port, "127.0.0.1");
  socket.send(serializeMessage(message("good")), server.port, "127.0.0.1");
  const [arrival] = await server.come(1);
  assert.equal(arrival === undefined ? "" : bodyOf(arrival), "good");
  server.handle.post(reply(message(), 200), arrival?.flow ?? "");
  while (answers.length < 3) await once(socket, "message");
  assert.deepEqual(answers, [
    "SIP/2.0 400 Bad Request",
    "SIP/2.0 505 Version Not Supported",
    "SIP/2.0 200 OK",
  ]);
  assert.equal(server.handle.counters.malformed, 5);
  assert.equal(server.handle.counters.keepAlives, 2);
});

test("RFC 5626 3.5.2: STUN on the SIP port is told its address", async () => {
  for (const address of ["127.0.0.1", "::1"]) {
    const server = await start([address]);
    const socket = await rawSocket(address);
    const request = Buffer.from("000100002112a442b7e7a701bc34d686fa87dfae", "hex");
    const answered = once(socket, "message");
    socket.send(request, server.port, address);
    const [answer] = await answered;
    assert.equal(answer.readUInt16BE(0), 0x0101);
    assert.deepEqual(answer.subarray(8, 20), request.subarray(8, 20));
    assert.equal(answer.readUInt16BE(26) ^ 0x2112, socket.address().port);
    assert.equal(server.arrivals.length, 0);
  }
});

test("one address may not send too fast; another is heard meanwhile", async () => {
  const limits = { messagesPerSecond: 0.01, messageBurst: 3 };
  const server = await start(["127.0.0.1"], { limits });
  const flood = await start(["127.0.0.1"]);
  const other = await start(["127.0.0.2"]);
  for (let sent = 0; sent < 20; sent += 1) await flood.handle.send(message("f"), udp(server.port));
  await other.handle.send(message("o"), udp(server.port));
  assert.deepEqual((await server.come(4)).map(bodyOf), ["f", "f", "f", "o"]);
  assert.equal(server.handle.counters.overRate, 17);
});

test("how long datagrams wait: not at all, until somebody floods", async () => {
  const server = await start(["127.0.0.1"], { onMessage: () => undefined });
  const client = await start(["127.0.0.1"]);
  assert.equal(server.handle.queueDelayMs(), 0);
  await client.handle.send(message(), udp(server.port));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(server.handle.queueDelayMs() < 100);
  assert.equal(server.handle.counters.received, 1);
  const busyUntil = performance.now() + 150;
  while (performance.now() < busyUntil);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(server.handle.queueDelayMs() >= 150);
  await server.handle.close();
  assert.equal(server.handle.queueDelayMs(), 0);
});

test("a socket that never got its port is not asked how long datagrams wait", async () => {
  const transport = new DatagramTransport({
    onMessage: () => assert.fail("nothing comes"),
    rate: new MessageRate({ messagesPerSecond: 1, messageBurst: 1 }),
    counters: newCounters(),
    lookup,
    log: undefined,
  });
  open.push(() => transport.close());
  await assert.rejects(transport.listen("192.0.2.1", 0));
  assert.equal(transport.queueDelayMs(), 0);
});

test("a port in use rejects, and after close nothing leaves", async () => {
  const server = await start(["127.0.0.1"]);
  const listeners = [{ transport: "udp", address: "127.0.0.1", port: server.port }] as const;
  await assert.rejects(start([], { listeners }), /listener/);
  const flow: FlowId = `udp/0/${server.port}/127.0.0.1`;
  await server.handle.close();
  await assert.rejects(server.handle.send(message(), flow), /takes no more/);
  await assert.rejects(server.handle.send(message(), udp(9)), /no UDP socket/);
});
