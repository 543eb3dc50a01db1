/**
 * The controller as a process, with real TLS, TCP and CMS: what waits for what, what is refused,
 * how it comes back to its agent, how it ends.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { forgeInvite } from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import type { SipPeer } from "../../lab/sip-peer.ts";
import { CONTROLLER_NAME } from "../../lab/site-config.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { headerRows, headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import { byeFromBob, ControllerCalls, callIdOf, fromAlice } from "./controller-calls.ts";
import {
  type Biloxi,
  connectCaller,
  type Folder,
  orderOf,
  type RunningProgram,
  type StandInAgent,
  until,
} from "./controller-harness.ts";

const AGENT_DELAY_MS = 300;
let calls: ControllerCalls;
let folder: Folder;
let agent: StandInAgent;
let biloxi: Biloxi;
let controller: RunningProgram;
let alice: SipPeer;

before(async () => {
  calls = await ControllerCalls.open();
  ({ folder, agent, biloxi, controller, alice } = calls);
});

after(() => calls?.close());

test("the INVITE leaves after its holes are applied, its body octet for octet", async () => {
  agent.delayMs = AGENT_DELAY_MS;
  const before = agent.puts.length;
  const { invite, forwarded } = await calls.placeCall();
  agent.delayMs = 0;
  const { atMs } = await biloxi.request("INVITE", callIdOf(invite));
  const [first, second] = agent.puts.slice(before);
  const appliedAtMs = agent.appliedAtMs[before] ?? Number.POSITIVE_INFINITY;
  assert.ok(atMs >= appliedAtMs, `${atMs} before ${appliedAtMs}`);
  assert.ok(
    atMs - (agent.asked.find(({ request }) => request === first)?.atMs ?? 0) >= AGENT_DELAY_MS - 5,
  );
  const sha256 = (body: Buffer) => createHash("sha256").update(body).digest("hex");
  assert.equal(sha256(forwarded.body), sha256(invite.body));
  const holes = (put = first) =>
    put?.pinholes.map(({ from, to }) => `${from.address ?? "any"}>${to.address}:${to.port}`);
  assert.deepEqual(holes(), ["any>10.10.0.2:20000", "any>10.10.0.2:20001"]);
  assert.deepEqual(holes(second), [
    "10.20.0.2>10.10.0.2:20000",
    "10.20.0.2>10.10.0.2:20001",
    "10.10.0.2>10.20.0.2:30000",
    "10.10.0.2>10.20.0.2:30001",
  ]);
});

test("the orders reach the recorder sealed past the agent, with the keys of both", async () => {
  const [first, second] = agent.puts;
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(first.session, second.session);
  assert.ok(!JSON.stringify(agent.puts).includes("AES_CM_128"));
  const [offer, answer] = [await orderOf(folder, first), await orderOf(folder, second)];
  assert.equal(offer.recording, answer.recording);
  assert.deepEqual(
    offer.streams.map(({ label, protection }) => [label, protection.kind]),
    [["callee", "pending"]],
  );
  assert.deepEqual(
    answer.streams.map(({ label, destination, protection }) => [
      label,
      destination.address,
      protection.kind,
    ]),
    [
      ["callee", "10.10.0.2", "srtp"],
      ["caller", "10.20.0.2", "srtp"],
    ],
  );
});

test("BYE from bob, over the route that both recorded, closes the session", async () => {
  const call = await calls.placeCall();
  biloxi.peer?.send(byeFromBob(call));
  await until(() => alice.received.some((m) => m.kind === "request" && m.method === "BYE"));
  await until(() => calls.isClosed(call.session));
  const bye = alice.received.find(
    (m): m is SipRequest => m.kind === "request" && m.method === "BYE",
  );
  assert.ok(bye !== undefined);
  assert.equal(headerRows(bye, "Route").length, 0);
  alice.send(createResponse(bye, 200));
  assert.equal((await biloxi.peer?.final(byeFromBob(call)))?.status, 200);
});

test("who hangs up and calls again at once from the same port waits for the old hole to close", async () => {
  const first = await calls.placeCall();
  agent.delayMs = AGENT_DELAY_MS;
  const invite = await calls.sealedInvite({ sdp: forgeSdp({ port: calls.lastPort }) });
  alice.send(invite);
  const puts = agent.puts.length;
  const bye = fromAlice("BYE", first);
  alice.send(bye);
  await biloxi.request("INVITE", callIdOf(invite));
  agent.delayMs = 0;
  assert.equal(agent.puts.length, puts + 1);
  const asked = agent.asked.map(({ request }) => request);
  const closed = asked.findIndex(
    (request) => request.kind === "session.close" && request.session === first.session,
  );
  const opened = asked.findLastIndex(({ kind }) => kind === "session.put");
  assert.ok(closed >= 0 && closed < opened);
});

test("after the agent's restart all sessions are stated again", async () => {
  const call = await calls.placeCall();
  await agent.close();
  await until(() => controller.hasLogged("agent gone"));
  const seen = agent.asked.length;
  await agent.listen();
  await until(() => agent.asked.slice(seen).some(({ request }) => request.kind === "sync.end"));
  const again = agent.asked.slice(seen).map(({ request }) => request);
  assert.equal(again[0]?.kind, "hello");
  assert.equal(again[1]?.kind, "sync.begin");
  const restated = again.filter((request) => request.kind === "session.put");
  assert.ok(restated.some(({ session, revision }) => session === call.session && revision === 2));
  const end = again.find((request) => request.kind === "sync.end");
  assert.equal(end?.count, restated.length);
  const bye = fromAlice("BYE", call);
  alice.send(bye);
  await biloxi.request("BYE", callIdOf(call.invite));
  await until(() => calls.isClosed(call.session));
});

test("without an agent what wants media gets 500 with Retry-After, anything else passes", async () => {
  await agent.close();
  const sealed = await calls.sealedInvite();
  const clear = forgeInvite();
  const type = { name: "Content-Type", value: "application/sdp" };
  for (const invite of [
    sealed,
    { ...clear, headers: [...clear.headers, type], body: forgeSdp() },
  ]) {
    alice.send(invite);
    const refused = await alice.final(invite);
    assert.equal(refused.status, 500);
    assert.match(headerValue(refused, "Retry-After") ?? "", /^\d+$/);
  }
  const plain = forgeInvite();
  alice.send(plain);
  const { message } = await biloxi.request("INVITE", callIdOf(plain));
  biloxi.peer?.send(createResponse(message as SipRequest, 486, { toTag: "b" }));
  assert.equal((await alice.final(plain)).status, 486);
  assert.ok(
    !biloxi.arrived.some((each) => headerValue(each.message, "Call-ID") === callIdOf(sealed)),
  );
  const there = controller.lines.filter((line) => line.includes("agent there")).length;
  await agent.listen();
  await until(() => controller.lines.filter((line) => line.includes("agent there")).length > there);
});

const BAD: readonly [name: string, invite: () => Promise<SipRequest>, status: number][] = [
  ["a label with a body for others", () => calls.sealedInvite({ recipients: ["bob"] }), 496],
  [
    "an altered body",
    async () => {
      const invite = await calls.sealedInvite();
      const body = Buffer.from(invite.body);
      body.writeUInt8(body.readUInt8(body.length - 40) ^ 1, body.length - 40);
      return { ...invite, body };
    },
    488,
  ],
  [
    "a neighbour's address",
    () => calls.sealedInvite({ sdp: forgeSdp({ address: "10.10.0.3" }) }),
    488,
  ],
  ["a service port", () => calls.sealedInvite({ sdp: forgeSdp({ port: 80 }) }), 488],
];

for (const [name, make, status] of BAD)
  test(`${name} gets ${status}, opens nothing and goes no further`, async () => {
    const before = agent.count("session.put");
    const invite = await make();
    alice.send(invite);
    assert.equal((await alice.final(invite)).status, status);
    assert.equal(agent.count("session.put"), before);
    const label = createHash("sha256").update(callIdOf(invite)).digest("hex").slice(0, 12);
    await until(() =>
      controller.lines.some((line) => line.includes(label) && line.includes('"verdict"')),
    );
    assert.ok(
      !biloxi.arrived.some((each) => headerValue(each.message, "Call-ID") === callIdOf(invite)),
    );
  });

test("a caller without certificate gets a challenge, and opens nothing", async () => {
  const nobody = await connectCaller(folder);
  const before = agent.count("session.put");
  const invite = await calls.sealedInvite();
  nobody.send(invite);
  const response = await nobody.final(invite);
  assert.equal(response.status, 407);
  assert.match(headerValue(response, "Proxy-Authenticate") ?? "", /^Digest /);
  assert.equal(agent.count("session.put"), before);
  nobody.close();
});

test("an answer that comes in clear goes on, and what was open is closed with an alarm", async () => {
  const before = agent.puts.length;
  const invite = await calls.sealedInvite();
  alice.send(invite);
  const forwarded = (await biloxi.request("INVITE", callIdOf(invite))).message as SipRequest;
  const { session } = calls.onlyPutSince(before);
  const headers = [
    ["Contact", "<sip:bob@10.20.0.2:5060;transport=tcp>"],
    ["Content-Type", "application/sdp"],
  ] as const;
  biloxi.peer?.send(createResponse(forwarded, 200, { toTag: "clear", headers, body: forgeSdp() }));
  assert.equal((await alice.final(invite)).status, 200);
  await until(() => calls.isClosed(session));
  assert.ok(
    controller.lines.some(
      (line) => line.includes("answer-in-clear") && line.includes('"level":"error"'),
    ),
  );
});

test("no line of the log holds a key, SDP or an identity", () => {
  const log = controller.lines.join("\n");
  for (const secret of ["m=audio", "inline:", "c=IN", "alice@", "bob@", "PRIVATE KEY", "AES_CM"])
    assert.ok(!log.includes(secret), secret);
  for (const name of ["order.key", `${CONTROLLER_NAME}.key`]) {
    const [, ...rows] = readFileSync(join(calls.keys, name), "utf8").trim().split("\n");
    for (const row of rows.slice(0, -1)) assert.ok(!log.includes(row));
  }
});

test("told to stop, it closes its sessions and exits 0", async () => {
  const { session } = await calls.placeCall();
  assert.equal(await controller.stop(), 0);
  assert.ok(calls.isClosed(session));
});

const KEYHOLE = resolve(import.meta.dirname, "../../bin/keyhole.ts");
const keyhole = (...argv: readonly string[]) =>
  spawnSync(process.execPath, [KEYHOLE, "controller", ...argv], { encoding: "utf8" });

test("--check says what the configuration would do, and starts nothing", () => {
  const { status, stdout } = keyhole("--config", folder.configFile, "--check");
  assert.equal(status, 0);
  for (const text of [
    "listens       tls 127.0.0.1:",
    "routes        biloxi.example.com to tcp 127.0.0.3:",
    "user          sip:alice@atlanta.example.com",
    "protects      10.10.0.0/24",
  ])
    assert.ok(stdout.includes(text), text);
});

test("a configuration with faults exits 78 and names each; one whose files do not fit as well", () => {
  const bad = join(calls.keys, "bad.toml");
  const text = readFileSync(folder.configFile, "utf8");
  writeFileSync(bad, text.replace("16384", "80").replace("[agent]", "[agent]\ncolour = 1"));
  const faults = keyhole("--config", bad, "--check");
  assert.equal(faults.status, 78);
  assert.match(faults.stderr, /media\.ports\[0\]/);
  assert.match(faults.stderr, /agent\.colour/);
  writeFileSync(
    bad,
    text.replace('"order.key"', '"recorder.key"').replace('"recorder.pub"', '"gone.pub"'),
  );
  const files = keyhole("--config", bad, "--check");
  assert.equal(files.status, 78);
  assert.match(files.stderr, /recording\.orderKey/);
  assert.match(files.stderr, /recording\.recorder: gone\.pub cannot be read/);
  assert.equal(keyhole().status, 64);
});
