/** Calls by the hundred through the controller as a plain proxy, on good links and on bad ones. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { countImpairments, impairLinks } from "../../lab/impairment.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { createNetwork, type Network } from "../../lab/network.ts";
import { PLAIN_PROXIES, startPlainController } from "../../lab/plain-proxy.ts";
import { isAllSuccessful, runSipp, type SippOptions, type SippResult } from "../../lab/sipp.ts";
import type { HostName } from "../../lab/topology.ts";

const HOSTS: readonly HostName[] = ["alice", "gateway", "bob"];
const directory = mkdtempSync(join(tmpdir(), "keyhole-sipp-"));
let runs = 0;
let network: Network;

before(() => {
  network = createNetwork();
});
after(() => {
  network?.close();
  rmSync(directory, { recursive: true });
});

function run(options: Omit<SippOptions, "directory" | "proxy">): Promise<SippResult> {
  const own = { directory: join(directory, String(++runs)), proxy: PLAIN_PROXIES.keyhole };
  return runSipp(network, { ...own, ...options });
}

function assertAllSuccessful(result: SippResult, calls: number): void {
  assert.ok(isAllSuccessful(result, calls), JSON.stringify(result));
}

function assertNothingRepeated({ caller, callee }: SippResult): void {
  assert.equal(caller.retransmissions + callee.retransmissions, 0);
}

for (const transport of ["udp", "tcp"] as const)
  describe(`over ${transport}`, () => {
    let controller: LabProcess;
    before(async () => {
      controller = await startPlainController(network, directory, transport);
      // Code that was never run before is slow enough for a message to be sent again.
      await run({ transport, callsPerSecond: 50, calls: 100 });
    });
    after(() => controller?.stop());

    test("a call takes one message of each kind", async () => {
      const result = await run({ transport, callsPerSecond: 200, calls: 800 });
      assertAllSuccessful(result, 800);
      assertNothingRepeated(result);
    });

    test("calls without session descriptions", async () => {
      const result = await run({ transport, callsPerSecond: 150, calls: 150, sdp: false });
      assertAllSuccessful(result, 150);
      assertNothingRepeated(result);
    });

    if (transport === "tcp") return;
    test("one packet in twenty lost, one in ten overtaken: every call succeeds all the same", async () => {
      impairLinks(network, HOSTS, { lossPercent: 5, latePercent: 10 });
      const result = await run({ callsPerSecond: 150, calls: 600, lingerMs: 12_000 });
      assertAllSuccessful(result, 600);
      const { lost, late } = countImpairments(network, HOSTS);
      assert.ok(lost > 100 && late > 200, `${lost} lost, ${late} overtaken`);
      assert.ok(result.caller.retransmissions > 0);
    });
  });
