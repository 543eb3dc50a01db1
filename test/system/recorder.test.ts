/** The recorder as a process, from the ingest socket to the exported sound. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { decodeWav } from "../../protocol/audio/wav.ts";
import { ALICE, BOB, RecorderHarness, type TestAgent, TestCall } from "./recorder-harness.ts";
import {
  assertSounds,
  beginCall,
  bothWays,
  channelsOf,
  endOfCall,
  expectedSpeech,
  LATER,
  PACKETS,
  speechOf,
} from "./recorder-speech.ts";

const harness = new RecorderHarness(60_000);
const key = ["--key", harness.path("archive.key")];
const ledgerKey = ["--ledger-key", harness.path("ledger.pub")];
let agent: TestAgent;
let stop: () => Promise<number | null>;

before(async () => {
  const recorder = await harness.start();
  stop = () => harness.end(recorder, "SIGTERM");
  agent = await harness.connect();
});
after(() => harness.close());

describe("a call from order to close", () => {
  const call = new TestCall(harness);
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it field by field
  let report: any;

  before(async () => {
    agent.send(call.order(1));
    const said = (speaker: "caller" | "callee") => (at: number) =>
      call.speech(speaker, at, speechOf(speaker, at));
    const early = [7, 8, 9].map(said("callee"));
    agent.send({ kind: "batch", packets: early });
    agent.send(call.order(2));
    for (const id of ["order-1", "order-2"])
      assert.deepEqual(await agent.next(), { kind: "order-reply", id, result: "accepted" });
    agent.send({ kind: "batch", packets: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(said("caller")) });
    agent.send({ kind: "batch", packets: bothWays(call, 10, 60) });
    agent.send({ kind: "batch", packets: [call.report("caller", 60), call.report("callee", 60)] });
    const late = bothWays(call, 60, PACKETS);
    agent.send(call.close());
    agent.send({ kind: "batch", packets: late });
    report = await endOfCall(agent, call);
  });

  it("is complete, and every count is that of the packets sent", async () => {
    assert.deepEqual(report.verdict, { kind: "complete" });
    assert.equal(report.reason, "bye");
    const counted = (packets: number) => ({
      admitted: packets,
      captured: packets,
      authenticated: packets,
      clear: 0,
      rejected: { authentication: 0, replay: 0, syntax: 0, limit: 0, source: 0 },
      undecrypted: 0,
      stored: packets,
      keptApart: 0,
    });
    const [callee, caller] = report.streams;
    assert.deepEqual(caller.rtp, counted(PACKETS));
    assert.deepEqual(callee.rtp, counted(PACKETS - LATER));
    for (const stream of [caller, callee]) {
      assert.deepEqual(stream.rtcp, counted(1));
      assert.equal(stream.lost, 0);
    }
  });

  it("sounds sample for sample as its octets decode, callers left and callees right", async () => {
    const [left, right] = await channelsOf(harness, call);
    assertSounds(left, expectedSpeech("caller"));
    assertSounds(right, expectedSpeech("callee"));
  });

  it("is a WAV file to soxi", async () => {
    const wav = harness.path("soxi.wav");
    await harness.json("export", call.recording, "--wav", wav);
    const { stdout } = spawnSync("soxi", [wav], { encoding: "utf8" });
    for (const line of [/Channels\s+: 2/, /Sample Rate\s+: 8000/, /Precision\s+: 16-bit/])
      assert.match(stdout, line);
    assert.match(stdout, new RegExp(`= ${PACKETS * 160} samples`));
  });

  it("is not exported to where nothing can be written", async () => {
    const args = ["export", call.recording, "--wav", "/none/x.wav", ...key];
    const { code, stderr } = await harness.recordings(...args);
    assert.equal(code, 66);
    assert.match(stderr, /^\/none\/x.wav cannot be written \(ENOENT\)$/m);
  });

  it("is RTP to tshark, octet for octet what was said", async () => {
    const pcapng = harness.path("call.pcapng");
    await harness.json("export", call.recording, "--pcapng", pcapng);
    const decode = [ALICE, BOB].flatMap(({ port }) => ["-d", `udp.port==${port},rtp`]);
    const fields = ["ip.dst", "rtp.seq", "rtp.payload"].flatMap((field) => ["-e", field]);
    const args = ["-r", pcapng, ...decode, "-Y", "rtp", "-T", "fields", ...fields];
    const { stdout } = spawnSync("tshark", args, { encoding: "utf8" });
    const said = stdout.split("\n").filter((line) => line.startsWith(BOB.address));
    assert.equal(said.length, PACKETS);
    for (const [at, line] of said.entries()) {
      const [, sequence, payload] = line.split("\t");
      assert.equal(Number(sequence), (65_500 + at) & 0xffff);
      assert.equal(payload?.replaceAll(":", ""), speechOf("caller", at).toString("hex"));
    }
  });

  it("is found by the beginning of its id, shown and listed with its parties", async () => {
    const shown = await harness.recordings("show", call.recording.slice(0, 9), ...key);
    assert.equal(shown.code, 0, shown.stderr);
    for (const words of [/^Verdict +complete$/m, /sip:alice@atlanta/, /^caller RTP +100 +100 /m])
      assert.match(shown.stdout, words);
    const listed = await harness.recordings("list", ...key);
    assert.match(listed.stdout, new RegExp(`${call.recording}.*sip:alice.*sip:bob.*complete`));
  });

  it("is listed by the command that a user types", async () => {
    const { code, stdout } = harness.recordingsCommand("list", ...key);
    assert.equal(code, 0);
    assert.match(stdout, /^ID +START +DURATION +FROM +TO +STATE\n/);
    assert.equal(harness.recordingsCommand("show", "ffffffff", ...key).code, 66);
  });

  it("is listed without a key, but not its parties", async () => {
    const { code, stdout } = await harness.recordings("list");
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`${call.recording}.*\\(sealed\\).*complete`));
    assert.doesNotMatch(stdout, /alice/);
  });

  it("verifies: container, hash in the ledger, signatures, counts", async () => {
    const checked = await harness.json("verify", call.recording, ...ledgerKey);
    assert.equal(checked.ok, true);
    assert.match(checked.ledger.detail, /signatures good/);
  });

  it("opens with the second archive key, and says plainly that a stranger's does not", async () => {
    const second = await harness.recordings(
      "show",
      call.recording,
      "--key",
      harness.path("second.key"),
    );
    assert.equal(second.code, 0, second.stderr);
    for (const command of ["show", "verify"]) {
      const other = await harness.recordings(
        command,
        call.recording,
        "--key",
        harness.path("stranger.key"),
      );
      assert.equal(other.code, 77);
      assert.match(other.stderr, /^the recording is sealed to archive key/);
    }
  });

  it("is not ordered a second time", async () => {
    agent.send(call.order(2));
    const reply = await agent.next();
    assert.ok(reply?.kind === "order-reply");
    assert.deepEqual(reply.result, { refused: "not stored: the recording exists already" });
  });
});

describe("commands", () => {
  const cases: readonly [string, readonly string[], number, RegExp][] = [
    ["an id that is not there", ["show", "ffffffff", ...key], 66, /no recording ffffffff/],
    ["no key", ["show", "0"], 64, /needs --key/],
    ["a key file that is not there", ["show", "0", "--key", "/none"], 66, /\/none: cannot be read/],
    ["a key of another kind", ["list", "--key", harness.path("ledger.key")], 66, /not x25519/],
    ["a store that is not there", ["list", "--store", "/none"], 66, /no store at \/none/],
    ["nothing to export to", ["export", "0", ...key], 64, /say --wav FILE or --pcapng FILE/],
    ["a store without a ledger", ["list", "--store", "/proc/self/task"], 66, /no ledger at/],
    ["a head that is none", ["verify", ...key, "--head", "x"], 64, /sequence:sha256/],
    ["no command of ours", ["delete", "0"], 64, /unknown command/],
  ];
  for (const [what, args, code, words] of cases)
    it(`say in a line what is wrong: ${what}`, async () => {
      const finished = await harness.recordings(...args);
      assert.equal(finished.code, code);
      assert.match(finished.stderr, words);
      assert.doesNotMatch(finished.stderr, /\n +at /);
    });
});

describe("a call that was tampered with on the way", () => {
  const call = new TestCall(harness);
  const [ALTERED, LOST, UNCAPTURED, TWICE] = [40, 60, 70, 80];
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it field by field
  let report: any;

  before(async () => {
    await beginCall(agent, call);
    for (let at = 0; at < PACKETS; at++) {
      if (at === LOST) continue;
      const packet = call.speech("caller", at, speechOf("caller", at));
      const sent =
        at === ALTERED ? [call.altered(packet)] : at === TWICE ? [packet, packet] : [packet];
      if (at === TWICE) call.countOne("caller");
      if (at !== UNCAPTURED) agent.send({ kind: "batch", packets: sent });
    }
    agent.send(call.close());
    report = await endOfCall(agent, call);
  });

  it("counts what was altered, repeated, lost and not captured, each for itself", async () => {
    const caller = report.streams.find(({ label }: { label: string }) => label === "caller");
    assert.equal(caller.rtp.admitted, PACKETS);
    assert.equal(caller.rtp.captured, PACKETS - 1);
    assert.equal(caller.rtp.rejected.authentication, 1);
    assert.equal(caller.rtp.rejected.replay, 1);
    assert.equal(caller.rtp.stored, PACKETS - 3);
    assert.equal(caller.rtp.keptApart, 2);
    assert.equal(caller.lost, 3);
    assert.deepEqual(report.verdict, {
      kind: "complete-with-gaps",
      gaps: [
        "caller audio RTP: 1 packet passed the gateway uncaptured",
        "caller audio RTP: 1 packet could not be authenticated",
      ],
    });
  });

  it("is silent where a packet is missing, and unchanged elsewhere", async () => {
    const [left, right] = await channelsOf(harness, call);
    assertSounds(left, expectedSpeech("caller", [ALTERED, LOST, UNCAPTURED]));
    assert.ok(right?.every((sample) => sample === 0));
  });

  it("keeps what was refused apart, and exports it only when asked", async () => {
    const count = async (...more: readonly string[]) => {
      const pcapng = harness.path("apart.pcapng");
      await harness.json("export", call.recording, "--pcapng", pcapng, ...more);
      const { stdout } = spawnSync(
        "tshark",
        ["-r", pcapng, "-T", "fields", "-e", "frame.interface_name"],
        {
          encoding: "utf8",
        },
      );
      return stdout.split("\n").filter((line) => line !== "");
    };
    assert.equal((await count()).length, PACKETS - 3);
    const all = await count("--with-rejected");
    assert.equal(all.filter((name) => name === "kept-apart").length, 2);
    assert.equal(all.length, PACKETS - 1);
  });

  it("verifies all the same: the report says what is missing", async () => {
    const checked = await harness.json("verify", call.recording, ...ledgerKey);
    assert.equal(checked.ok, true);
    assert.equal(checked.recordings[0].verdict, "complete with stated gaps");
  });
});

describe("orders and agents that are not as they should be", () => {
  it("refuses an order that no known controller signed, or that the agent relabels", async () => {
    const other = new RecorderHarness(0);
    const foreign = new TestCall(other);
    agent.send(foreign.order(1));
    const first = await agent.next();
    assert.ok(first?.kind === "order-reply");
    assert.deepEqual(first.result, { refused: "sealed order cannot be opened" });
    const [one, two] = [new TestCall(harness), new TestCall(harness)];
    const order = one.order(1);
    assert.ok(order.kind === "order");
    agent.send({ ...order, recording: two.recording });
    const second = await agent.next();
    assert.ok(second?.kind === "order-reply");
    assert.deepEqual(second.result, { refused: "the sealed order is for another recording" });
    other.close();
  });

  it("hangs up on whoever says no hello, or talks nonsense, and goes on serving others", async () => {
    for (const octets of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.from("0000000203ff", "hex"),
    ]) {
      const bad = await harness.connect();
      bad.sendRaw(octets);
      assert.equal(await bad.next(), undefined);
    }
    const call = new TestCall(harness);
    await beginCall(agent, call);
    agent.send(call.close("cancelled"));
    assert.deepEqual((await endOfCall(agent, call)).verdict, { kind: "complete" });
  });
});

describe("a stopped recorder", () => {
  const call = new TestCall(harness);

  before(async () => {
    await beginCall(agent, call);
    agent.send({ kind: "batch", packets: bothWays(call, 0, 30) });
    const still = await harness.recordings("show", call.recording, ...key);
    assert.match(still.stdout, /still open/);
    assert.equal(await stop(), 0);
  });

  it("ends its recordings with the reason, and says what it cannot know", async () => {
    const report = await endOfCall(agent, call);
    assert.equal(report.reason, "the recorder was stopped");
    assert.equal(report.verdict.kind, "complete-with-gaps");
    assert.equal(report.streams[0].rtp.stored, 30 - LATER);
    assert.equal((await harness.json("verify", call.recording, ...ledgerKey)).ok, true);
  });

  it("leaves files for its owner alone", async () => {
    assert.equal(statSync(harness.store).mode & 0o777, 0o700);
    for (const name of readdirSync(harness.store))
      assert.equal(statSync(join(harness.store, name)).mode & 0o777, 0o600, name);
  });

  it("logged no key, no party and no address", async () => {
    for (const word of ["WVNfX19z", "PS1uQCVe", "alice", "bob", BOB.address, ALICE.address])
      assert.equal(harness.output.includes(word), false, word);
    assert.match(harness.output, /"msg":"recording closed"/);
  });

  describe("whose store is tampered with", () => {
    const copy = harness.path("copy");
    const store = ["--store", copy];
    const file = join(copy, `${call.recording}.khr`);
    const ledger = join(copy, "ledger.jsonl");
    const verify = async (...more: readonly string[]) => {
      const finished = await harness.recordings("verify", ...key, ...ledgerKey, ...store, ...more);
      return { code: finished.code, text: finished.stdout };
    };
    const fresh = () => cpSync(harness.store, copy, { recursive: true, force: true });

    it("shows one changed octet of a recording", async () => {
      fresh();
      const octets = readFileSync(file);
      octets[octets.length >> 1] = (octets[octets.length >> 1] ?? 0) ^ 0x40;
      writeFileSync(file, octets);
      const { code, text } = await verify(call.recording);
      assert.equal(code, 1);
      assert.match(text, /BAD +container +the recording file was altered: segment 0, chunk \d/);
      assert.match(text, /BAD +file in ledger +another SHA-256/);
    });

    it("shows a recording that was cut", async () => {
      fresh();
      writeFileSync(file, readFileSync(file).subarray(0, -40));
      const { code, text } = await verify(call.recording);
      assert.equal(code, 1);
      assert.match(text, /BAD +container +the recording file ends in segment 0/);
      const exported = await harness.recordings(
        "export",
        call.recording,
        "--wav",
        "/dev/null",
        ...key,
        ...store,
      );
      assert.equal(exported.code, 1);
      assert.match(exported.stderr, /without a close/);
    });

    it("shows a recording put in another's place", async () => {
      fresh();
      const other = readdirSync(copy).find((name) => name.endsWith(".khr") && !file.endsWith(name));
      cpSync(join(copy, other ?? ""), file);
      assert.match((await verify(call.recording)).text, /BAD +container +the file named .* holds/);
    });

    it("shows a recording that was taken away", async () => {
      fresh();
      rmSync(file);
      const one = await verify(call.recording.slice(0, 8));
      assert.equal(one.code, 1);
      assert.match(one.text, /BAD +container +recording .* cannot be read \(ENOENT\)/);
      assert.equal((await verify()).code, 1);
      const listed = await harness.recordings("list", ...store);
      assert.match(listed.stdout, new RegExp(`${call.recording}.*its file is missing`));
    });

    it("names the ledger's first broken line, and how it is broken", async () => {
      fresh();
      const lines = readFileSync(ledger, "utf8").split("\n");
      writeFileSync(
        ledger,
        lines.with(1, (lines[1] ?? "").replace("complete", "not-made")).join("\n"),
      );
      assert.match((await verify()).text, /BAD +ledger +line 2 changed/);
      writeFileSync(ledger, lines.toSpliced(1, 1).join("\n"));
      assert.match((await verify()).text, /BAD +ledger +line 2 removed/);
    });

    it("shows a ledger cut short against a head kept elsewhere", async () => {
      fresh();
      const [, head = ""] = /head (\S+)/.exec((await verify()).text) ?? [];
      assert.match((await verify("--head", head)).text, /good +ledger .*end proven/);
      const lines = readFileSync(ledger, "utf8").split("\n");
      writeFileSync(ledger, `${lines.slice(0, 2).join("\n")}\n`);
      const { code, text } = await verify("--head", head);
      assert.equal(code, 1);
      assert.match(text, /BAD +ledger +line 3 truncated/);
    });

    it("reads a copied WAV no differently", async () => {
      fresh();
      const wav = harness.path("copy.wav");
      await harness.json("export", call.recording, "--wav", wav, ...store);
      assert.equal(decodeWav(readFileSync(wav)).channels[0]?.length, 30 * 160);
    });
  });
});
