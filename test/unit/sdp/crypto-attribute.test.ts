import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import {
  isSupportedSuite,
  masterKeySaltBytes,
  SRTP_SUITES,
  type SrtpSuite,
} from "../../../protocol/rtp/srtp-suite.ts";
import {
  type CryptoAttribute,
  MKI_BYTES_MAX,
  parseCryptoAttribute,
  serializeCryptoAttribute,
  WINDOW_SIZE_HINT_MIN,
} from "../../../protocol/sdp/crypto-attribute.ts";
import { Secret } from "../../../protocol/secret.ts";

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuite[];
const KEY = Buffer.alloc(30, 0x5a).toString("base64");
const CM = "AES_CM_128_HMAC_SHA1_80";
const withKey = (rest: string): string => `1 ${CM} inline:${KEY}${rest}`;

const SIZES: readonly [SrtpSuite, number, number, number][] = [
  ["AES_CM_128_HMAC_SHA1_80", 30, 10, 10],
  ["AES_CM_128_HMAC_SHA1_32", 30, 4, 10],
  ["F8_128_HMAC_SHA1_80", 30, 10, 10],
  ["AES_192_CM_HMAC_SHA1_80", 38, 10, 10],
  ["AES_192_CM_HMAC_SHA1_32", 38, 4, 10],
  ["AES_256_CM_HMAC_SHA1_80", 46, 10, 10],
  ["AES_256_CM_HMAC_SHA1_32", 46, 4, 10],
  ["AEAD_AES_128_GCM", 28, 16, 16],
  ["AEAD_AES_256_GCM", 44, 16, 16],
];

test("each suite has its sizes, and the AES-CM ones are supported", () => {
  assert.equal(SIZES.length, SUITES.length);
  for (const [suite, keySaltBytes, srtpTagBytes, srtcpTagBytes] of SIZES) {
    assert.equal(masterKeySaltBytes(suite), keySaltBytes, suite);
    assert.equal(SRTP_SUITES[suite].srtpTagBytes, srtpTagBytes, suite);
    assert.equal(SRTP_SUITES[suite].srtcpTagBytes, srtcpTagBytes, suite);
    assert.equal(isSupportedSuite(suite), suite.includes("CM_"), suite);
  }
});

const refused: readonly [string, string, ProtocolErrorCode][] = [
  ["nothing", "", "ERR_SDES_SYNTAX"],
  ["no key", `1 ${CM}`, "ERR_SDES_SYNTAX"],
  ["a tag of letters", `x ${CM} inline:${KEY}`, "ERR_SDES_SYNTAX"],
  ["a tag of ten digits", `1234567890 ${CM} inline:${KEY}`, "ERR_SDES_SYNTAX"],
  ["another key method", `1 ${CM} uri:${KEY}`, "ERR_SDES_SYNTAX"],
  ["a trailing bar", withKey("|"), "ERR_SDES_SYNTAX"],
  ["lifetime 0", withKey("|0"), "ERR_SDES_SYNTAX"],
  ["an unknown suite", `1 AES_CM_512_HMAC_SHA1_80 inline:${KEY}`, "ERR_SDES_SUITE"],
  ["a suite in small letters", `1 ${CM.toLowerCase()} inline:${KEY}`, "ERR_SDES_SUITE"],
  ["a name every object has", `1 constructor inline:${KEY}`, "ERR_SDES_SUITE"],
  ["a key one octet short", `1 ${CM} inline:${KEY.slice(0, 38)}`, "ERR_SDES_KEY"],
  ["a key one octet long", `1 ${CM} inline:${KEY}AA==`, "ERR_SDES_KEY"],
  ["a key for another suite", `1 AEAD_AES_128_GCM inline:${KEY}`, "ERR_SDES_KEY"],
  ["base64 with loose bits", `1 AEAD_AES_128_GCM inline:${"A".repeat(37)}B==`, "ERR_SDES_KEY"],
  ["two keys", withKey(`|2^20|1:1;inline:${KEY}|2^20|2:1`), "ERR_SDES_PARAM"],
  ["lifetime beyond the suite's", withKey("|2^32"), "ERR_SDES_PARAM"],
  ["lifetime one beyond the suite's", withKey("|2147483649"), "ERR_SDES_PARAM"],
  ["an MKI of no octets", withKey("|1:0"), "ERR_SDES_PARAM"],
  ["an MKI beyond its octets", withKey("|256:1"), "ERR_SDES_PARAM"],
  ["an MKI length beyond 128", withKey(`|1:${MKI_BYTES_MAX + 1}`), "ERR_SDES_PARAM"],
  ["KDR", withKey(" KDR=10"), "ERR_SDES_PARAM"],
  ["UNENCRYPTED_SRTP", withKey(" UNENCRYPTED_SRTP"), "ERR_SDES_PARAM"],
  ["UNENCRYPTED_SRTCP", withKey(" UNENCRYPTED_SRTCP"), "ERR_SDES_PARAM"],
  ["UNAUTHENTICATED_SRTP", withKey(" UNAUTHENTICATED_SRTP"), "ERR_SDES_PARAM"],
  ["another FEC order", withKey(" FEC_ORDER=SRTP_FEC"), "ERR_SDES_PARAM"],
  ["FEC_KEY", withKey(` FEC_KEY=inline:${KEY}`), "ERR_SDES_PARAM"],
  ["an unknown parameter", withKey(" SOMETHING"), "ERR_SDES_PARAM"],
  ["a window too small", withKey(` WSH=${WINDOW_SIZE_HINT_MIN - 1}`), "ERR_SDES_PARAM"],
];

for (const [what, value, code] of refused)
  test(`refused with ${code}: ${what}`, () => {
    assert.throws(
      () => parseCryptoAttribute(value),
      (error) => isProtocolError(error, code),
    );
  });

test("the refusal of a session parameter names it, and never the key", () => {
  for (const [, value] of refused)
    assert.throws(
      () => parseCryptoAttribute(value),
      (error) => error instanceof Error && !error.message.includes(KEY.slice(0, 8)),
    );
  assert.throws(() => parseCryptoAttribute(withKey(" KDR=10")), /KDR/);
});

test("taken: no padding, lifetimes up to the limit, ignorable and default parameters", () => {
  const padded = Buffer.alloc(28, 7).toString("base64");
  const bare = parseCryptoAttribute(`7 AEAD_AES_128_GCM inline:${padded.replace(/=+$/, "")}`);
  assert.deepEqual(bare.masterKeySalt.expose(), Buffer.alloc(28, 7));
  assert.equal(parseCryptoAttribute(withKey("|2^31")).lifetimePackets, 2 ** 31);
  assert.equal(parseCryptoAttribute(withKey("|1000")).lifetimePackets, 1000);
  assert.equal(parseCryptoAttribute(withKey("")).lifetimePackets, undefined);
  const aead = parseCryptoAttribute(`7 AEAD_AES_128_GCM inline:${padded}|2^48`);
  assert.equal(aead.lifetimePackets, 2 ** 48);
  const full = parseCryptoAttribute(withKey("  -later=1\tFEC_ORDER=FEC_SRTP WSH=64"));
  assert.equal(full.windowSizeHint, 64);
});

test("a printed attribute shows no key", () => {
  const crypto = parseCryptoAttribute(withKey(""));
  for (const text of [inspect(crypto, { depth: 9 }), JSON.stringify(crypto)]) {
    assert.ok(!text.includes(KEY.slice(0, 8)));
    assert.ok(!text.includes("90,90") && !text.includes("5a5a") && !text.includes("5a 5a"));
  }
});

const attribute: fc.Arbitrary<CryptoAttribute> = fc
  .record({ suite: fc.constantFrom(...SUITES), tag: fc.nat(999_999_999) })
  .chain(({ suite, tag }) =>
    fc.record(
      {
        tag: fc.constant(tag),
        suite: fc.constant(suite),
        masterKeySalt: fc
          .uint8Array({
            minLength: masterKeySaltBytes(suite),
            maxLength: masterKeySaltBytes(suite),
          })
          .map((octets) => new Secret(octets)),
        lifetimePackets: fc.integer({ min: 1, max: 2 ** 31 }),
        mki: fc.uint8Array({ minLength: 1, maxLength: MKI_BYTES_MAX }).map((o) => Buffer.from(o)),
        windowSizeHint: fc.integer({ min: 64, max: 999_999 }),
      },
      { requiredKeys: ["tag", "suite", "masterKeySalt"] },
    ),
  );

test("what is serialized parses to the same", () => {
  fc.assert(
    fc.property(attribute, (crypto) => {
      const { masterKeySalt, ...rest } = parseCryptoAttribute(serializeCryptoAttribute(crypto));
      const { masterKeySalt: original, ...expected } = crypto;
      assert.deepEqual(rest, expected);
      assert.deepEqual(masterKeySalt.expose(), original.expose());
    }),
  );
});

test("the parser is total: an attribute or a ProtocolError", () => {
  const near = fc
    .tuple(attribute, fc.nat(200), fc.string({ maxLength: 3 }))
    .map(([crypto, at, noise]) => {
      const text = serializeCryptoAttribute(crypto);
      return text.slice(0, at) + noise + text.slice(at + noise.length);
    });
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), near), (value) => {
      try {
        return parseCryptoAttribute(value).tag >= 0;
      } catch (error) {
        return isProtocolError(error);
      }
    }),
    { numRuns: 500 },
  );
});
