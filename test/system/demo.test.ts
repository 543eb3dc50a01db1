/** `keyhole demo` as a user runs it: its exit code, what it prints, what it writes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { DemoReport } from "../../lab/demo-report.ts";
import { PHASES, PROMISED } from "../../lab/pinhole-matrix.ts";
import { KEYHOLE } from "../../lab/site.ts";

const out = mkdtempSync(join(tmpdir(), "keyhole-demo-"));
/** Some twenty seconds on an idle machine; a busy one of two slow processors takes three times as long. */
const TIME_LIMIT_MS = 120_000;
after(() => rmSync(out, { recursive: true }));

test("the demo holds what it shows, soon enough to wait for, and says so in JSON", () => {
  const json = join(out, "report.json");
  const argv = [KEYHOLE, "demo", "--json", json, "--out", join(out, "results")];
  const done = spawnSync(process.execPath, argv, {
    encoding: "utf8",
    env: { ...process.env, KEYHOLE_SETUP_MS: "1234" },
  });
  assert.equal(done.status, 0, done.stdout + done.stderr);
  assert.match(done.stdout, /All of it held\./);
  assert.equal(done.stdout.includes("\u001b["), false);

  const report = JSON.parse(readFileSync(json, "utf8")) as DemoReport;
  assert.equal(report.ok, true);
  assert.deepEqual(report.failures, []);
  assert.equal(report.setupMs, 1234);
  assert(report.runMs < TIME_LIMIT_MS, `${report.runMs} ms`);
  assert.equal(report.bodySha256?.equal, true);
  assert.equal(report.sdpSeenOutsideTrusted, false);
  assert.deepEqual(report.seenInLogs, []);
  for (const phase of PHASES) assert.deepEqual(report.pinholes?.[phase], PROMISED[phase]);
  for (const { media, recording } of [report, report.patentCall ?? {}]) {
    assert(media !== undefined && recording !== undefined);
    for (const figures of Object.values(media)) {
      const { sent, admitted, captured, authenticated, stored } = figures;
      assert.deepEqual([admitted, captured, authenticated, stored], Array(4).fill(sent));
      assert(sent > 100);
    }
    assert.equal(recording.samplesEqual, true);
    assert(existsSync(recording.wav) && existsSync(recording.pcapng));
    assert(recording.durationMs > 3000);
  }
});

test("an unknown option is refused, and nothing is built for it", () => {
  const done = spawnSync(process.execPath, [KEYHOLE, "demo", "--nonsense"], { encoding: "utf8" });
  assert.equal(done.status, 64);
  assert.match(done.stderr, /--nonsense/);
});
