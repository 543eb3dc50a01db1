import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AnsweredStream,
  type Granted,
  grantAnswer,
  grantOffer,
  MAX_STREAMS,
  type MediaPolicy,
  type OfferedStream,
} from "../../../controller/core/media-policy.ts";
import { pinholesOfAnswer, pinholesOfOffer } from "../../../controller/core/pinholes.ts";
import { streamsOfAnswer, streamsOfOffer } from "../../../controller/core/recording-order.ts";
import type { MediaVerdict } from "../../../controller/core/verdict.ts";
import { MAX_ORDER_PAYLOADS } from "../../../protocol/ingest/order.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";

const POLICY: MediaPolicy = {
  protectedPrefixes: [parsePrefix("10.10.0.0/24"), parsePrefix("2001:db8:a::/64")],
  ports: [16_384, 65_535],
  gatewayAddresses: ["10.10.0.1", "10.20.0.1"],
};
const OWN = ["10.10.0.2", "2001:db8:a::2"];
const KEY_A = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
const KEY_B = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC";
const SUITE = "AES_CM_128_HMAC_SHA1_80";

interface Sketch {
  readonly address?: string;
  readonly media?: readonly string[];
}

const sdp = ({ address = "10.10.0.2", media = [] }: Sketch) =>
  parseSdp(
    Buffer.from(
      [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        `c=IN IP${address.includes(":") ? 6 : 4} ${address}`,
        "t=0 0",
        ...media,
        "",
      ].join("\r\n"),
    ),
  );

const audio = (port: number, ...attributes: string[]) => [
  `m=audio ${port} RTP/SAVP 0`,
  ...attributes.map((attribute) => `a=${attribute}`),
];
const crypto = (key = KEY_A, tag = 1, suite = SUITE) => `crypto:${tag} ${suite} inline:${key}`;
const OFFER = audio(20_000, crypto());
const ANSWER = audio(30_000, crypto(KEY_B));

const offerOf = (sketch: Sketch) => grantOffer(sdp({ media: OFFER, ...sketch }), OWN, POLICY);
const verdictOf = (granted: Granted<unknown>): MediaVerdict | "granted" =>
  granted.kind === "refused" ? granted.verdict : granted.kind;

function streams<Stream>(granted: Granted<Stream>): readonly Stream[] {
  if (granted.kind !== "granted") throw new assert.AssertionError({ message: granted.verdict });
  return granted.streams;
}

function answered(offer: Sketch, answer: Sketch): Granted<AnsweredStream> {
  const offered = streams<OfferedStream>(offerOf(offer));
  const description = sdp({ address: "10.20.0.2", media: ANSWER, ...answer });
  return grantAnswer(
    offered,
    offer.media?.filter((row) => row.startsWith("m=")).length ?? 1,
    description,
    POLICY,
  );
}

const OFFERS: readonly [name: string, sketch: Sketch, verdict: MediaVerdict | "granted"][] = [
  ["the caller's own address and port", {}, "granted"],
  ["his IPv6 address", { address: "2001:db8:a::2" }, "granted"],
  ["his IPv4 address in IPv6 clothes", { address: "::ffff:10.10.0.2" }, "granted"],
  ["a neighbour's address", { address: "10.10.0.3" }, "media-address"],
  ["an address beyond the gateway", { address: "10.20.0.2" }, "media-address"],
  ["loopback", { address: "127.0.0.1" }, "media-address"],
  ["multicast", { address: "224.2.1.1/127" }, "media-address"],
  ["the unspecified address", { address: "0.0.0.0" }, "media-address"],
  ["port 1023", { media: audio(1023, crypto()) }, "media-port"],
  ["a port below the range", { media: audio(16_383, crypto()) }, "media-port"],
  ["the lowest port", { media: audio(16_384, crypto()) }, "granted"],
  ["an RTCP port beyond the last", { media: audio(65_535, crypto()) }, "media-port"],
  ["an RTCP port below the range", { media: audio(20_000, "rtcp:1000", crypto()) }, "media-port"],
  [
    "RTCP to a neighbour",
    { media: audio(20_000, "rtcp:20001 IN IP4 10.10.0.3", crypto()) },
    "media-address",
  ],
  [
    "a stream address that is a neighbour's",
    { media: [OFFER[0] ?? "", "c=IN IP4 10.10.0.3", OFFER[1] ?? ""] },
    "media-address",
  ],
  [
    "a candidate of a neighbour",
    { media: audio(20_000, crypto(), "candidate:1 1 UDP 1 10.10.0.3 20000 typ host") },
    "media-address",
  ],
  [
    "a candidate on a service port",
    { media: audio(20_000, crypto(), "candidate:1 1 UDP 1 10.10.0.2 53 typ host") },
    "media-port",
  ],
  [
    "a candidate that is no address",
    { media: audio(20_000, crypto(), "candidate:1 1 UDP 1 x.local 20000 typ host") },
    "media-address",
  ],
  [
    "his own candidate",
    { media: audio(20_000, crypto(), "candidate:1 1 UDP 1 10.10.0.2 20000 typ host") },
    "granted",
  ],
  ["secure media without a key", { media: audio(20_000) }, "media-crypto"],
  [
    "only a suite that cannot be decrypted",
    { media: audio(20_000, `crypto:1 AEAD_AES_128_GCM inline:${"A".repeat(38)}==`) },
    "media-crypto",
  ],
  ["only a key with an MKI", { media: audio(20_000, `${crypto()}|2^20|1:4`) }, "media-crypto"],
  [
    "only a malformed key",
    { media: audio(20_000, "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA") },
    "media-crypto",
  ],
  [
    "one usable key among others",
    { media: audio(20_000, "crypto:1 F9_1 inline:AAAA", crypto(KEY_A, 2)) },
    "granted",
  ],
  [
    "keys agreed by DTLS",
    { media: ["m=audio 20000 RTP/AVP 0", "a=fingerprint:sha-256 AA"] },
    "media-crypto",
  ],
  ["the DTLS profile", { media: ["m=audio 20000 UDP/TLS/RTP/SAVP 0"] }, "media-protocol"],
  ["plain RTP in a sealed body", { media: ["m=audio 20000 RTP/AVP 0"] }, "granted"],
  [
    "plain RTP with a malformed key",
    { media: ["m=audio 20000 RTP/AVP 0", "a=crypto:1 X inline:AAAA"] },
    "media-crypto",
  ],
  ["video", { media: ["m=video 20000 RTP/SAVP 96", `a=${crypto()}`] }, "media-type"],
  ["no stream at all", { media: [] }, "media-absent"],
  ["only a stream that is off", { media: audio(0, crypto()) }, "media-absent"],
  ["the gateway's own address", { address: "10.10.0.1" }, "media-address"],
];

for (const [name, sketch, verdict] of OFFERS)
  test(`an offer of ${name}: ${verdict}`, () => {
    assert.equal(verdictOf(offerOf(sketch)), verdict);
  });

test("no more streams than a recording order can name", () => {
  const offer = (count: number) =>
    offerOf({
      media: Array.from({ length: count }, (_, at) => audio(20_000 + 2 * at, crypto())).flat(),
    });
  assert.equal(verdictOf(offer(MAX_STREAMS)), "granted");
  assert.equal(verdictOf(offer(MAX_STREAMS + 1)), "media-count");
});

test("two streams never share a port, RTP or RTCP, on either side", () => {
  const pair = (port: number, ...more: string[]) => ({
    media: [...audio(20_000, crypto(), ...more), ...audio(port, crypto(), ...more)],
  });
  for (const port of [19_999, 20_000, 20_001])
    assert.equal(verdictOf(offerOf(pair(port))), "media-port", String(port));
  assert.equal(verdictOf(offerOf(pair(20_002))), "granted");
  const both = (port: number, ...more: string[]) => ({
    media: [...audio(30_000, crypto(KEY_B), ...more), ...audio(port, crypto(KEY_B), ...more)],
  });
  assert.equal(verdictOf(answered(pair(20_002), both(30_001))), "media-port");
  assert.equal(verdictOf(answered(pair(20_002), both(30_002))), "granted");
  const mux = answered(pair(20_002, "rtcp-mux"), both(30_001, "rtcp-mux"));
  assert.equal(verdictOf(mux), "granted");
});

test("payload types beyond what an order can name, or that mean nothing, are left out", () => {
  const types = Array.from({ length: MAX_ORDER_PAYLOADS + 8 }, (_, at) => 70 + at);
  const maps = types.map((type) => `a=rtpmap:${type} PCMU/8000`);
  const media = [`m=audio 20000 RTP/SAVP 1 ${types.join(" ")}`, ...maps, `a=${crypto()}`];
  const [stream] = streamsOfOffer(streams(offerOf({ media })));
  assert.deepEqual(
    stream?.payloads.map(({ type }) => type),
    types.slice(0, MAX_ORDER_PAYLOADS),
  );
});

test("the gateway's own address is refused even to who signals from it", () => {
  const granted = grantOffer(sdp({ address: "10.10.0.1", media: OFFER }), ["10.10.0.1"], POLICY);
  assert.equal(verdictOf(granted), "media-address");
});

const PLAIN_OFFER = { media: ["m=audio 20000 RTP/AVP 0", `a=${crypto()}`] };
const ANSWERS: readonly [
  name: string,
  offer: Sketch,
  answer: Sketch,
  verdict: MediaVerdict | "granted",
][] = [
  ["a far address", {}, {}, "granted"],
  ["an address inside the protected prefix", {}, { address: "10.10.0.9" }, "media-address"],
  ["the caller's own address", {}, { address: "10.10.0.2" }, "media-address"],
  ["the gateway's address", {}, { address: "10.20.0.1" }, "media-address"],
  ["loopback", {}, { address: "127.0.0.1" }, "media-address"],
  ["multicast", {}, { address: "239.1.1.1/1" }, "media-address"],
  ["port 1023", {}, { media: audio(1023, crypto(KEY_B)) }, "media-port"],
  ["a port outside the protected range", {}, { media: audio(1024, crypto(KEY_B)) }, "granted"],
  ["no key", {}, { media: audio(30_000) }, "media-crypto"],
  ["the offer's own key", {}, { media: audio(30_000, crypto(KEY_A)) }, "media-crypto"],
  ["a tag that was not offered", {}, { media: audio(30_000, crypto(KEY_B, 2)) }, "media-crypto"],
  [
    "another suite under the tag",
    {},
    { media: audio(30_000, crypto(KEY_B, 1, "AES_CM_128_HMAC_SHA1_32")) },
    "media-crypto",
  ],
  ["two keys", {}, { media: audio(30_000, crypto(KEY_B), crypto(KEY_B, 2)) }, "media-crypto"],
  ["another profile", {}, { media: ["m=audio 30000 RTP/AVP 0"] }, "media-mismatch"],
  [
    "another medium",
    {},
    { media: ["m=video 30000 RTP/SAVP 0", `a=${crypto(KEY_B)}`] },
    "media-mismatch",
  ],
  ["one stream too many", {}, { media: [...ANSWER, ...ANSWER] }, "media-mismatch"],
  ["no stream", {}, { media: [] }, "media-mismatch"],
  [
    "a stream that was off in the offer",
    { media: [...OFFER, ...audio(0)] },
    { media: [...ANSWER, ...audio(30_002, crypto(KEY_B))] },
    "media-mismatch",
  ],
  [
    "RTCP on the RTP port unasked",
    {},
    { media: audio(30_000, "rtcp-mux", crypto(KEY_B)) },
    "media-mismatch",
  ],
  [
    "a candidate inside",
    {},
    { media: audio(30_000, crypto(KEY_B), "candidate:1 1 UDP 1 10.10.0.2 20000 typ host") },
    "media-address",
  ],
  [
    "clear media to an opportunistic offer",
    PLAIN_OFFER,
    { media: ["m=audio 30000 RTP/AVP 0"] },
    "granted",
  ],
  [
    "a key to an opportunistic offer",
    PLAIN_OFFER,
    { media: ["m=audio 30000 RTP/AVP 0", `a=${crypto(KEY_B)}`] },
    "granted",
  ],
];

for (const [name, offer, answer, verdict] of ANSWERS)
  test(`an answer with ${name}: ${verdict}`, () => {
    assert.equal(verdictOf(answered(offer, answer)), verdict);
  });

test("an offer opens RTP and RTCP to the caller from anywhere, an answer both ways by address", () => {
  const offered = streams(offerOf({}));
  assert.deepEqual(
    pinholesOfOffer(offered).map(({ id, from, to }) => ({ id, from, to })),
    [
      { id: "caller.0.rtp", from: {}, to: { address: "10.10.0.2", port: 20_000 } },
      { id: "caller.0.rtcp", from: {}, to: { address: "10.10.0.2", port: 20_001 } },
    ],
  );
  assert.deepEqual(
    pinholesOfAnswer(streams(answered({}, {}))).map(
      ({ id, from, to }) => `${id} ${from.address} ${to.address} ${to.port}`,
    ),
    [
      "caller.0.rtp 10.20.0.2 10.10.0.2 20000",
      "caller.0.rtcp 10.20.0.2 10.10.0.2 20001",
      "callee.0.rtp 10.10.0.2 10.20.0.2 30000",
      "callee.0.rtcp 10.10.0.2 10.20.0.2 30001",
    ],
  );
});

test("RTCP on the RTP port keeps its own hole until both have agreed to it", () => {
  const offer = { media: audio(20_000, "rtcp-mux", crypto()) };
  assert.equal(pinholesOfOffer(streams(offerOf(offer))).length, 2);
  const both = answered(offer, { media: audio(30_000, "rtcp-mux", crypto(KEY_B)) });
  assert.deepEqual(
    pinholesOfAnswer(streams(both)).map(({ id }) => id),
    ["caller.0.rtp", "callee.0.rtp"],
  );
  assert.ok(streamsOfAnswer(streams(both)).every(({ rtcpPort }) => rtcpPort === undefined));
  assert.equal(pinholesOfAnswer(streams(answered(offer, {}))).length, 4);
});

test("a rejected stream has no hole left and is not recorded", () => {
  const rejected = streams(answered({}, { media: audio(0) }));
  assert.deepEqual(pinholesOfAnswer(rejected), []);
  assert.deepEqual(streamsOfAnswer(rejected), []);
});

test("the offer's order waits for the callee's key", () => {
  assert.deepEqual(streamsOfOffer(streams(offerOf({}))), [
    {
      label: "callee",
      media: "audio",
      destination: { address: "10.10.0.2", port: 20_000 },
      rtcpPort: 20_001,
      payloads: [{ type: 0, codec: "PCMU", clockHz: 8000, channels: 1 }],
      protection: { kind: "pending" },
    },
  ]);
  const plain = streamsOfOffer(streams(offerOf({ media: ["m=audio 20000 RTP/AVP 0"] })));
  assert.deepEqual(plain[0]?.protection, { kind: "rtp" });
  const opportunistic = streamsOfOffer(streams(offerOf(PLAIN_OFFER)));
  assert.deepEqual(opportunistic[0]?.protection, { kind: "pending" });
});

test("each direction is recorded under the key of who sends, the offer's chosen by the answer's tag", () => {
  const offer = {
    media: audio(20_000, crypto(KEY_A, 1, "AES_CM_128_HMAC_SHA1_32"), crypto(KEY_A, 2)),
  };
  const order = streamsOfAnswer(
    streams(answered(offer, { media: audio(30_000, crypto(KEY_B, 2)) })),
  );
  const keys = order.map(({ label, source, destination, protection }) => [
    label,
    source?.address,
    destination.address,
    protection.kind === "srtp" && protection.crypto.suite,
    protection.kind === "srtp" && protection.crypto.masterKeySalt.expose().toString("base64"),
  ]);
  assert.deepEqual(keys, [
    ["callee", "10.20.0.2", "10.10.0.2", SUITE, KEY_B],
    ["caller", "10.10.0.2", "10.20.0.2", SUITE, KEY_A],
  ]);
});

test("payload types mean what their receiver's description says", () => {
  const offer = {
    media: ["m=audio 20000 RTP/SAVP 0 96 97", "a=rtpmap:96 opus/48000/2", `a=${crypto()}`],
  };
  const answer = {
    media: ["m=audio 30000 RTP/SAVP 98", "a=rtpmap:98 opus/48000/2", `a=${crypto(KEY_B)}`],
  };
  const [toCaller, toCallee] = streamsOfAnswer(streams(answered(offer, answer)));
  assert.deepEqual(toCaller?.payloads, [
    { type: 0, codec: "PCMU", clockHz: 8000, channels: 1 },
    { type: 96, codec: "opus", clockHz: 48_000, channels: 2 },
  ]);
  assert.deepEqual(
    toCallee?.payloads.map(({ type }) => type),
    [98],
  );
});
