import assert from "node:assert/strict";
import { test } from "node:test";
import { agentConfigSchema } from "../../../agent/config.ts";
import { ConfigError, parseConfig } from "../../../runtime/config-file.ts";

const MINIMAL = `
socket = "agent.sock"
[ingest]
socket = "ingest.sock"
[realm]
prefixes = ["10.10.0.0/24"]
ports = [16384, 65535]
`;

test("a short file suffices; the rest has defaults", () => {
  const config = parseConfig(MINIMAL, agentConfigSchema);
  assert.deepEqual(config.nft, { table: "keyhole", priority: 300, group: 5, queueThreshold: 32 });
  assert.deepEqual(config.limits, { sessions: 5000, pinholes: 20_000 });
  assert.equal(config.log.level, "info");
  assert.equal(config.realm.prefixes[0]?.text, "10.10.0.0/24");
});

test("every fault is told at once, with its path", () => {
  const text = `
colour = 1
socket = ""
[ingest]
socket = "x"
[realm]
prefixes = ["10.10.0.1/24", "here"]
ports = [80, 70000]
[nft]
table = "keyhole; flush ruleset"
group = -1
[limits]
pinholes = 1000000
`;
  assert.throws(
    () => parseConfig(text, agentConfigSchema),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.faults.map(({ path }) => path).sort(), [
        "colour",
        "limits.pinholes",
        "nft.group",
        "nft.table",
        "realm.ports[0]",
        "realm.ports[1]",
        "realm.prefixes[0]",
        "realm.prefixes[1]",
        "socket",
      ]);
      return true;
    },
  );
});

test("a realm needs a prefix, and ports in order", () => {
  for (const [from, to] of [
    ['["10.10.0.0/24"]', "[]"],
    ["[16384, 65535]", "[65535, 16384]"],
    ["[16384, 65535]", "[16384]"],
  ] as const)
    assert.throws(() => parseConfig(MINIMAL.replace(from, to), agentConfigSchema), ConfigError);
});
