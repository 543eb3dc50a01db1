/** Every example of RFC 4568, from its file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { SRTP_SUITES, type SrtpSuite } from "../../../protocol/rtp/srtp-suite.ts";
import {
  parseCryptoAttribute,
  serializeCryptoAttribute,
} from "../../../protocol/sdp/crypto-attribute.ts";
import { mediaTransports } from "../../../protocol/sdp/media-transport.ts";
import { negotiateProtection, pairMedia } from "../../../protocol/sdp/offer-answer.ts";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";

interface Examples {
  source: string;
  lines: {
    section: string;
    value: string;
    tag?: number;
    suite?: SrtpSuite;
    masterKey?: string;
    masterSalt?: string;
    lifetimePackets?: number;
    mki?: string;
    refused?: string;
  }[];
  descriptions: { section: string; lines: string[]; suites: SrtpSuite[][] }[];
}

const examples: Examples = JSON.parse(
  readFileSync(new URL("../../vectors/rfc4568.json", import.meta.url), "utf8"),
);
const octets = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join("\r\n")}\r\n`);

for (const [at, { section, value, refused, ...expected }] of examples.lines.entries())
  test(`RFC 4568 §${section}: example line ${at}`, () => {
    if (refused !== undefined) {
      const hasCode = (error: unknown) => isProtocolError(error) && error.code === refused;
      assert.throws(() => parseCryptoAttribute(value), hasCode);
      return;
    }
    const crypto = parseCryptoAttribute(value);
    const { keyBytes } = SRTP_SUITES[crypto.suite];
    assert.deepEqual(
      {
        tag: crypto.tag,
        suite: crypto.suite,
        masterKey: crypto.masterKeySalt.expose().toString("hex", 0, keyBytes),
        masterSalt: crypto.masterKeySalt.expose().toString("hex", keyBytes),
        ...(crypto.lifetimePackets !== undefined && { lifetimePackets: crypto.lifetimePackets }),
        ...(crypto.mki !== undefined && { mki: crypto.mki.toString("hex") }),
      },
      expected,
    );
    assert.equal(serializeCryptoAttribute(crypto), value.replace(" FEC_ORDER=FEC_SRTP", ""));
  });

for (const { section, lines, suites } of examples.descriptions)
  test(`RFC 4568 §${section}: example description`, () => {
    const { media } = parseSdp(octets(lines));
    assert.deepEqual(
      media.map(({ crypto }) => crypto.map(({ suite }) => suite)),
      suites,
    );
  });

test("RFC 4568 §6: offer and answer agree on tag 1, with a key for each direction", () => {
  const [offer, answer] = examples.descriptions
    .slice(1)
    .map(({ lines }) => parseSdp(octets(lines)));
  assert.ok(offer !== undefined && answer !== undefined);
  const [pair] = pairMedia(offer, answer);
  assert.ok(pair !== undefined);
  const agreed = negotiateProtection(pair);
  assert.ok(agreed.kind === "srtp");
  assert.deepEqual([agreed.offer, agreed.answer], [pair.offer.crypto[0], pair.answer.crypto[0]]);
  assert.deepEqual(mediaTransports(answer, offer), [
    {
      kind: "active",
      rtp: { address: "168.2.17.11", port: 32640 },
      rtcp: { address: "168.2.17.11", port: 32641 },
    },
  ]);
});
