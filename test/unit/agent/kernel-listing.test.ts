import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isRuleLoss,
  isTableLoss,
  parseFinalCount,
  parseTableListing,
} from "../../../agent/core/kernel-listing.ts";

const element = (concat: (string | number)[], comment?: string) => ({
  elem: { val: { concat }, ...(comment && { comment }), counter: { packets: 3, bytes: 99 } },
});
const listing = (sets: Record<string, unknown[]>, more: unknown[] = []) =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: "1.0.6" } },
      { table: { family: "inet", name: "keyhole" } },
      ...Object.entries(sets).map(([name, elem]) => ({
        set: { name, table: "keyhole", ...(elem.length > 0 && { elem }) },
      })),
      ...more,
    ],
  });

test("elements come back as what they mean, with label and counter", () => {
  const table = parseTableListing(
    listing(
      {
        any4: [element(["10.10.0.2", 20000], "1 0011 s1 alice")],
        peer6: [element(["2001:db8::2", "2001:db8:1::2", 20002], "1 0011 s1 b")],
        pin4: [element(["10.20.0.2", 30000, "10.10.0.2", 20004], "1 0011 s2 c")],
        tally4: [element(["10.10.0.2", 20000, 43], "1 0011 s1 alice")],
        alive: [{ elem: { val: "udp", timeout: 10, expires: 9 } }],
      },
      [{ chain: { name: "pins" } }, { chain: { name: "forward", prio: 300 } }],
    ),
  );
  assert.deepEqual([table.alive, table.priority, table.strays], [true, 300, []]);
  assert.deepEqual(
    table.elements.map(({ element: { set, key }, label, count, serial }) => [
      set,
      key,
      label.session,
      count.packets,
      serial,
    ]),
    [
      ["any4", "10.10.0.2 . 20000", "s1", 3, undefined],
      ["peer6", "2001:db8::2 . 2001:db8:1::2 . 20002", "s1", 3, undefined],
      ["pin4", "10.20.0.2 . 30000 . 10.10.0.2 . 20004", "s2", 3, undefined],
      ["tally4", "10.10.0.2 . 20000 . 0x0000002b", "s1", 3, 43],
    ],
  );
});

test("elements without a readable label are strays; a table without elements is empty and not alive", () => {
  const table = parseTableListing(
    listing({
      any4: [
        element(["10.10.0.2", 1]),
        element(["10.10.0.2", 2], "9 a b c"),
        element(["10.10.0.2", 3], "1 a b"),
      ],
      peer4: [],
    }),
  );
  assert.deepEqual([table.alive, table.priority, table.elements], [false, undefined, []]);
  assert.deepEqual(
    table.strays.map(({ key }) => key),
    ["10.10.0.2 . 1", "10.10.0.2 . 2", "10.10.0.2 . 3"],
  );
});

test("what is no listing is a fault, not an empty table", () => {
  for (const text of [
    "",
    "{}",
    "[]",
    '{"nftables":[{"set":{}}]}',
    listing({ any4: [{ elem: { val: "x" } }] }),
  ])
    assert.throws(() => parseTableListing(text));
});

test("the monitor's lines: last counts of our sets, and the loss of our table", () => {
  const line =
    'delete element inet keyhole peer4 { 10.20.0.2 . 10.10.0.2 . 5000 counter packets 5 bytes 99 comment "1 a s p" }';
  assert.deepEqual(parseFinalCount(line, "keyhole"), {
    element: { set: "peer4", key: "10.20.0.2 . 10.10.0.2 . 5000" },
    packets: 5,
    bytes: 99,
  });
  assert.equal(parseFinalCount(line.replace(/ comment ".*"/, ""), "keyhole")?.packets, 5);
  for (const other of [
    line.replace("keyhole", "other"),
    line.replace("peer4", "tally4"),
    line.replace("delete", "add"),
    line.replace(/counter.*/, "}"),
    "delete element inet keyhole alive { udp timeout 10s expires 9s }",
    "",
  ])
    assert.equal(parseFinalCount(other, "keyhole"), undefined, other);
  assert.equal(isTableLoss("delete table inet keyhole", "keyhole"), true);
  assert.equal(isTableLoss("delete table inet keyhole2", "keyhole"), false);
  for (const what of ["rule inet keyhole forward handle 4", "chain inet keyhole pins"])
    assert.equal(isRuleLoss(`delete ${what}`, "keyhole"), true);
  for (const what of ["rule inet keyhole2 forward handle 4", "element inet keyhole any4 { }"])
    assert.equal(isRuleLoss(`delete ${what}`, "keyhole"), false);
});
