/** A recorder in this process whose disk hangs longer than it waits for a recording to be resumed. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import sodium from "libsodium-wrappers";
import { rawPublicKey } from "../../protocol/sealing/sodium.ts";
import { readPrivateKey, readPublicKey } from "../../recorder/io/key-files.ts";
import { RecorderService } from "../../recorder/io/recorder-service.ts";
import { SealedFile } from "../../recorder/io/sealed-file.ts";
import { createLogger } from "../../runtime/logger.ts";
import { RecorderHarness, TestAgent, TestCall, until } from "./recorder-harness.ts";
import { beginCall, bothWays, endOfCall } from "./recorder-speech.ts";

const RESUME_MS = 1_000;
/** Beyond that, and beyond any timer that began when the recording failed. */
const HANGS_FOR_MS = 1_500;

const harness = new RecorderHarness(RESUME_MS);
const store = join(harness.directory, "hanging");
const socket = join(harness.directory, "hanging.sock");
let service: RecorderService | undefined;
after(async () => {
  await service?.stop("the test is over");
  harness.close();
});

it("a recording that failed is ended when the disk lets go of it, without another start", async (t) => {
  await sodium.ready;
  service = await RecorderService.start({
    ...{ socket, store, sodium, resumeMs: RESUME_MS, log: createLogger("recorder", "silent") },
    key: readPrivateKey(harness.path("recorder.key"), "x25519"),
    controllers: [readPublicKey(harness.path("order.pub"), "ed25519")],
    archives: [rawPublicKey(readPublicKey(harness.path("archive.pub"), "x25519"))],
    ledgerKey: readPrivateKey(harness.path("ledger.key"), "ed25519"),
  });
  const agent = await TestAgent.connect(socket);
  const call = new TestCall(harness);
  await beginCall(agent, call);
  const write = t.mock.method(SealedFile.prototype, "write", async () => {
    throw Object.assign(new Error("the disk hangs"), { code: "EIO" });
  });
  const abandon = SealedFile.prototype.abandon;
  t.mock.method(SealedFile.prototype, "abandon", async function held(this: SealedFile) {
    await sleep(HANGS_FOR_MS);
    await abandon.call(this);
  });
  agent.send({ kind: "batch", packets: bothWays(call, 0, 30) });
  const { verdict } = await endOfCall(agent, call);
  assert.deepEqual(verdict, { kind: "not-recorded", because: "the store failed: EIO" });
  write.mock.restore();
  const options = ["--store", store, "--key", harness.path("archive.key")];
  const verify = () => harness.recordings("verify", call.recording, ...options);
  await until("its end", async () => (await verify()).code === 0);
  agent.end();
});
