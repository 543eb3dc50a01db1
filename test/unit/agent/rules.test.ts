import assert from "node:assert/strict";
import { test } from "node:test";
import { agentConfigSchema, MAX_SET_ELEMENTS } from "../../../agent/config.ts";
import { filterElement, tallyElement } from "../../../agent/core/element.ts";
import {
  probe,
  rebuilding,
  renewal,
  ruleset,
  serializeChanges,
} from "../../../agent/core/rules.ts";
import { parseAddress } from "../../../protocol/net/address.ts";

const config = agentConfigSchema.parse({
  socket: "agent.sock",
  ingest: { socket: "ingest.sock" },
  realm: { prefixes: ["10.10.0.0/24", "2001:db8::/64"], ports: [16_384, 32_767] },
  nft: { table: "kh", priority: 200, group: 7, queueThreshold: 16 },
});
const lines = ruleset(config).split("\n");
const rules = lines.filter((line) => line.startsWith("add rule"));

test("every accept is preceded by its copy, and admits one exact set", () => {
  const accepts = rules.filter((rule) => rule.endsWith("accept"));
  assert.equal(accepts.length, 6);
  for (const rule of accepts)
    assert.match(
      rule,
      /^add rule inet kh pins .+ @(pin|peer|any)[46] log group 7 snaplen 2048 queue-threshold 16 accept$/,
    );
});

test("first fragments meet no pinhole", () => {
  const pins = rules.filter((rule) => rule.startsWith("add rule inet kh pins"));
  assert.deepEqual(pins.slice(0, 2), [
    "add rule inet kh pins ip frag-off & 0x2000 != 0 return",
    "add rule inet kh pins frag more-fragments 1 return",
  ]);
});

test("pins are met only while the dead-man element lives, and before what drops", () => {
  const forward = rules.filter((rule) => rule.startsWith("add rule inet kh forward"));
  assert.equal(forward[0], "add rule inet kh forward meta l4proto @alive jump pins");
  assert.deepEqual(forward.slice(1), [
    "add rule inet kh forward ip daddr 10.10.0.0/24 udp dport 16384-32767 counter name refused drop",
    "add rule inet kh forward ip saddr 10.10.0.0/24 udp sport 16384-32767 counter name refused drop",
    "add rule inet kh forward ip6 daddr 2001:db8::/64 udp dport 16384-32767 counter name refused drop",
    "add rule inet kh forward ip6 saddr 2001:db8::/64 udp sport 16384-32767 counter name refused drop",
  ]);
});

test("the table is made without touching elements, and touches no other table", () => {
  for (const line of lines.filter(Boolean)) assert.match(line, /^(add|flush) \w+ inet kh\b/);
  assert.equal(
    lines.some((line) => line.startsWith("flush set") || line.includes("delete")),
    false,
  );
  assert.ok(
    lines.includes(
      `add set inet kh any4 { type ipv4_addr . inet_service; size ${MAX_SET_ELEMENTS}; counter; }`,
    ),
  );
  assert.ok(lines.includes("add set inet kh alive { type inet_proto; flags timeout; }"));
});

test("a chain of another priority is replaced in the same transaction, one of the same is kept", () => {
  assert.equal(ruleset(config, 200), ruleset(config));
  const moved = ruleset(config, 300).split("\n");
  assert.ok(
    moved.indexOf("delete chain inet kh forward") <
      moved.findIndex((line) => line.startsWith("add chain inet kh forward")),
  );
});

test("rebuilding empties every set of pinholes and counts, not the dead-man's", () => {
  const flushed = rebuilding(config)
    .split("\n")
    .filter((line) => line.startsWith("flush set"));
  assert.equal(flushed.length, 8);
  assert.equal(
    flushed.some((line) => line.includes("alive")),
    false,
  );
});

test("changes are one line; what is added must not be there yet", () => {
  const to = { address: parseAddress("10.10.0.2"), port: 20_000 };
  const label = { owner: "00ff", session: "s1", pinhole: "alice" };
  assert.equal(
    serializeChanges("kh", [
      { op: "delete", element: filterElement({ kind: "any" }, to) },
      {
        op: "add",
        element: filterElement({ kind: "host", address: parseAddress("10.20.0.2") }, to),
        label,
      },
      { op: "add", element: tallyElement(to, 255), label, count: { packets: 5, bytes: 9 } },
    ]),
    "delete element inet kh any4 { 10.10.0.2 . 20000 } ; " +
      'create element inet kh peer4 { 10.20.0.2 . 10.10.0.2 . 20000 counter packets 0 bytes 0 comment "1 00ff s1 alice" } ; ' +
      'create element inet kh tally4 { 10.10.0.2 . 20000 . 0x000000ff counter packets 5 bytes 9 comment "1 00ff s1 alice" }',
  );
});

test("the longest names that a controller may use fit into the kernel's comment", () => {
  const KERNEL_COMMENT_CHARS = 127;
  const to = { address: parseAddress("10.10.0.2"), port: 20_000 };
  const label = { owner: "f".repeat(16), session: "s".repeat(64), pinhole: "p".repeat(32) };
  const line = serializeChanges("kh", [
    { op: "add", element: filterElement({ kind: "any" }, to), label },
  ]);
  assert.ok((/comment "(.*)"/.exec(line)?.[1]?.length ?? 999) <= KERNEL_COMMENT_CHARS);
});

test("renewal and probe are single transactions on sets of their own", () => {
  assert.equal(renewal("kh").split(" ; ").length, 3);
  assert.match(
    renewal("kh"),
    /^add element inet kh alive \{ udp timeout 10s \} ; delete .* ; add /,
  );
  assert.equal(probe("kh").includes("alive"), false);
});
