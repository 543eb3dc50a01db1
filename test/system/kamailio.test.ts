/** The second proxy is a real Kamailio, and what it forwards comes out as it went in. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Fate, type HostileHop, openHostileHop } from "../../lab/hostile-hop.ts";
import { type InnerSockets, openInnerSockets } from "../../lab/inner-sockets.ts";
import { startKamailio } from "../../lab/kamailio.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { createNetwork, type Network } from "../../lab/network.ts";
import { startWireTap } from "../../lab/wire-tap.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { headerValues, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../../protocol/sip/stream-framer.ts";

const directory = mkdtempSync(join(tmpdir(), "keyhole-kamailio-"));
let network: Network;
let kamailio: LabProcess;
let caller: InnerSockets;
let callee: InnerSockets;
const atBob: SipRequest[] = [];

before(async () => {
  network = createNetwork();
  [kamailio, caller, callee] = await Promise.all([
    startKamailio(network, { directory }),
    openInnerSockets(network, "gateway"),
    openInnerSockets(network, "bob"),
  ]);
  await callee.listen({ address: "10.20.0.2", port: 5060 }, answerAll);
});

after(async () => {
  await Promise.all([caller.close(), callee.close(), kamailio.stop()]);
  network.close();
  rmSync(directory, { recursive: true });
});

/** Bob answers every request with its own body. */
function answerAll(socket: Socket): void {
  receive(socket, (message) => {
    if (message.kind !== "request" || message.method === "ACK") return;
    atBob.push(message);
    const routes = headerValues(message, "Record-Route").map(
      (value) => ["Record-Route", value] as const,
    );
    const headers = [...routes, ["Content-Type", "application/octet-stream"] as const];
    const response = createResponse(message, 200, { toTag: "bob", headers, body: message.body });
    socket.write(serializeMessage(response));
  });
}

function receive(socket: Socket, take: (message: SipMessage) => void): void {
  const framer = new StreamFramer();
  socket.on("data", (chunk: Buffer) => {
    for (const item of framer.push(chunk))
      if (item.kind === "request" || item.kind === "response") take(item);
  });
}

function invite(body: Buffer): SipRequest {
  const id = randomBytes(6).toString("hex");
  const headers = [
    ["Via", `SIP/2.0/TCP 10.30.0.1:5060;branch=z9hG4bK${id}`],
    ["Max-Forwards", "69"],
    ["From", "<sip:alice@atlanta.example.com>;tag=alice"],
    ["To", "<sip:bob@biloxi.example.com>"],
    ["Call-ID", id],
    ["CSeq", "1 INVITE"],
    ["Contact", "<sip:alice@10.30.0.1;transport=tcp>"],
    ["Content-Type", "application/octet-stream"],
  ].map(([name = "", value = ""]) => ({ name, value }));
  return { kind: "request", method: "INVITE", uri: "sip:bob@biloxi.example.com", headers, body };
}

/** Sends an INVITE through Kamailio and returns its final response. */
async function place(body: Buffer): Promise<SipMessage> {
  const socket = await caller.connect({ address: "10.30.0.2", port: 5060 });
  const final = new Promise<SipMessage>((resolve) =>
    receive(socket, (message) => {
      if (message.kind === "response" && message.status >= 200) resolve(message);
    }),
  );
  socket.write(serializeMessage(invite(body)));
  const response = await final;
  socket.destroy();
  return response;
}

const sha256 = (octets: Buffer | undefined): string =>
  createHash("sha256")
    .update(octets ?? "")
    .digest("hex");

for (const size of [1024, 16 * 1024, 60 * 1024])
  test(`a binary body of ${size / 1024} KB comes out equal, both ways`, async () => {
    const body = randomBytes(size);
    const response = await place(body);
    assert.equal(sha256(atBob.at(-1)?.body), sha256(body));
    assert.equal(sha256(response.body), sha256(body));
    assert.equal(atBob.at(-1)?.uri, "sip:bob@10.20.0.2:5060;transport=tcp");
    assert.match(headerValues(atBob.at(-1) ?? response, "Record-Route").join(), /10\.30\.0\.2/);
  });

test("what passed is found again, whole, in a capture of its link", async () => {
  const tap = await startWireTap(network, "biloxi", join(directory, "tap.pcap"));
  const body = randomBytes(40_000);
  await place(body);
  const streams = await tap.stop();
  const carriers = streams.filter(({ octets }) => octets.includes(body));
  assert.deepEqual(
    carriers.map(({ from, to }) => [from.split(":")[0], to.split(":")[0]].join(" to ")).sort(),
    [
      "10.20.0.2 to 10.30.0.2",
      "10.30.0.1 to 10.30.0.2",
      "10.30.0.2 to 10.20.0.2",
      "10.30.0.2 to 10.30.0.1",
    ],
  );
});

test("a hostile hop behind Kamailio alters, answers and swallows messages", async () => {
  await kamailio.stop();
  let fate: (message: SipMessage) => Fate = (message) => ({ kind: "forward", message });
  const hop: HostileHop = await openHostileHop(network, (message, from) =>
    from === "kamailio" && message.kind === "request" && message.method === "INVITE"
      ? fate(message)
      : { kind: "forward", message },
  );
  kamailio = await startKamailio(network, { directory, nextHop: hop.nextHop });

  fate = (message) => ({ kind: "forward", message: { ...message, body: Buffer.from("other") } });
  assert.equal((await place(randomBytes(100))).body.toString(), "other");

  fate = (message) => ({ kind: "answer", message: createResponse(message, 493, { toTag: "x" }) });
  const before = atBob.length;
  const response = await place(randomBytes(100));
  assert(response.kind === "response");
  assert.equal(response.status, 493);
  assert.equal(atBob.length, before);
  await hop.close();
});
