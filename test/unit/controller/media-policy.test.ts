import assert from "node:assert/strict";
import { test } from "node:test";
import { type Agreement, agreementOf, type Offer } from "../../../controller/core/agreement.ts";
import {
  type AnsweredStream,
  type Granted,
  grantAnswer,
  grantOffer,
  MAX_STREAMS,
  type MediaPolicy,
  type OfferedMedia,
} from "../../../controller/core/media-policy.ts";
import type { Party } from "../../../controller/core/party.ts";
import { namePinholes, openingsOfOffer } from "../../../controller/core/pinholes.ts";
import { type DraftStream, streamsOfOffer } from "../../../controller/core/recording-order.ts";
import type { MediaVerdict } from "../../../controller/core/verdict.ts";
import { MAX_ORDER_PAYLOADS } from "../../../protocol/ingest/order.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";

const POLICY: MediaPolicy = {
  protectedPrefixes: [parsePrefix("10.10.0.0/24"), parsePrefix("2001:db8:a::/64")],
  ports: [16_384, 65_535],
  gatewayAddresses: ["10.10.0.1", "10.20.0.1"],
};
const OWN: Party = { addresses: ["10.10.0.2", "2001:db8:a::2"], requireSealed: false };
const FAR: Party = { addresses: [], requireSealed: false };
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

const offerOf = (sketch: Sketch, policy = POLICY) =>
  grantOffer(sdp({ media: OFFER, ...sketch }), { party: OWN, policy });
const verdictOf = (granted: Granted<unknown>): MediaVerdict | "granted" =>
  granted.kind === "refused" ? granted.verdict : granted.kind;

function grantedOf<T>(granted: Granted<T>): T {
  if (granted.kind !== "granted") throw new assert.AssertionError({ message: granted.verdict });
  return granted.value;
}

function answered(
  offer: Sketch,
  answer: Sketch,
  policy = POLICY,
): Granted<readonly AnsweredStream[]> {
  const description = sdp({ address: "10.20.0.2", media: ANSWER, ...answer });
  return grantAnswer(grantedOf(offerOf(offer, policy)), description, { party: FAR, policy });
}

function agreed(offer: Sketch, answer: Sketch, policy = POLICY): Agreement {
  const media = grantedOf(offerOf(offer, policy));
  const made: Offer = { by: "caller", sealed: false, media, secrets: [] };
  return agreementOf(made, grantedOf(answered(offer, answer, policy)), []);
}

/** The holes that an offer asks for, each as one line. */
const openingsOf = ({ streams }: OfferedMedia) =>
  namePinholes(
    openingsOfOffer(
      "caller",
      streams.map(({ index, offer, offerer }) => ({ index, media: offer.media, end: offerer })),
      [],
    ),
    new Map(),
  ).pinholes;

const draftsOf = (sketch: Sketch, policy = POLICY): readonly DraftStream[] =>
  streamsOfOffer("caller", grantedOf(offerOf(sketch, policy)).streams);

const OFFERS: readonly [name: string, sketch: Sketch, verdict: MediaVerdict | "granted"][] = [
  ["the caller's own address and port", {}, "granted"],
  ["his IPv6 address", { address: "2001:db8:a::2" }, "granted"],
  ["his IPv4 address in IPv6 clothes", { address: "::ffff:10.10.0.2" }, "granted"],
  ["a neighbour's address", { address: "10.10.0.3" }, "media-address"],
  ["an address beyond the gateway", { address: "10.20.0.2" }, "media-address"],
  ["loopback", { address: "127.0.0.1" }, "media-address"],
  ["multicast", { address: "224.2.1.1/127" }, "media-address"],
  ["the unspecified address, on hold", { address: "0.0.0.0" }, "granted"],
  ["the unspecified IPv6 address, on hold", { address: "::" }, "granted"],
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
  ["video", { media: ["m=video 20000 RTP/SAVP 96", `a=${crypto()}`] }, "granted"],
  ["text over RTP", { media: ["m=text 20000 RTP/AVP 98", "a=rtpmap:98 t140/1000"] }, "granted"],
  ["fax over UDPTL", { media: ["m=image 20000 udptl t38"] }, "granted"],
  [
    "fax to a neighbour",
    { address: "10.10.0.3", media: ["m=image 20000 udptl t38"] },
    "media-address",
  ],
  ["media that is no RTP", { media: ["m=message 7394 TCP/MSRP *"] }, "granted"],
  ["no stream at all", { media: [] }, "granted"],
  ["only a stream that is off", { media: audio(0, crypto()) }, "granted"],
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
  const [stream] = draftsOf({ media });
  assert.deepEqual(
    stream?.payloads.map(({ type }) => type),
    types.slice(0, MAX_ORDER_PAYLOADS),
  );
});

test("the gateway's own address is refused even to who signals from it", () => {
  const party = { addresses: ["10.10.0.1"], requireSealed: false };
  const description = sdp({ address: "10.10.0.1", media: OFFER });
  const granted = grantOffer(description, { party, policy: POLICY });
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
  assert.deepEqual(
    openingsOf(grantedOf(offerOf({}))).map(({ id, from, to }) => ({ id, from, to })),
    [
      { id: "caller.0.rtp", from: {}, to: { address: "10.10.0.2", port: 20_000 } },
      { id: "caller.0.rtcp", from: {}, to: { address: "10.10.0.2", port: 20_001 } },
    ],
  );
  assert.deepEqual(
    namePinholes(agreed({}, {}).openings, new Map()).pinholes.map(
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
  assert.equal(openingsOf(grantedOf(offerOf(offer))).length, 2);
  const both = agreed(offer, { media: audio(30_000, "rtcp-mux", crypto(KEY_B)) });
  assert.deepEqual(
    both.openings.map(({ toward, component }) => `${toward} ${component}`),
    ["caller rtp", "callee rtp"],
  );
  assert.ok(both.drafts.every(({ rtcpPort }) => rtcpPort === undefined));
  assert.equal(agreed(offer, {}).openings.length, 4);
  const only = { media: audio(20_000, "rtcp-mux", "rtcp-mux-only", crypto()) };
  assert.equal(openingsOf(grantedOf(offerOf(only))).length, 1);
});

test("a rejected stream has no hole left and is not recorded", () => {
  const rejected = agreed({}, { media: audio(0) });
  assert.deepEqual(rejected.openings, []);
  assert.deepEqual(rejected.drafts, []);
});

test("the offer's order waits for the callee's key", () => {
  assert.deepEqual(draftsOf({}), [
    {
      label: "callee",
      media: "audio",
      destination: { address: "10.10.0.2", port: 20_000 },
      rtcpPort: 20_001,
      payloads: [{ type: 0, codec: "PCMU", clockHz: 8000, channels: 1 }],
      protection: { kind: "pending" },
    },
  ]);
  const [plain] = draftsOf({ media: ["m=audio 20000 RTP/AVP 0"] });
  assert.deepEqual(plain?.protection, { kind: "rtp" });
  const [opportunistic] = draftsOf(PLAIN_OFFER);
  assert.deepEqual(opportunistic?.protection, { kind: "pending" });
});

test("each direction is recorded under the key of who sends, the offer's chosen by the answer's tag", () => {
  const offer = {
    media: audio(20_000, crypto(KEY_A, 1, "AES_CM_128_HMAC_SHA1_32"), crypto(KEY_A, 2)),
  };
  const order = agreed(offer, { media: audio(30_000, crypto(KEY_B, 2)) }).drafts;
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
  const [toCaller, toCallee] = agreed(offer, answer).drafts;
  assert.deepEqual(toCaller?.payloads, [
    { type: 0, codec: "PCMU", clockHz: 8000, channels: 1 },
    { type: 96, codec: "opus", clockHz: 48_000, channels: 2 },
  ]);
  assert.deepEqual(
    toCallee?.payloads.map(({ type }) => type),
    [98],
  );
});

test("a codec that no order can name is left out, and stops no call", () => {
  const maps = ["a=rtpmap:96 x-odd!codec/8000", "a=rtpmap:97 L16/44100/9", "a=rtpmap:98 ok/8000"];
  const [stream] = draftsOf({ media: ["m=audio 20000 RTP/AVP 96 97 98", ...maps] });
  assert.deepEqual(
    stream?.payloads.map(({ codec }) => codec),
    ["ok"],
  );
});

test("fax has one hole a side and is kept as captured", () => {
  const media = (port: number) => ({ media: [`m=image ${port} udptl t38`] });
  const fax = agreed(media(20_000), media(30_000));
  assert.deepEqual(
    fax.openings.map(({ to }) => `${to.address}:${to.port}`),
    ["10.10.0.2:20000", "10.20.0.2:30000"],
  );
  assert.ok(fax.drafts.every(({ protection }) => protection.kind === "pending"));
});

test("other media passes without a hole, whatever is answered, or is refused by policy", () => {
  const chat = { media: [...OFFER, "m=message 7394 TCP/MSRP *"] };
  const answer = { media: [...ANSWER, "m=message 7394 TCP/MSRP *"] };
  assert.equal(agreed(chat, answer).openings.length, 4);
  assert.equal(verdictOf(offerOf(chat, { ...POLICY, otherMedia: "refuse" })), "media-type");
});

test("keys that are not ours to know are refused, or let through by policy and kept as captured", () => {
  const dtls = (port: number) => ({
    media: [`m=audio ${port} UDP/TLS/RTP/SAVP 0`, "a=fingerprint:sha-256 AA"],
  });
  const gcm = (port: number, key: string) => ({
    media: audio(port, `crypto:1 AEAD_AES_128_GCM inline:${key.repeat(38)}==`),
  });
  const lax: MediaPolicy = { ...POLICY, undecryptable: "pass" };
  assert.equal(verdictOf(offerOf(dtls(20_000))), "media-protocol");
  for (const [offer, answer] of [
    [dtls(20_000), dtls(30_000)],
    [gcm(20_000, "A"), gcm(30_000, "B")],
  ] as const) {
    assert.deepEqual(draftsOf(offer, lax)[0]?.protection, { kind: "pending" });
    const { openings, drafts } = agreed(offer, answer, lax);
    assert.equal(openings.length, 4);
    assert.ok(drafts.every(({ protection }) => protection.kind === "pending"));
  }
  const opportunistic = ["m=audio 20000 RTP/AVP 0", "a=fingerprint:sha-256 AA"];
  const declined = { media: ["m=audio 30000 RTP/AVP 0"] };
  const { drafts } = agreed({ media: opportunistic }, declined, lax);
  assert.ok(drafts.every(({ protection }) => protection.kind === "rtp"));
});

test("the lines of a bundle may share one port (RFC 9143 §7)", () => {
  const bundle = (port: number, key: string): Sketch => ({
    media: [
      "a=group:BUNDLE 1 2",
      ...audio(port, "mid:1", crypto(key)),
      `m=video ${port} RTP/SAVP 96`,
      "a=mid:2",
      `a=${crypto(key)}`,
    ],
  });
  const { openings } = agreed(bundle(20_000, KEY_A), bundle(30_000, KEY_B));
  assert.equal(openings.length, 8);
});

const PARTIES: readonly [
  name: string,
  addresses: readonly string[],
  address: string,
  verdict: MediaVerdict | "granted",
][] = [
  ["someone outside, outside", [], "10.20.0.2", "granted"],
  ["someone outside, inside", [], "10.10.0.2", "media-address"],
  ["a user inside, at his own place", ["10.10.0.2"], "10.10.0.2", "granted"],
  ["a user inside, outside", ["10.10.0.2"], "10.20.0.2", "media-address"],
  [
    "a user with a phone on either side, outside",
    ["10.10.0.2", "10.20.0.9"],
    "10.20.0.2",
    "granted",
  ],
  ["the same, at a neighbour's", ["10.10.0.2", "10.20.0.9"], "10.10.0.3", "media-address"],
  ["a user who is away, behind a NAT", ["10.20.0.9"], "192.168.1.2", "granted"],
];

for (const [name, addresses, address, verdict] of PARTIES)
  test(`media of ${name}: ${verdict}`, () => {
    const party = { addresses, requireSealed: false };
    const granted = grantOffer(sdp({ address, media: OFFER }), { party, policy: POLICY });
    assert.equal(verdictOf(granted), verdict);
  });

test("a stream on hold stays where it was, if that is known", () => {
  const held = sdp({ address: "0.0.0.0", media: OFFER });
  const end = { address: "10.10.0.2", rtpPort: 20_000, rtcpPort: 20_001, inside: true };
  const before = (index: number) => (index === 0 ? end : undefined);
  const known = grantedOf(grantOffer(held, { party: OWN, policy: POLICY, before }));
  assert.deepEqual(known.streams[0]?.offerer, end);
  const unknown = grantedOf(grantOffer(held, { party: OWN, policy: POLICY }));
  assert.equal(unknown.streams[0]?.offerer, undefined);
});

test("an offer from outside opens to it from where the answerer may be inside", () => {
  const party = FAR;
  const { streams } = grantedOf(
    grantOffer(sdp({ address: "10.20.0.2", media: OFFER }), { party, policy: POLICY }),
  );
  const ends = streams.map(({ index, offerer }) => ({ index, media: "audio", end: offerer }));
  const openings = openingsOfOffer("caller", ends, ["10.10.0.2", "2001:db8:a::2"]);
  assert.deepEqual(
    openings.map(({ from, to }) => `${from}>${to.address}:${to.port}`),
    ["10.10.0.2>10.20.0.2:20000", "10.10.0.2>10.20.0.2:20001"],
  );
});

test("ends of two families, or both outside, need no hole", () => {
  assert.deepEqual(agreed({ address: "2001:db8:a::2" }, {}).openings, []);
});
