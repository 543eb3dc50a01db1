/** The transport over real sockets on loopback. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import type { SipMessage, SipRequest } from "../../../protocol/sip/message.ts";
import { MAX_BODY_BYTES } from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import {
  createSipTransport,
  type SipArrival,
  type SipTransportHandle,
  type SipTransportSetting,
} from "../../../runtime/sip-transport.ts";
import { makeDomain } from "./certificates.ts";
import { reply, sampleRequest } from "./sample.ts";

const domain = await makeDomain();
const open: SipTransportHandle[] = [];
after(() => Promise.all(open.map((transport) => transport.close())));

/** A transport that keeps what it receives; `next` waits for the next of each kind. */
async function start(setting: Partial<SipTransportSetting> = {}) {
  const arrivals = queue<SipArrival>();
  const closed = queue<string>();
  const handle = await createSipTransport({
    listeners: [{ transport: "tcp", address: "127.0.0.1", port: 0 }],
    onMessage: arrivals.put,
    onClosed: closed.put,
    ...setting,
  });
  open.push(handle);
  const [listener] = handle.listening;
  const port = listener?.port ?? 0;
  return { handle, port, arrival: arrivals.next, closed: closed.next };
}

const tlsListener = [{ transport: "tls", address: "127.0.0.1", port: 0 }] as const;
const tcp = (port: number) => ({ transport: "tcp", address: "127.0.0.1", port }) as const;
const tls = (port: number, serverName?: string) =>
  ({
    transport: "tls",
    address: "127.0.0.1",
    port,
    ...(serverName === undefined ? {} : { serverName }),
  }) as const;

function queue<T>() {
  const items: T[] = [];
  const waiting: ((item: T) => void)[] = [];
  const put = (item: T): void => {
    const taker = waiting.shift();
    if (taker === undefined) items.push(item);
    else taker(item);
  };
  const next = (): Promise<T> => {
    const item = items.shift();
    return item === undefined
      ? new Promise((resolve) => waiting.push(resolve))
      : Promise.resolve(item);
  };
  return { put, next };
}

const message = (body = ""): SipRequest =>
  sampleRequest("MESSAGE", { body: Buffer.from(body, "latin1") });
const bodyOf = ({ message: { body } }: SipArrival): string => body.toString("latin1");

async function rawClient(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}
const ended = (socket: Socket): Promise<unknown> =>
  new Promise<unknown>((resolve) =>
    socket.closed ? resolve(true) : socket.resume().once("close", resolve),
  );

test("a request down a new connection, its answer back by the same flow", async () => {
  const server = await start();
  const client = await start({ listeners: [] });
  const out = await client.handle.send(message("\0\r\n\r\nx"), tcp(server.port));
  const arrival = await server.arrival();
  assert.equal(bodyOf(arrival), "\0\r\n\r\nx");
  assert.equal(arrival.peer.transport, "tcp");
  assert.equal(arrival.peer.address, "127.0.0.1");
  assert.equal(arrival.peer.localAddress, "127.0.0.1");
  assert.deepEqual(arrival.peer.identities, []);
  await server.handle.send(reply(message(), 200), arrival.flow);
  const answer = await client.arrival();
  assert.equal(answer.flow, out);
  assert.equal(answer.message.kind, "response");
});

test("one connection per target, in both directions", async () => {
  const server = await start();
  const client = await start({ listeners: [] });
  const sends = [1, 2, 3].map((body) =>
    client.handle.send(message(String(body)), tcp(server.port)),
  );
  assert.equal(new Set(await Promise.all(sends)).size, 1);
  const first = await server.arrival();
  const others = [await server.arrival(), await server.arrival()];
  assert.deepEqual([first, ...others].map(bodyOf), ["1", "2", "3"]);
  const back = await server.handle.send(message("back"), tcp(first.peer.port));
  assert.equal(back, first.flow);
  assert.equal(bodyOf(await client.arrival()), "back");
});

test("the largest body passes, cut by the network as it likes", async () => {
  const server = await start();
  const client = await start({ listeners: [] });
  const body = "\r\n".repeat(MAX_BODY_BYTES / 2);
  await client.handle.send(message(body), tcp(server.port));
  assert.equal(bodyOf(await server.arrival()), body);
});

test("a target that refuses, and a flow that is gone, reject", async () => {
  const closedPort = createServer().listen(0, "127.0.0.1");
  await once(closedPort, "listening");
  const bound = closedPort.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  closedPort.close();
  await once(closedPort, "close");
  const client = await start({ listeners: [] });
  await assert.rejects(client.handle.send(message(), tcp(port)), /ECONNREFUSED/);
  await assert.rejects(client.handle.send(message(), "flow-99"), /gone/);
});

test("closing tells the other side which flow is gone, and the next message opens a new one", async () => {
  const server = await start();
  const client = await start({ listeners: [] });
  const first = await client.handle.send(message(), tcp(server.port));
  const { flow } = await server.arrival();
  server.handle.closeFlow(flow);
  assert.equal(await client.closed(), first);
  assert.equal(await server.closed(), flow);
  await assert.rejects(server.handle.send(message(), flow), /gone/);
  assert.notEqual(await client.handle.send(message(), tcp(server.port)), first);
});

test("keep-alive is answered", async () => {
  const { port } = await start();
  const socket = await rawClient(port);
  socket.write("\r\n\r\n");
  const [pong] = await once(socket, "data");
  assert.equal(String(pong), "\r\n");
  socket.destroy();
});

test("a message that cannot be read is answered; where the framing is lost the connection ends", async () => {
  const server = await start();
  const socket = await rawClient(server.port);
  const via = "Via: SIP/2.0/TCP a;branch=z9hG4bK1\r\n";
  socket.write(`OPTIONS sip:a SIP/7.0\r\n${via}l: 0\r\n\r\n`);
  assert.match(String((await once(socket, "data"))[0]), /^SIP\/2\.0 505 /);
  socket.write(serializeMessage(message("still here")));
  assert.equal(bodyOf(await server.arrival()), "still here");
  socket.write(`OPTIONS sip:a SIP/2.0\r\n${via}l: x\r\n\r\n`);
  assert.match(String((await once(socket, "data"))[0]), /^SIP\/2\.0 400 /);
  await ended(socket);
});

test("slow peers: half a message, and silence, end the connection", async () => {
  const { port } = await start({ limits: { messageTimeoutMs: 50 } });
  const slow = await rawClient(port);
  slow.write("OPTIONS sip:a");
  await ended(slow);
  const idle = await start({ limits: { idleTimeoutMs: 50 } });
  await ended(await rawClient(idle.port));
});

test("a peer that sends message after message is not slow", async () => {
  const server = await start({ limits: { messageTimeoutMs: 80 } });
  const socket = await rawClient(server.port);
  const octets = serializeMessage(message("x"));
  for (let round = 0; round < 4; round += 1) {
    socket.write(Buffer.concat([octets.subarray(round === 0 ? 0 : 10), octets.subarray(0, 10)]));
    assert.equal(bodyOf(await server.arrival()), "x");
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  socket.destroy();
});

test("a peer that does not read is let go", async () => {
  const server = await start({ limits: { sendQueueBytes: 64 * 1024 } });
  const socket = await rawClient(server.port);
  socket.write(serializeMessage(message()));
  const { flow } = await server.arrival();
  socket.pause();
  const flood = Array.from({ length: 400 }, () =>
    server.handle.send(message("x".repeat(60_000)), flow),
  );
  const results = await Promise.allSettled(flood);
  assert.ok(results.some(({ status }) => status === "rejected"));
  assert.equal(await server.closed(), flow);
  socket.destroy();
});

test("one address may not take all connections, nor all addresses too many", async () => {
  for (const limits of [{ connectionsPerAddress: 2 }, { connections: 2 }]) {
    const { port } = await start({ limits });
    const sockets = [await rawClient(port), await rawClient(port)];
    await ended(await rawClient(port));
    sockets.forEach((socket) => void socket.destroy());
  }
});

test("a listener that cannot be opened rejects and leaves nothing open", async () => {
  const { port } = await start();
  const listeners = [{ ...tcp(0) }, tcp(port)];
  await assert.rejects(start({ listeners }), /listener/);
  await assert.rejects(start({ listeners: tlsListener }), /listener/);
});

test("TLS: a verified client certificate gives its SIP URIs, and only those", async () => {
  const server = await start({ listeners: tlsListener, tls: domain.server });
  const client = await start({ listeners: [], tls: domain.alice });
  await client.handle.send(message("sealed"), tls(server.port, "ss1.atlanta.example.com"));
  const arrival = await server.arrival();
  assert.equal(bodyOf(arrival), "sealed");
  assert.equal(arrival.peer.transport, "tls");
  assert.deepEqual(arrival.peer.identities, ["sip:alice@atlanta.example.com"]);
  await server.handle.send(message("down the same way"), tls(arrival.peer.port));
  assert.equal(bodyOf(await client.arrival()), "down the same way");
});

test("TLS: every connection proves itself anew", async () => {
  const server = await start({ listeners: tlsListener, tls: domain.server });
  const client = await start({ listeners: [], tls: domain.alice });
  for (let round = 0; round < 2; round += 1) {
    const flow = await client.handle.send(message(), tls(server.port));
    assert.deepEqual((await server.arrival()).peer.identities, ["sip:alice@atlanta.example.com"]);
    client.handle.closeFlow(flow);
    await client.closed();
  }
});

test("TLS required: no certificate or an unverifiable one means no connection", async () => {
  const server = await start({ listeners: tlsListener, tls: domain.server });
  const { certificate, key } = domain.mallory;
  for (const own of [{}, { cert: certificate, key }]) {
    const socket = tlsConnect({
      port: server.port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ...own,
    });
    socket.on("error", () => undefined);
    socket.write(serializeMessage(message()));
    await ended(socket);
  }
  const late = await start({ listeners: [], tls: domain.alice });
  await late.handle.send(message("first to arrive"), tls(server.port));
  assert.equal(bodyOf(await server.arrival()), "first to arrive");
});

test("TLS requested: an unverifiable certificate gives no identities, whatever it says", async () => {
  const server = await start({
    listeners: tlsListener,
    tls: { ...domain.server, clientCertificates: "request" },
  });
  const { certificate, key } = domain.mallory;
  for (const own of [{}, { cert: certificate, key }]) {
    const socket = tlsConnect({
      port: server.port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ...own,
    });
    socket.write(serializeMessage(message()));
    assert.deepEqual((await server.arrival()).peer.identities, []);
    socket.destroy();
  }
});

test("TLS: a server is spoken to only under a name that its certificate holds", async () => {
  const server = await start({ listeners: tlsListener, tls: domain.server });
  const client = await start({ listeners: [], tls: domain.alice });
  for (const name of ["ss1.atlanta.example.com", "127.0.0.1", "atlanta.example.com"])
    assert.match(await client.handle.send(message(), tls(server.port, name)), /^flow-/);
  for (const name of ["ss2.biloxi.example.com", "127.0.0.2", "example.com"])
    await assert.rejects(client.handle.send(message(), tls(server.port, name)), /ALTNAME/);
});

test("TLS: nothing is sent to a server of a foreign authority", async () => {
  const impostor = await start({ listeners: tlsListener, tls: domain.mallory });
  const client = await start({ listeners: [], tls: domain.alice });
  await assert.rejects(
    client.handle.send(message("secret"), tls(impostor.port)),
    /SELF_SIGNED|VERIFY|ISSUER/,
  );
});

test("TLS: a connection that somebody opened never counts as that of a named server", async () => {
  const server = await start({ listeners: tlsListener, tls: domain.server });
  const client = await start({ listeners: [], tls: domain.alice });
  await client.handle.send(message(), tls(server.port));
  const { peer } = await server.arrival();
  const named = tls(peer.port, "ss2.biloxi.example.com");
  await assert.rejects(server.handle.send(message(), named), /ECONNREFUSED|SIP connection/);
});

test("half-open peers: a handshake never begun is ended, a target that never answers given up", async () => {
  const server = await start({
    listeners: tlsListener,
    tls: domain.server,
    limits: { handshakeTimeoutMs: 50 },
  });
  await ended(await rawClient(server.port));
  const mute = createServer((socket) => void socket.on("error", () => undefined)).listen(
    0,
    "127.0.0.1",
  );
  await once(mute, "listening");
  const bound = mute.address();
  const client = await start({
    listeners: [],
    tls: domain.alice,
    limits: { connectTimeoutMs: 30, handshakeTimeoutMs: 30 },
  });
  const target = tls(typeof bound === "object" && bound !== null ? bound.port : 0);
  const waiting: Promise<unknown>[] = [
    client.handle.send(message(), target),
    client.handle.send(message(), target),
  ];
  for (const each of waiting) await assert.rejects(each, /no connection/);
  mute.close();
});

test("after close nothing is sent and nothing reported", async () => {
  const server = await start();
  const client = await start({ listeners: [] });
  const flow = await client.handle.send(message(), tcp(server.port));
  const seen: SipMessage = (await server.arrival()).message;
  assert.equal(seen.kind, "request");
  await server.handle.close();
  assert.equal(await client.closed(), flow);
  await assert.rejects(server.handle.send(message(), tcp(server.port)), /gone/);
});
