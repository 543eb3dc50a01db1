/** Recorders that are killed in the middle of a call. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { appendFileSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { RecorderHarness, type TestAgent, TestCall } from "./recorder-harness.ts";
import {
  assertSounds,
  beginCall,
  bothWays,
  channelsOf,
  endOfCall,
  expectedSpeech,
} from "./recorder-speech.ts";

/** Packets that surely reached the file before the kill, and packets right before it. */
const [FLUSHED, SENT] = [40, 50];

const harness = new RecorderHarness(60_000);
const ledgerKey = ["--ledger-key", harness.path("ledger.pub")];
const key = ["--key", harness.path("archive.key")];
const fileOf = (call: TestCall) => join(harness.store, `${call.recording}.khr`);
after(() => harness.close());

/** A call of which the recorder sees the first second and is then killed. */
async function killInCall(call: TestCall): Promise<void> {
  const recorder = await harness.start();
  const agent = await harness.connect();
  await beginCall(agent, call);
  await harness.written(call, () =>
    agent.send({ kind: "batch", packets: bothWays(call, 0, FLUSHED) }),
  );
  agent.send({ kind: "batch", packets: bothWays(call, FLUSHED, SENT) });
  await harness.end(recorder, "SIGKILL");
  agent.end();
}

describe("a recorder killed in the middle of a call", () => {
  let call: TestCall;
  let recorder: ChildProcess;
  let agent: TestAgent;

  beforeEach(async () => {
    call = new TestCall(harness);
    await killInCall(call);
  });

  const restart = async () => {
    recorder = await harness.start();
    agent = await harness.connect();
  };
  const stop = () => harness.end(recorder, "SIGTERM");

  it("leaves what was written; the next one cuts the torn tail and ends the recording", async () => {
    const whole = readFileSync(fileOf(call));
    appendFileSync(fileOf(call), Buffer.from("0100000200aabbcc", "hex"));
    assert.equal((await harness.recordings("verify", call.recording, ...key)).code, 1);
    await restart();
    assert.equal(await stop(), 0);
    assert.ok(readFileSync(fileOf(call)).subarray(0, whole.length).equals(whole));

    const { completeness, interruptions } = await harness.json("show", call.recording);
    assert.equal(interruptions, 1);
    assert.equal(completeness.reason, "the recorder was interrupted");
    assert.equal(completeness.verdict.kind, "complete-with-gaps");
    assert.match(completeness.verdict.gaps[0], /^the recorder was interrupted, 20.* to 20/);
    assert.equal((await harness.json("verify", call.recording, ...ledgerKey)).ok, true);
    const [left = new Int16Array(), right] = await channelsOf(harness, call);
    const packets = left.length / 160;
    assert.ok(packets >= FLUSHED && packets <= SENT);
    assertSounds(left, expectedSpeech("caller", [], packets));
    assertSounds(right, expectedSpeech("callee", [], packets));
  });

  it("is followed by one that goes on with the call when it is ordered again", async () => {
    await restart();
    agent.send(call.order(2));
    assert.deepEqual(await agent.next(), {
      kind: "order-reply",
      id: "order-2",
      result: "accepted",
    });
    agent.send({ kind: "batch", packets: bothWays(call, SENT, 100) });
    agent.send(call.close());
    const report = await endOfCall(agent, call);
    assert.equal(report.verdict.kind, "complete-with-gaps");
    assert.equal(await stop(), 0);

    assert.equal((await harness.json("verify", call.recording, ...ledgerKey)).ok, true);
    const [left] = await channelsOf(harness, call);
    const lacks = Array.from({ length: SENT - FLUSHED }, (_, index) => FLUSHED + index);
    const heard = lacks.filter((at) =>
      left?.subarray(at * 160, at * 160 + 160).some((s) => s !== 0),
    );
    assertSounds(
      left,
      expectedSpeech(
        "caller",
        lacks.filter((at) => !heard.includes(at)),
      ),
    );
    const text = (await harness.recordings("show", call.recording, ...key)).stdout;
    assert.match(text, /the recorder was interrupted/);
  });

  it("tells of a file that was lost meanwhile", async () => {
    unlinkSync(fileOf(call));
    await restart();
    assert.equal(await stop(), 0);
    assert.match(harness.output, /"msg":"interrupted recordings closed"/);
    assert.throws(() => statSync(fileOf(call)), { code: "ENOENT" });
    assert.match(readFileSync(join(harness.store, "ledger.jsonl"), "utf8"), /its file is missing/);
  });
});
