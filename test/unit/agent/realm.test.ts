import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPinhole } from "../../../agent/core/realm.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { ALICE, BOB, pinhole } from "./agent-bench.ts";

const realm = {
  prefixes: [parsePrefix("10.10.0.0/24"), parsePrefix("2001:db8::/64")],
  ports: [16_384, 32_767] as [number, number],
};
const check = (from: Parameters<typeof pinhole>[1], address: string, port = 20_000) =>
  checkPinhole(pinhole("p", from, address, port), realm, "pinholes.0");

test("a pinhole with one end in the realm may be asked for", () => {
  assert.equal(check({}, ALICE).ok, true);
  assert.equal(check({ address: BOB }, ALICE).ok, true);
  assert.equal(check({ address: BOB, port: 1024 }, ALICE).ok, true);
  assert.equal(check({ address: ALICE }, BOB, 1024).ok, true);
  assert.equal(check({ address: ALICE, port: 16_384 }, BOB, 65_535).ok, true);
  assert.equal(check({}, "2001:db8::2").ok, true);
});

test("everything else is refused, with the path of its field", () => {
  const cases: [ReturnType<typeof check>, string, string][] = [
    [check({}, BOB), "ERR_CONTROL_REALM", ""],
    [check({ address: BOB }, "10.20.0.3"), "ERR_CONTROL_REALM", ""],
    [check({}, ALICE, 16_383), "ERR_CONTROL_REALM", ""],
    [check({}, ALICE, 32_768), "ERR_CONTROL_REALM", ""],
    [check({ address: ALICE, port: 16_383 }, BOB), "ERR_CONTROL_REALM", ""],
    [check({}, "10.10.1.2"), "ERR_CONTROL_REALM", ""],
    [check({}, "2001:db8:0:1::2"), "ERR_CONTROL_REALM", ""],
    [check({ address: ALICE }, BOB, 1023), "ERR_CONTROL_REALM", ".to.port"],
    [check({ address: BOB, port: 53 }, ALICE), "ERR_CONTROL_REALM", ".from.port"],
    [check({ port: 5000 }, ALICE), "ERR_CONTROL_VALUE", ".from.port"],
    [check({}, "alice.example.com"), "ERR_CONTROL_VALUE", ".to.address"],
    [check({ address: "10.10.0" }, ALICE), "ERR_CONTROL_VALUE", ".from.address"],
    [check({ address: "x", port: 5000 }, ALICE), "ERR_CONTROL_VALUE", ".from.address"],
    [check({ address: "2001:db8::9" }, ALICE), "ERR_CONTROL_VALUE", ".from.address"],
    ...[
      "127.0.0.1",
      "::1",
      "224.0.0.1",
      "ff02::1",
      "169.254.0.1",
      "fe80::1",
      "0.0.0.0",
      "255.255.255.255",
    ].flatMap((address): [ReturnType<typeof check>, string, string][] => [
      [check({}, address), "ERR_CONTROL_REALM", ".to.address"],
      [check({ address }, ALICE), "ERR_CONTROL_REALM", ".from.address"],
    ]),
  ];
  for (const [result, code, path] of cases) {
    assert.ok(!result.ok);
    assert.deepEqual([result.error.code, result.error.path], [code, `pinholes.0${path}`]);
  }
});

test("the same address written another way is the same address", () => {
  const result = check({ address: "::ffff:10.20.0.2" }, "::ffff:10.10.0.2");
  assert.ok(result.ok && result.value.from.kind === "host");
  assert.deepEqual([result.value.from.address.text, result.value.to.address.text], [BOB, ALICE]);
});
