/** The gateway is away, or slow, or spoken to in nonsense: no call goes on before its pinholes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, test } from "node:test";
import { startPhones } from "../../lab/call.ts";
import { openForgedBob } from "../../lab/forged-bob.ts";
import { CONTROLLER_LABEL, forgeInvite, withSealedOffer } from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import { readCertificate, readIdentity } from "../../lab/identities.ts";
import { openInnerSockets } from "../../lab/inner-sockets.ts";
import { isOffer } from "../../lab/media-keys.ts";
import { isMatrixAsPromised, probeMatrix } from "../../lab/pinhole-matrix.ts";
import type { Flow } from "../../lab/probe.ts";
import { readSignalling } from "../../lab/signalling.ts";
import { connectToController } from "../../lab/sip-peer.ts";
import { MEDIA_PORTS } from "../../lab/site-config.ts";
import { openStage, type Stage, type StageOptions } from "../../lab/stage.ts";
import { startWireTap } from "../../lab/wire-tap.ts";
import { MAX_CONTROL_LINE_BYTES } from "../../protocol/control/line-codec.ts";
import { headerValue, type SipResponse } from "../../protocol/sip/message.ts";

const AGENT_DELAY_MS = 300;
const PROBE_INTERVAL_MS = 10;
const toAlice: Flow = {
  fromHost: "bob",
  from: { address: "10.20.0.66", port: 31_000 },
  to: { address: "10.10.0.2", port: MEDIA_PORTS.alice },
};
let stage: Stage | undefined;

async function open(options: StageOptions): Promise<Stage> {
  stage = await openStage({ logLevel: "debug", ...options });
  return stage;
}
afterEach(async () => {
  await stage?.close();
  stage = undefined;
});

/** Alice's sealed INVITE by hand; what the controller answers, and whether bob ever saw it. */
async function sendInvite({ network, site }: Stage): Promise<{
  response: SipResponse;
  reachedBob: boolean;
}> {
  const [inAlice, bob] = await Promise.all([
    openInnerSockets(network, "alice"),
    openForgedBob(network),
  ]);
  const alice = await connectToController(inAlice, site.keys, "alice");
  const { message } = await withSealedOffer(forgeInvite(), {
    sdp: forgeSdp(),
    signer: readIdentity(site.keys, "alice"),
    recipients: [readCertificate(site.keys, "bob"), readCertificate(site.keys, "ss1")],
    label: CONTROLLER_LABEL,
  });
  alice.send(message);
  const response = await alice.final(message);
  const reachedBob = bob.inviteOf(message) !== undefined;
  await Promise.all([inAlice.close(), bob.close()]);
  return { response, reachedBob };
}

for (const [name, prepare] of [
  ["was never there", () => open({ without: ["agent"] })],
  [
    "has died",
    async () => {
      const opened = await open({});
      await opened.programs.agent?.stop("SIGKILL");
      return opened;
    },
  ],
] as const)
  test(`an agent that ${name}: the call is refused with 500 and Retry-After`, async () => {
    const { response, reachedBob } = await sendInvite(await prepare());
    assert.equal(response.status, 500);
    assert.match(headerValue(response, "Retry-After") ?? "", /^\d+/);
    assert.equal(reachedBob, false);
  });

test("an agent slow by 300 ms: biloxi sees no INVITE before the hole passes packets", async () => {
  const opened = await open({ agentDelayMs: AGENT_DELAY_MS });
  const out = mkdtempSync(join(tmpdir(), "keyhole-slow-"));
  const tap = await startWireTap(opened.network, "biloxi", join(out, "tap.pcap"));
  const attempts: Promise<{ sentMs: number; arrivedMs: number | undefined }>[] = [];
  const probing = setInterval(() => attempts.push(opened.probes.time(toAlice)), PROBE_INTERVAL_MS);
  const calledMs = Date.now();
  const { alice, bob } = await startPhones(opened, { results: out });
  await bob.event("incoming");
  const enough = attempts.length + 10;
  while (attempts.length < enough)
    await new Promise((resolve) => setTimeout(resolve, PROBE_INTERVAL_MS));
  clearInterval(probing);
  const probed = await Promise.all(attempts);
  const invite = readSignalling(await tap.stop()).find(({ message }) => isOffer(message));
  alice.tell("hangup");
  await Promise.all([alice.process.stop(), bob.process.stop()]);
  rmSync(out, { recursive: true });

  assert(invite !== undefined);
  const before = probed.filter(({ sentMs }) => sentMs < invite.atMs);
  const afterwards = probed.filter(({ sentMs }) => sentMs >= invite.atMs);
  assert(invite.atMs - calledMs >= AGENT_DELAY_MS);
  assert(before.filter(({ arrivedMs }) => arrivedMs === undefined).length >= 10);
  assert(afterwards.length >= 5);
  assert(afterwards.every(({ arrivedMs }) => arrivedMs !== undefined));
});

/** A controller's end of the control socket, line by line. */
function openControl(path: string): {
  socket: Socket;
  next: () => Promise<Record<string, unknown>>;
} {
  const socket = connect(path);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return { socket, next: async () => JSON.parse((await lines.next()).value ?? "{}") };
}

test("nonsense on the control socket is answered with code and path, and nothing else happens", async () => {
  const opened = await open({ without: ["controller"] });
  const { socket, next } = openControl(opened.site.controlSocket);
  const say = (line: object | string): void =>
    void socket.write(`${typeof line === "string" ? line : JSON.stringify(line)}\n`);
  const hole = {
    ...{ id: "rtp", from: {}, media: "audio", component: "rtp" },
    to: { address: "10.10.0.2", port: MEDIA_PORTS.alice },
  };
  const put = (id: string, pinhole: object): object => ({
    ...{ kind: "session.put", id, session: "s1", revision: 1, leaseMs: 60_000 },
    pinholes: [pinhole],
  });
  say({ kind: "hello", id: "1", version: 1, controller: "test.example.com" });
  assert.equal((await next())["ok"], true);
  say(put("2", hole));
  assert.equal((await next())["applied"], 1);

  const nonsense: readonly (readonly [line: object | string, path: string | undefined])[] = [
    ["{ this is not JSON", undefined],
    [`{"kind":"health","id":"${"x".repeat(MAX_CONTROL_LINE_BYTES)}"}`, undefined],
    [{ kind: "session.destroy", id: "3" }, "kind"],
    [put("4", { ...hole, to: { ...hole.to, port: 0 } }), "pinholes.0.to.port"],
    [put("5", { ...hole, surprise: true }), "pinholes.0"],
    [put("6", { ...hole, to: { ...hole.to, address: "10.20.0.2" } }), "pinholes.0"],
  ];
  for (const [line, path] of nonsense) {
    say(line);
    const reply = await next();
    assert.equal(reply["ok"], false);
    const error = reply["error"] as { code: string; path?: string };
    assert.match(error.code, /^ERR_CONTROL_/);
    if (path !== undefined) assert(error.path?.startsWith(path), JSON.stringify(error));
  }

  say({ kind: "health", id: "7" });
  const { health } = (await next()) as { health: { sessions: number } };
  assert.equal(health.sessions, 1);
  const [passes] = await opened.probes.try([toAlice]);
  assert.equal(passes, true);
  say({ kind: "session.close", id: "8", session: "s1", reason: "done" });
  let closed = await next();
  while (closed["kind"] !== "reply") closed = await next();
  assert.equal(closed["ok"], true);
  const matrix = await probeMatrix(opened.probes, MEDIA_PORTS);
  assert(isMatrixAsPromised("beforeCall", matrix));
  socket.destroy();
});
