/** A recorder whose store is full, or is another's already. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { RecorderHarness, TestCall, until } from "./recorder-harness.ts";
import { beginCall, bothWays, endOfCall } from "./recorder-speech.ts";

/** Long enough for the recorder to try again in vain. */
const FULL_FOR_MS = 1500;

describe("a second recorder on one store", () => {
  const harness = new RecorderHarness(0);
  after(() => harness.close());

  it("ends at once and touches nothing, whatever socket it would have", async () => {
    const recorder = await harness.start();
    const agent = await harness.connect();
    const call = new TestCall(harness);
    await beginCall(agent, call);
    await harness.written(call, () =>
      agent.send({ kind: "batch", packets: bothWays(call, 0, 30) }),
    );
    const files = () =>
      readdirSync(harness.store).map((name) => [name, readFileSync(join(harness.store, name))]);
    const before = files();
    for (const socket of ["run/ingest.sock", "run/second.sock"]) {
      harness.configure({ socket });
      await assert.rejects(harness.start(), /another recorder has this store/);
    }
    assert.deepEqual(files(), before);
    agent.send({ kind: "batch", packets: bothWays(call, 30, 60) });
    agent.send(call.close());
    assert.deepEqual((await endOfCall(agent, call)).verdict, { kind: "complete" });
    assert.equal((await harness.json("verify", call.recording)).ok, true);
    await harness.end(recorder, "SIGKILL");
    harness.configure({ socket: "run/ingest.sock" });
    assert.equal(
      await harness.end(await harness.start(), "SIGTERM"),
      0,
      "a dead one leaves it free",
    );
  });
});

describe("a store without room", { skip: process.getuid?.() === 0 ? false : "needs root" }, () => {
  const harness = new RecorderHarness(1_000);
  const ballast = join(harness.store, "ballast");
  before(() => {
    const options = "size=256k,mode=700,uid=61930,gid=61930";
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "x", harness.store]);
    assert.equal(mounted.status, 0, String(mounted.stderr));
  });
  after(() => {
    spawnSync("umount", [harness.store]);
    harness.close();
  });
  const fill = () => {
    try {
      for (;;) writeFileSync(ballast, Buffer.alloc(1024), { flag: "a" });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  };

  it("refuses orders with the reason, and takes the same ones when there is room", async () => {
    const recorder = await harness.start();
    const agent = await harness.connect();
    const call = new TestCall(harness);
    fill();
    agent.send(call.order(1));
    assert.deepEqual(await agent.next(), {
      kind: "order-reply",
      id: "order-1",
      result: { refused: "not stored: ENOSPC" },
    });
    assert.deepEqual(
      readdirSync(harness.store).filter((name) => name.endsWith(".khr")),
      [],
    );
    rmSync(ballast);
    await beginCall(agent, call);
    agent.send({ kind: "batch", packets: bothWays(call, 0, 30) });
    agent.send(call.close());
    assert.deepEqual((await endOfCall(agent, call)).verdict, { kind: "complete" });
    assert.equal((await harness.json("verify", call.recording)).ok, true);
    await harness.end(recorder, "SIGTERM");
  });

  it("that runs out in mid-call is told; what was stored is ended when there is room", async () => {
    const recorder = await harness.start();
    const agent = await harness.connect();
    const call = new TestCall(harness);
    await beginCall(agent, call);
    await harness.written(call, () =>
      agent.send({ kind: "batch", packets: bothWays(call, 0, 30) }),
    );
    fill();
    agent.send({ kind: "batch", packets: bothWays(call, 30, 90) });
    const report = await endOfCall(agent, call);
    assert.deepEqual(report.verdict, {
      kind: "not-recorded",
      because: "the store failed: ENOSPC",
    });
    const other = new TestCall(harness);
    agent.send(other.order(1));
    const refused = await agent.next();
    assert.ok(refused?.kind === "order-reply" && refused.result !== "accepted");
    await sleep(FULL_FOR_MS);
    rmSync(ballast);
    const key = ["--key", harness.path("archive.key")];
    const verify = () => harness.recordings("verify", call.recording, ...key);
    await until("the end of what was stored", async () => (await verify()).code === 0);
    const checked = await harness.json("verify", call.recording);
    assert.equal(checked.ok, true);
    assert.equal(checked.recordings[0].verdict, "complete with stated gaps");
    await harness.end(recorder, "SIGTERM");
  });
});
