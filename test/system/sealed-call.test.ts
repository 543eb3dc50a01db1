/**
 * The call itself, between real programs in a real network: what was sealed stays sealed, what was
 * said is recorded, pinholes are open when they should be and at no other time.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type CallReport, placeCall } from "../../lab/call.ts";
import { placeControlCall } from "../../lab/control-call.ts";
import { rightsOf } from "../../lab/gateway.ts";
import { readIdentity } from "../../lab/identities.ts";
import { readKernelCounters } from "../../lab/kernel-counters.ts";
import { type NamedSecret, privateKeysIn, searchLog } from "../../lab/log-search.ts";
import { isComplete, mediaFigures } from "../../lab/media-figures.ts";
import { type CallSecrets, callSecrets } from "../../lab/media-keys.ts";
import { PHASES, PROMISED } from "../../lab/pinhole-matrix.ts";
import { type Recorded, readRecording } from "../../lab/recording.ts";
import { rightsFaults } from "../../lab/rights-table.ts";
import { readSignalling } from "../../lab/signalling.ts";
import type { GatewayProgram } from "../../lab/site.ts";
import { openStage, type Stage } from "../../lab/stage.ts";
import type { TcpStream } from "../../lab/tcp-streams.ts";
import { isAllFound, isAnythingFound, searchSignalling } from "../../lab/wire-tap.ts";

const out = mkdtempSync(join(tmpdir(), "keyhole-call-"));
const ALTERED_PACKET = 40;
const PCMU_PACKET_SAMPLES = 160;
let stage: Stage;
const allSecrets: NamedSecret[] = [];

interface PlacedCall {
  readonly call: CallReport;
  readonly recorded: Recorded;
}

before(async () => {
  stage = await openStage({ logLevel: "debug" });
});
after(async () => {
  await stage?.close();
  rmSync(out, { recursive: true });
});

async function place(name: string, options: Parameters<typeof placeCall>[1]): Promise<PlacedCall> {
  const call = await placeCall(stage, options);
  const recorded = await readRecording(stage.site, call, options.results);
  await remember(name, call.signalling);
  return { call, recorded };
}

/** Keeps the call's keys for the search of the logs. */
async function remember(name: string, streams: readonly TcpStream[]): Promise<CallSecrets> {
  const bob = readIdentity(stage.site.keys, "bob");
  const secrets = await callSecrets(readSignalling(streams), bob);
  assert.equal(secrets.mediaKeys.length, 2);
  allSecrets.push(
    ...secrets.mediaKeys.map((octets) => ({ name: `media key of the ${name}`, octets })),
    ...secrets.mediaKeys.map((octets) => ({
      name: `master key of the ${name}`,
      octets: octets.subarray(0, 16),
    })),
  );
  if (secrets.firstKey !== undefined)
    allSecrets.push({ name: `first key of the ${name}`, octets: secrets.firstKey });
  return secrets;
}

interface RtpRow {
  readonly timeMs: number;
  readonly source: string;
  readonly ssrc: string;
  readonly payloadType: number;
}

/** The exported media as tshark reads it; what is kept apart lies on another interface. */
function rtpRows({ recorded }: PlacedCall): readonly RtpRow[] {
  const decode = [20_000, 30_000].flatMap((port) => ["-d", `udp.port==${port},rtp`]);
  const fields = ["frame.time_epoch", "ip.src", "rtp.ssrc", "rtp.p_type"];
  const done = spawnSync(
    "tshark",
    [
      ...["-r", recorded.pcapng, ...decode, "-Y", "rtp && frame.interface_id == 0"],
      ...["-T", "fields", ...fields.flatMap((field) => ["-e", field])],
    ],
    { encoding: "utf8" },
  );
  assert.equal(done.status, 0, done.stderr);
  return done.stdout
    .trim()
    .split("\n")
    .map((line) => line.split("\t"))
    .map(([time, source = "", ssrc = "", type]) => ({
      timeMs: Number(time) * 1000,
      source,
      ssrc,
      payloadType: Number(type),
    }));
}

/** How much later bob's first packet passed the gateway than alice's. */
function capturedApartMs(placed: PlacedCall): number {
  const rows = rtpRows(placed);
  const first = (source: string): number =>
    rows.find((row) => row.source === source)?.timeMs ?? Number.NaN;
  return first("10.20.0.2") - first("10.10.0.2");
}

test("each program on the gateway holds the rights of its row, and the recorder no network", () => {
  const gatewayNetwork = stage.network.run("gateway", ["readlink", "/proc/self/ns/net"]).trim();
  const names = Object.keys(stage.programs) as GatewayProgram[];
  assert.deepEqual([...names].sort(), ["agent", "controller", "recorder"]);
  for (const program of names) {
    const rights = rightsOf(stage.programs[program]?.pid ?? 0);
    assert.deepEqual(rightsFaults(program, rights, gatewayNetwork), [], program);
  }
  const recorder = stage.programs.recorder?.pid;
  const interfaces = readFileSync(`/proc/${recorder}/net/dev`, "latin1").match(/^\s*\w+:/gm);
  assert.deepEqual(
    interfaces?.map((name) => name.trim()),
    ["lo:"],
  );
});

describe("a sealed call in the form of RFC 3185", () => {
  let placed: PlacedCall;
  before(async () => {
    placed = await place("sealed call", {
      results: join(out, "sealed"),
      sealing: { form: "rfc3185" },
    });
  });

  test("bob gets the body that alice sent, octet for octet", () => {
    const { alice, bob } = placed.call.bodySha256;
    assert.match(alice, /^[\da-f]{64}$/);
    assert.equal(bob, alice);
  });

  for (const phase of PHASES)
    test(`test packets pass as promised: ${phase}`, () => {
      assert.deepEqual(placed.call.pinholes?.[phase], PROMISED[phase]);
    });

  test("every packet sent is admitted, captured, authenticated and stored, test packets apart", () => {
    for (const from of ["alice", "bob"] as const) {
      const figures = mediaFigures(placed.call, placed.recorded, from);
      assert(isComplete(figures), JSON.stringify(figures));
      assert(figures.probes > 0);
    }
  });

  test("the recording holds what both said, sample for sample, on a common time line", () => {
    const { alice, bob, samplesEqual } = placed.recorded;
    assert(samplesEqual && alice.kind === "equal" && bob.kind === "equal");
    const apartMs = (bob.offset - alice.offset) / 8;
    assert(Math.abs(apartMs - capturedApartMs(placed)) < 21, `${apartMs} ms`);
  });

  test("the recording and the ledger verify", () => {
    assert.equal(placed.recorded.verified, true);
  });

  test("tshark reads the exported packets as RTP", () => {
    const rows = rtpRows(placed);
    const sent = (from: "alice" | "bob") => mediaFigures(placed.call, placed.recorded, from).sent;
    assert.equal(rows.length, sent("alice") + sent("bob"));
    assert(rows.every(({ payloadType }) => payloadType === 0));
    assert.equal(new Set(rows.map(({ ssrc }) => ssrc)).size, 2);
  });

  test("soxi reads the exported sound", () => {
    const about = (flag: string): string =>
      spawnSync("soxi", [flag, placed.recorded.wav], { encoding: "utf8" }).stdout.trim();
    assert.equal(about("-r"), "8000");
    assert.equal(about("-c"), "2");
    assert.equal(about("-b"), "16");
    const durationMs = (Number(about("-s")) * 1000) / 8000;
    assert(Math.abs(durationMs - placed.recorded.durationMs) < 1);
  });

  test("neither keys nor SDP are seen on the links of biloxi and bob", async () => {
    const { mediaKeys } = await remember("sealed call", placed.call.signalling);
    const findings = searchSignalling(placed.call.signalling, mediaKeys);
    assert.equal(isAnythingFound(findings), false, JSON.stringify(findings));
  });
});

describe("a sealed call in the patent's form, hung up by bob", () => {
  let placed: PlacedCall;
  before(async () => {
    placed = await place("patent call", {
      results: join(out, "patent"),
      sealing: { form: "patent" },
      probe: false,
      hangUp: "bob",
    });
  });

  test("is recorded complete, sample for sample", () => {
    assert.equal(placed.recorded.verdict, "complete");
    assert.equal(placed.recorded.samplesEqual, true);
    for (const from of ["alice", "bob"] as const) {
      const figures = mediaFigures(placed.call, placed.recorded, from);
      assert(isComplete(figures), JSON.stringify(figures));
      assert.equal(figures.probes, 0);
    }
  });

  test("is answered by EncryptedData", () => {
    const messages = readSignalling(placed.call.signalling).map(({ message }) => message);
    const answer = messages.find((each) => each.kind === "response" && each.body.length > 0);
    const encryptedData = Buffer.from("06092a864886f70d010706", "hex");
    assert(answer?.body.subarray(0, 32).includes(encryptedData));
  });

  test("shows neither keys nor SDP", async () => {
    const { mediaKeys } = await remember("patent call", placed.call.signalling);
    assert.equal(isAnythingFound(searchSignalling(placed.call.signalling, mediaKeys)), false);
  });
});

test("one octet altered in one packet changes the counts and the sound", async () => {
  const { call, recorded } = await place("altered call", {
    results: join(out, "altered"),
    probe: false,
    alterPacket: ALTERED_PACKET,
  });
  const alice = mediaFigures(call, recorded, "alice");
  assert.equal(alice.admitted, alice.sent);
  assert.equal(alice.captured, alice.sent);
  assert.equal(alice.authenticated, alice.sent - 1);
  assert.equal(alice.stored, alice.sent - 1);
  assert.equal(recorded.streams.caller.rejected["authentication"], 1);
  assert.equal(call.mediaEnded.bob["rejected"], 1);
  assert.equal(recorded.alice.kind, "different");
  assert.equal(recorded.samplesEqual, false);
  assert.equal(recorded.bob.kind, "equal");
  assert(isComplete(mediaFigures(call, recorded, "bob")));
  assert.notEqual(recorded.verdict, "complete");
});

test("SRTP that does not authenticate is counted, kept apart, and not heard", async () => {
  const forged = 12;
  const header = Buffer.from("8000000100000000deadbeef", "hex");
  const { call, recorded } = await place("disturbed call", {
    results: join(out, "disturbed"),
    probe: false,
    async onStep(step) {
      if (step !== "mediaStarted") return;
      const flow = {
        fromHost: "bob" as const,
        from: { address: "10.20.0.2", port: 31_000 },
        to: { address: "10.10.0.2", port: 20_000 },
        prefix: Buffer.concat([header, Buffer.alloc(PCMU_PACKET_SAMPLES, 0x55)]),
      };
      const arrived = await stage.probes.try(Array.from({ length: forged }, () => flow));
      assert(arrived.every(Boolean));
    },
  });
  const { captured, authenticated, rejected, keptApart } = recorded.streams.callee;
  assert.equal(rejected["authentication"], forged);
  assert.equal(captured, authenticated + forged);
  assert.equal(keptApart, forged);
  assert.equal(authenticated, call.mediaEnded.bob["sent"]);
  assert.equal(recorded.samplesEqual, true);
});

test("a call in clear opens nothing, and the same search finds all of it", async () => {
  const streams = await placeControlCall(stage, join(out, "control"));
  const { mediaKeys } = await remember("call in clear", streams);
  const findings = searchSignalling(streams, mediaKeys);
  assert(isAllFound(findings), JSON.stringify(findings));
  assert.deepEqual(readKernelCounters(stage.network), []);
});

test("no log at any level holds a private key, a first key, a media key or SDP", async () => {
  await stage.stop();
  const secrets = [...allSecrets, ...privateKeysIn(stage.site.keys)];
  assert(secrets.length > 20);
  const logs = readdirSync(stage.site.logs);
  assert.deepEqual(
    ["agent.log", "alice.log", "bob.log", "controller.log", "recorder.log"].filter(
      (name) => !logs.includes(name),
    ),
    [],
  );
  for (const name of logs) {
    const text = readFileSync(join(stage.site.logs, name), "utf8");
    assert(text.length > 0, name);
    assert.deepEqual(searchLog(text, secrets), [], name);
  }
});
