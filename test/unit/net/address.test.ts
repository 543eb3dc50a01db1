import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  decodeAddress,
  isForbiddenMediaAddress,
  isMediaPort,
  MIN_MEDIA_PORT,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "../../../protocol/net/address.ts";

const refused = (error: unknown) => isProtocolError(error, "ERR_ADDRESS");

test("an address has one canonical text", () => {
  const cases = [
    ["10.10.0.2", "10.10.0.2", 4],
    ["::ffff:10.10.0.2", "10.10.0.2", 4],
    ["::FFFF:0a0a:0002", "10.10.0.2", 4],
    ["2001:DB8::0001", "2001:db8::1", 6],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", 6],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", 6],
    ["::", "::", 6],
    ["1::", "1::", 6],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201", 6],
  ] as const;
  for (const [text, canonical, family] of cases) {
    const address = parseAddress(text);
    assert.deepEqual([address.text, address.family], [canonical, family]);
    assert.equal(address.octets.length, family === 4 ? 4 : 16);
  }
});

test("shorthand, octal, zones, brackets and names are no addresses", () => {
  const cases = [
    "",
    "10.1",
    "127.1",
    "010.0.0.1",
    "1.2.3.4.5",
    "256.0.0.1",
    "0x7f.0.0.1",
    "1.2.3.4 ",
  ];
  const sixes = [
    "fe80::1%eth0",
    "[::1]",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "g::1",
    "::1/64",
    "::1\n",
    "alice",
  ];
  for (const text of [...cases, ...sixes, "0".repeat(5000)])
    assert.throws(() => parseAddress(text), refused, text.slice(0, 40));
});

test("any 4 or 16 octets survive text and parsing; any string is an address or refused", () => {
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc
      .array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 })
      .map((a) => Uint8Array.from(a)),
  );
  const isMapped = (o: Uint8Array) =>
    Buffer.from(o).toString("hex").startsWith("00000000000000000000ffff");
  fc.assert(
    fc.property(
      octets.filter((o) => !isMapped(o)),
      (o) => {
        const address = decodeAddress(o);
        assert.equal(isIP(address.text), address.family);
        assert.deepEqual(parseAddress(address.text), address);
      },
    ),
  );
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), (text) => {
      try {
        assert.notEqual(isIP(parseAddress(text).text), 0);
      } catch (error) {
        if (!refused(error)) throw error;
      }
    }),
  );
  assert.throws(() => decodeAddress(new Uint8Array(5)), RangeError);
});

test("no media to or from unspecified, loopback, link-local, multicast, broadcast or disguised addresses", () => {
  const forbidden = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.1.1",
    "224.0.0.1",
    "239.1.1.1",
  ];
  const more = [
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "febf::1",
  ];
  const sixes = ["fec0::1", "ff02::1", "64:ff9b::7f00:1"];
  for (const text of [...forbidden, ...more, ...sixes])
    assert.equal(isForbiddenMediaAddress(parseAddress(text)), true, text);
  for (const text of [
    "10.10.0.2",
    "192.0.2.1",
    "169.253.1.1",
    "223.1.1.1",
    "2001:db8::1",
    "fd00::1",
    "fe00::1",
  ])
    assert.equal(isForbiddenMediaAddress(parseAddress(text)), false, text);
});

test("media ports begin at 1024", () => {
  assert.deepEqual(
    [MIN_MEDIA_PORT, 65_535, MIN_MEDIA_PORT - 1, 0, -1, 65_536, 5000.5, Number.NaN].map(
      isMediaPort,
    ),
    [true, true, false, false, false, false, false, false],
  );
});

test("a prefix contains what shares its bits, never the other family", () => {
  const cases = [
    ["10.10.0.0/24", "10.10.0.255", true],
    ["10.10.0.0/24", "10.10.1.0", false],
    ["10.10.0.0/23", "10.10.1.0", true],
    ["10.10.0.2/32", "10.10.0.2", true],
    ["10.10.0.2/32", "10.10.0.3", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::/0", "10.0.0.1", false],
  ] as const;
  for (const [prefix, address, expected] of cases)
    assert.equal(prefixContains(parsePrefix(prefix), parseAddress(address)), expected, prefix);
  assert.equal(parsePrefix("2001:DB8::/32").text, "2001:db8::/32");
});

test("a prefix without length, with a wrong one or with bits beyond it is refused", () => {
  for (const text of [
    "10.10.0.0",
    "10.10.0.0/",
    "10.10.0.0/33",
    "10.10.0.1/24",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "::1/64",
    "::/129",
    "x/8",
  ])
    assert.throws(() => parsePrefix(text), refused, text);
});
