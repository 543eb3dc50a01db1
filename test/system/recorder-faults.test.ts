/** The recorder stalls or dies in the middle of a real call: the call goes on, and what is missing is said. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CallStep, placeCall } from "../../lab/call.ts";
import { startProgram } from "../../lab/gateway.ts";
import { readRecording } from "../../lab/recording.ts";
import { openStage, type Stage } from "../../lab/stage.ts";

const STALL_MS = 1_500;
const out = mkdtempSync(join(tmpdir(), "keyhole-faults-"));
let stage: Stage;

before(async () => {
  stage = await openStage({ logLevel: "debug" });
});
after(async () => {
  await stage?.close();
  rmSync(out, { recursive: true });
});

async function call(name: string, at: CallStep, act: () => Promise<void>) {
  const results = join(out, name);
  const onStep = async (step: CallStep) => {
    if (step === at) await act();
  };
  const report = await placeCall(stage, { results, onStep });
  return { recorded: await readRecording(stage.site, report, results) };
}

test("a recorder that stands still for a while misses nothing", async () => {
  const recorder = stage.programs.recorder;
  assert.ok(recorder);
  const { recorded } = await call("stalled", "mediaStarted", async () => {
    recorder.signal("SIGSTOP");
    setTimeout(() => recorder.signal("SIGCONT"), STALL_MS);
  });
  const { verdict, samplesEqual } = recorded;
  assert.deepEqual([verdict, samplesEqual], ["complete", true]);
});

test("a recorder killed in mid-call is gone on with by the next, which says what it missed", async () => {
  const recorder = stage.programs.recorder;
  assert.ok(recorder);
  let next: Awaited<ReturnType<typeof startProgram>> | undefined;
  const { recorded } = await call("killed", "mediaStarted", async () => {
    await sleep(1200);
    recorder.signal("SIGKILL");
    await recorder.exited;
    next = await startProgram(stage.network, stage.site, "recorder");
  });
  const { verdict, verified, streams } = recorded;
  assert.deepEqual([verdict, verified], ["complete-with-gaps", true]);
  for (const { admitted, authenticated } of [streams.caller, streams.callee]) {
    assert.equal(admitted, null, "what the first one took is not compared");
    assert.ok(authenticated > 0);
  }
  await next?.stop();
});

test("a recorder that is away at the call's end is told of it when it is back, with what passed meanwhile", async () => {
  const results = join(out, "away");
  let killed = stage.programs.recorder;
  if (killed?.exit !== undefined)
    killed = await startProgram(stage.network, stage.site, "recorder");
  const onStep = async (step: CallStep) => {
    if (step !== "mediaStarted") return;
    await sleep(1200);
    killed?.signal("SIGKILL");
    await killed?.exited;
  };
  const report = await placeCall(stage, { results, onStep });
  const next = await startProgram(stage.network, stage.site, "recorder");
  const { verdict, verified, streams } = await readRecording(stage.site, report, results);
  assert.deepEqual([verdict, verified], ["complete-with-gaps", true]);
  for (const { authenticated } of [streams.caller, streams.callee]) assert.ok(authenticated > 0);
  await next.stop();
});
