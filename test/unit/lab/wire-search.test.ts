import assert from "node:assert/strict";
import { test } from "node:test";
import type { TcpStream } from "../../../lab/tcp-streams.ts";
import { searchSignalling } from "../../../lab/wire-tap.ts";

const key = Buffer.from("d0a70d37c022b6754194f0924764b050e68d35f2553d3ba8e178472816d7", "hex");
const otherKey = Buffer.alloc(30, 7);

const stream = (octets: string | Buffer): TcpStream => ({
  from: "a:1",
  to: "b:2",
  octets: Buffer.from(octets),
  marks: [],
});

const none = {
  rawKeys: false,
  base64Keys: false,
  mediaLines: false,
  connectionLines: false,
  cryptoLines: false,
};
const sdp = [
  "v=0",
  "c=IN IP4 10.10.0.2",
  "m=audio 20000 RTP/SAVP 0",
  `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key.toString("base64")}|2^31`,
  "",
].join("\r\n");

test("SDP in clear is found, and the key in it both ways", () => {
  assert.deepEqual(searchSignalling([stream(sdp)], [otherKey, key]), {
    rawKeys: true,
    base64Keys: true,
    mediaLines: true,
    connectionLines: true,
    cryptoLines: true,
  });
});

test("SDP in base64, over several lines, is found", () => {
  const wrapped = Buffer.from(sdp)
    .toString("base64")
    .replaceAll(/(.{60})/g, "$1\r\n");
  const found = searchSignalling([stream(`Content-Type: x\r\n\r\n${wrapped}`)], [key]);
  assert.equal(found.mediaLines, true);
  assert.equal(found.cryptoLines, true);
});

test("a raw key among other octets is found", () => {
  const octets = Buffer.concat([Buffer.alloc(50, 1), key, Buffer.alloc(50, 2)]);
  assert.deepEqual(searchSignalling([stream(octets)], [key]), { ...none, rawKeys: true });
});

test("nothing is found where there is nothing", () => {
  const octets = Buffer.from("Contact: <sip:a@b>\r\nm=x\r\nc=1\r\na=cryptography\r\n");
  assert.deepEqual(searchSignalling([stream(octets)], [key]), none);
});
