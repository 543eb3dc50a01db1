/** Calls by the hundred through a stateful proxy, on good links and on bad ones. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { countImpairments, impairLinks } from "../../lab/impairment.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { createNetwork, type Network } from "../../lab/network.ts";
import { PLAIN_PROXY, startPlainKamailio } from "../../lab/plain-proxy.ts";
import { isAllSuccessful, runSipp, type SippOptions, type SippResult } from "../../lab/sipp.ts";
import type { HostName } from "../../lab/topology.ts";

const HOSTS: readonly HostName[] = ["alice", "gateway", "bob"];
const directory = mkdtempSync(join(tmpdir(), "keyhole-sipp-"));
let runs = 0;
let network: Network;
let proxy: LabProcess;

before(() => {
  network = createNetwork();
});
after(() => {
  network?.close();
  rmSync(directory, { recursive: true });
});

function run(options: Omit<SippOptions, "directory" | "proxy">): Promise<SippResult> {
  const own = { directory: join(directory, String(++runs)), proxy: PLAIN_PROXY };
  return runSipp(network, { ...own, ...options });
}

function assertFlawless(result: SippResult, calls: number): void {
  assert.ok(isAllSuccessful(result, calls), `${JSON.stringify(result)}`);
  assert.equal(result.caller.retransmissions + result.callee.retransmissions, 0);
}

describe("through Kamailio, for comparison", () => {
  before(async () => {
    proxy = await startPlainKamailio(network, directory);
  });
  after(() => proxy?.stop());

  test("udp", async () => {
    assertFlawless(await run({ callsPerSecond: 300, calls: 900 }), 900);
  });
  test("udp, no SDP", async () => {
    assertFlawless(await run({ callsPerSecond: 300, calls: 300, sdp: false }), 300);
  });
  test("tcp", async () => {
    assertFlawless(await run({ callsPerSecond: 300, calls: 300, transport: "tcp" }), 300);
  });
  test("bad links", async () => {
    impairLinks(network, HOSTS, { lossPercent: 5, latePercent: 10 });
    const result = await run({ callsPerSecond: 300, calls: 1500, lingerMs: 12_000 });

    assert.ok(isAllSuccessful(result, 1500), `${JSON.stringify(result)}`);
  });
});
