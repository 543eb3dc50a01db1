import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { searchLog } from "../../../lab/log-search.ts";

const octets = Buffer.from("00ff10203040506070fffe8090a0b0c0", "hex");
const secrets = [{ name: "the key", octets }];

const planted: Record<string, string> = {
  hex: octets.toString("hex"),
  "upper-case hex": octets.toString("hex").toUpperCase(),
  base64: octets.toString("base64"),
  base64url: octets.toString("base64url"),
  "a JSON buffer": JSON.stringify(octets),
  "a printed array": inspect([...octets], { breakLength: Number.POSITIVE_INFINITY }),
  "a printed buffer": inspect(octets),
};
for (const [name, text] of Object.entries(planted))
  test(`a key written as ${name} is found in a log`, () => {
    assert.deepEqual(searchLog(`{"msg":"x","value":${text}}`, secrets), ["the key"]);
  });

test("SDP escaped in JSON is found in a log", () => {
  const line = JSON.stringify({ body: "v=0\r\nm=audio 20000 RTP/SAVP 0\r\na=crypto:1 x\r\n" });
  assert.deepEqual(searchLog(line, secrets), ["m=audio", "a=crypto"]);
});

test("a PEM header is found in a log", () => {
  assert.deepEqual(searchLog("-----BEGIN PRIVATE KEY-----", secrets), ["PRIVATE KEY"]);
});

test("an honest log holds nothing", () => {
  assert.deepEqual(searchLog('{"level":"info","callId":"00ff1020","msg":"opened"}', secrets), []);
});
