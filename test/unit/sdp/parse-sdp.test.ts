import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import {
  SDP_LINE_CHARACTERS_MAX,
  SDP_LINES_MAX,
  SDP_MEDIA_MAX,
  SDP_OCTETS_MAX,
} from "../../../protocol/sdp/parse-lines.ts";
import { CRYPTO_LINES_MAX } from "../../../protocol/sdp/parse-media.ts";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";
import { serializeSdp } from "../../../protocol/sdp/serialize-sdp.ts";

const KEY = Buffer.alloc(30, 0x5a).toString("base64");
const CRYPTO = `crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`;
const HEAD = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"];
const AUDIO = "m=audio 49170 RTP/SAVP 0";

const octets = (...lines: string[]): Buffer => Buffer.from(lines.map((l) => `${l}\r\n`).join(""));
const call = (...media: string[]): Buffer => octets(...HEAD, AUDIO, ...media);

const FULL = octets(
  "v=0",
  "o=alice 2890844526 99999999999999999999 IN IP6 2001:db8::1",
  "s=A call",
  "i=About it",
  "u=https://example.com/",
  "e=a@example.com",
  "p=+1 617 555 6011",
  "c=IN IP6 2001:db8::1",
  "b=AS:128",
  "t=0 0",
  "r=7d 1h 0",
  "t=5 6",
  "z=0 0",
  "a=group:BUNDLE a v",
  "a=recvonly",
  AUDIO.replace("SAVP 0", "SAVP 0 96 101"),
  "i=Voice",
  "c=IN IP4 192.0.2.7",
  "b=AS:64",
  "a=mid:a",
  "a=rtpmap:96 opus/48000/2",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-16",
  `a=${CRYPTO}`,
  "a=crypto:2 FUTURE_SUITE inline:AAAA",
  "a=rtcp:53020 IN IP4 192.0.2.8",
  "a=rtcp-mux",
  "a=sendonly",
  "m=video 0 RTP/AVP 31",
  "m=image 49172 udptl t38",
);

test("a full description: every field in its place, order kept", () => {
  const { origin, media, ...session } = parseSdp(FULL);
  assert.deepEqual(origin, {
    username: "alice",
    sessionId: "2890844526",
    sessionVersion: "99999999999999999999",
    family: "IP6",
    address: "2001:db8::1",
  });
  assert.equal(session.sessionName, "A call");
  assert.deepEqual(session.connection, { family: "IP6", address: "2001:db8::1" });
  assert.deepEqual(session.attributes, [{ name: "group", value: "BUNDLE a v" }]);
  assert.equal(session.plainLines.map(({ type }) => type).join(""), "iuepbtrtz");

  const [audio, video, image] = media;
  assert.ok(audio !== undefined && video !== undefined && image !== undefined);
  const { crypto, ...rest } = audio;
  assert.deepEqual(rest, {
    media: "audio",
    port: 49170,
    proto: "RTP/SAVP",
    formats: ["0", "96", "101"],
    payloads: [0, 96, 101],
    connection: { family: "IP4", address: "192.0.2.7" },
    rtcp: { port: 53020, connection: { family: "IP4", address: "192.0.2.8" } },
    rtcpMux: true,
    direction: "sendonly",
    rtpmap: [
      { payloadType: 96, encoding: "opus", clockHz: 48000, channels: 2 },
      { payloadType: 101, encoding: "telephone-event", clockHz: 8000, channels: 1 },
    ],
    refusedCrypto: [{ code: "ERR_SDES_SUITE", reason: "crypto suite not known" }],
    attributes: [
      { name: "mid", value: "a" },
      { name: "fmtp", value: "101 0-16" },
    ],
    plainLines: [
      { type: "i", value: "Voice" },
      { type: "b", value: "AS:64" },
    ],
  });
  assert.deepEqual(crypto[0]?.masterKeySalt.expose(), Buffer.alloc(30, 0x5a));
  assert.deepEqual([video.port, video.direction, image.payloads], [0, "recvonly", []]);
});

test("what is serialized parses to the same, refused keys and k= left out", () => {
  const parsed = parseSdp(FULL);
  const again = parseSdp(serializeSdp(parsed));
  const plain = JSON.parse(JSON.stringify(parsed));
  plain.media[0].refusedCrypto = [];
  assert.deepEqual(JSON.parse(JSON.stringify(again)), plain);
  assert.deepEqual(
    again.media[0]?.crypto[0]?.masterKeySalt.expose(),
    parsed.media[0]?.crypto[0]?.masterKeySalt.expose(),
  );
  const withKey = parseSdp(octets(...HEAD, "k=clear:hidden", AUDIO));
  assert.ok(!serializeSdp(withKey).includes("hidden"));
});

test("lines may end in LF alone", () => {
  assert.equal(parseSdp(Buffer.from(call().toString().replaceAll("\r", ""))).media.length, 1);
});

const SLOPPY: readonly [name: string, body: Buffer][] = [
  ["a last line without its end", call().subarray(0, -2)],
  ["an empty line at the end", call("")],
  ["several of them", Buffer.concat([call(), Buffer.from("\r\n\n\r\n")])],
  ["an empty session name", octets(...HEAD.with(2, "s="), AUDIO)],
  ["an attribute with an empty value", call("a=x:")],
  ["a space behind the streams line", octets(...HEAD, `${AUDIO} `)],
  ["a space behind the address", octets(...HEAD.with(3, "c=IN IP4 192.0.2.1 "), AUDIO)],
];

for (const [name, body] of SLOPPY)
  test(`what telephones get wrong and nobody can read two ways is let pass: ${name}`, () => {
    const { media, connection } = parseSdp(body);
    assert.equal(media[0]?.port, 49_170);
    assert.equal(connection?.address, "192.0.2.1");
  });

test("text with a line end in it cannot be serialized", () => {
  for (const sessionName of ["a\r\nm=audio 1 RTP/AVP 0", "a\nb", "a\rb", "a\0b"])
    assert.throws(() => serializeSdp({ ...parseSdp(call()), sessionName }), RangeError);
});

test("a session without t= is written as unbounded", () => {
  const bare = { ...parseSdp(call()), plainLines: [] };
  assert.ok(serializeSdp(bare).includes("\r\nt=0 0\r\n"));
});

const refused: readonly [string, Buffer, ProtocolErrorCode][] = [
  ["nothing", Buffer.alloc(0), "ERR_SDP_SYNTAX"],
  ["octets that are not UTF-8", Buffer.from([0x76, 0xff, 0x0a]), "ERR_SDP_SYNTAX"],
  ["an empty line", call("", "a=x"), "ERR_SDP_SYNTAX"],
  ["a space before =", call("a =x"), "ERR_SDP_SYNTAX"],
  ["CR inside a line", call("a=x\ry"), "ERR_SDP_SYNTAX"],
  ["NUL inside a line", call("a=x\0y"), "ERR_SDP_SYNTAX"],
  ["an unknown type", call("q=1"), "ERR_SDP_SYNTAX"],
  ["another version", octets("v=1", ...HEAD.slice(1)), "ERR_SDP_SYNTAX"],
  ["no version", octets(...HEAD.slice(1)), "ERR_SDP_SYNTAX"],
  ["no origin", octets("v=0", "s=-", "t=0 0"), "ERR_SDP_SYNTAX"],
  ["no session name", octets("v=0", "o=- 1 1 IN IP4 192.0.2.1", "t=0 0"), "ERR_SDP_SYNTAX"],
  ["no time", octets(...HEAD.slice(0, 4)), "ERR_SDP_SYNTAX"],
  ["lines out of order", octets("v=0", "s=-", ...HEAD.slice(1)), "ERR_SDP_SYNTAX"],
  ["a second session name", octets(...HEAD.toSpliced(3, 0, "s=again")), "ERR_SDP_SYNTAX"],
  [
    "two session addresses",
    octets(...HEAD.toSpliced(4, 0, "c=IN IP4 192.0.2.9")),
    "ERR_SDP_SYNTAX",
  ],
  ["an attribute before the address", call("a=x", "c=IN IP4 192.0.2.9"), "ERR_SDP_SYNTAX"],
  ["an origin cut short", octets(...HEAD.with(1, "o=- 1 1 IN IP4")), "ERR_SDP_SYNTAX"],
  [
    "an origin with a word for a number",
    octets(...HEAD.with(1, "o=- x 1 IN IP4 h")),
    "ERR_SDP_SYNTAX",
  ],
  ["no address anywhere", octets(...HEAD.toSpliced(3, 1), AUDIO), "ERR_SDP_SYNTAX"],
  ["a host name as address", call("c=IN IP4 host.example"), "ERR_SDP_SYNTAX"],
  ["an address of the other family", call("c=IN IP4 2001:db8::1"), "ERR_SDP_SYNTAX"],
  ["an IPv4 octet beyond 255", call("c=IN IP4 192.0.2.256"), "ERR_SDP_SYNTAX"],
  ["an IPv4 octet with a leading zero", call("c=IN IP4 192.0.2.01"), "ERR_SDP_SYNTAX"],
  ["three IPv4 octets", call("c=IN IP4 192.0.2"), "ERR_SDP_SYNTAX"],
  ["a broken IPv6 address", call("c=IN IP6 2001::db8::1"), "ERR_SDP_SYNTAX"],
  ["a scoped IPv6 address", call("c=IN IP6 fe80::1%eth0"), "ERR_SDP_SYNTAX"],
  ["another network type", call("c=ATM IP4 192.0.2.1"), "ERR_SDP_SYNTAX"],
  ["two addresses in a stream", call("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2"), "ERR_SDP_LIMIT"],
  ["a port beyond 65535", octets(...HEAD, "m=audio 65536 RTP/AVP 0"), "ERR_SDP_SYNTAX"],
  ["a negative port", octets(...HEAD, "m=audio -1 RTP/AVP 0"), "ERR_SDP_SYNTAX"],
  ["no format", octets(...HEAD, "m=audio 49170 RTP/AVP"), "ERR_SDP_SYNTAX"],
  ["a payload type beyond 127", octets(...HEAD, "m=audio 49170 RTP/AVP 128"), "ERR_SDP_SYNTAX"],
  ["a payload type of letters", octets(...HEAD, "m=audio 49170 RTP/AVP x"), "ERR_SDP_SYNTAX"],
  ["several ports", octets(...HEAD, "m=audio 49170/2 RTP/AVP 0"), "ERR_SDP_LIMIT"],
  ["an attribute without a name", call("a=:x"), "ERR_SDP_SYNTAX"],
  ["a broken rtpmap", call("a=rtpmap:0 PCMU"), "ERR_SDP_SYNTAX"],
  ["a rtpmap of rate 0", call("a=rtpmap:0 PCMU/0"), "ERR_SDP_SYNTAX"],
  ["a payload type mapped twice", call("a=rtpmap:0 A/1", "a=rtpmap:0 B/1"), "ERR_SDP_SYNTAX"],
  ["a broken rtcp", call("a=rtcp:x"), "ERR_SDP_SYNTAX"],
  ["rtcp port 0", call("a=rtcp:0"), "ERR_SDP_SYNTAX"],
  ["rtcp port beyond 65535", call("a=rtcp:65536"), "ERR_SDP_SYNTAX"],
  ["rtcp at a host name", call("a=rtcp:5000 IN IP4 host.example"), "ERR_SDP_SYNTAX"],
  ["two rtcp", call("a=rtcp:5000", "a=rtcp:5002"), "ERR_SDP_SYNTAX"],
  ["two directions", call("a=sendonly", "a=recvonly"), "ERR_SDP_SYNTAX"],
  ["the same direction twice", call("a=sendonly", "a=sendonly"), "ERR_SDP_SYNTAX"],
  ["a key for the whole session", octets(...HEAD, `a=${CRYPTO}`, AUDIO), "ERR_SDP_SYNTAX"],
  ["two keys under one tag", call(`a=${CRYPTO}`, `a=${CRYPTO}`), "ERR_SDES_SYNTAX"],
];

for (const [what, sdp, code] of refused)
  test(`refused with ${code}: ${what}`, () => {
    assert.throws(
      () => parseSdp(sdp),
      (error) => isProtocolError(error, code),
    );
  });

const many = (count: number, line: (at: number) => string): string[] =>
  Array.from({ length: count }, (_, at) => line(at));
const cryptoLines = (count: number) => many(count, (at) => `a=${CRYPTO.replace(":1", `:${at}`)}`);
const fill = SDP_LINE_CHARACTERS_MAX - "a=".length;

const limits: readonly [string, Buffer, Buffer][] = [
  ["a line's length", call(`a=${"x".repeat(fill)}`), call(`a=${"x".repeat(fill + 1)}`)],
  [
    "lines",
    call(...many(SDP_LINES_MAX - HEAD.length - 1, () => "a=x")),
    call(...many(SDP_LINES_MAX - HEAD.length, () => "a=x")),
  ],
  [
    "streams",
    octets(...HEAD, ...many(SDP_MEDIA_MAX, () => AUDIO)),
    octets(...HEAD, ...many(SDP_MEDIA_MAX + 1, () => AUDIO)),
  ],
  ["keys", call(...cryptoLines(CRYPTO_LINES_MAX)), call(...cryptoLines(CRYPTO_LINES_MAX + 1))],
  ["octets", padded(SDP_OCTETS_MAX), padded(SDP_OCTETS_MAX + 1)],
];

function padded(bytes: number): Buffer {
  const whole = `a=${"x".repeat(996)}\r\n`;
  const missing = bytes - call().length;
  const last = `a=${"x".repeat((missing % 1000) + 996)}\r\n`;
  const fillers = whole.repeat(Math.floor(missing / 1000) - 1);
  return Buffer.concat([call(), Buffer.from(fillers + last)]);
}

for (const [what, within, beyond] of limits)
  test(`limit on ${what}`, () => {
    assert.equal(parseSdp(within).origin.username, "-");
    assert.throws(
      () => parseSdp(beyond),
      (error) => isProtocolError(error, "ERR_SDP_LIMIT"),
    );
  });

test("an address without a stream that needs it may be missing", () => {
  const sdp = octets(...HEAD.toSpliced(3, 1), "m=audio 0 RTP/AVP 0", AUDIO, "c=IN IP4 192.0.2.1");
  assert.equal(parseSdp(sdp).connection, undefined);
});

test("the parser is total: a description or a ProtocolError", () => {
  const lines = FULL.toString().split("\r\n");
  const mangled = fc
    .array(fc.oneof(fc.constantFrom(...lines), fc.string({ maxLength: 20 })), { maxLength: 20 })
    .map((chosen) => Buffer.from([...HEAD, ...chosen].map((l) => `${l}\r\n`).join("")));
  const damaged = fc
    .tuple(fc.nat(FULL.length - 1), fc.uint8Array({ maxLength: 4 }))
    .map(([at, noise]) => Buffer.concat([FULL.subarray(0, at), noise, FULL.subarray(at + 1)]));
  const any = fc.uint8Array({ maxLength: 200 }).map((o) => Buffer.from(o));
  fc.assert(
    fc.property(fc.oneof(mangled, damaged, any), (sdp) => {
      try {
        const parsed = parseSdp(sdp);
        const again = parseSdp(serializeSdp(parsed));
        assert.equal(again.media.length, parsed.media.length);
      } catch (error) {
        if (!isProtocolError(error)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
});
