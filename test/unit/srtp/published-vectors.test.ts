/** SRTP against published octets: RFC 3711, RFC 6188, libsrtp. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { SrtpSuite } from "../../../protocol/rtp/srtp-suite.ts";
import { Secret } from "../../../protocol/secret.ts";
import { AesCounterMode } from "../../../protocol/srtp/aes-counter-mode.ts";
import { deriveKey } from "../../../protocol/srtp/session-keys.ts";
import { SrtpReceiver } from "../../../protocol/srtp/srtp-receiver.ts";
import { SrtpSender } from "../../../protocol/srtp/srtp-sender.ts";

interface TransformVectors {
  source: string;
  keystream: {
    encryptionKey: string;
    salt: string;
    ssrc: number;
    index: number;
    blocks: { at: number; octets: string }[];
  }[];
  keyDerivation: {
    masterKey: string;
    masterSalt: string;
    keys: { label: number; octets: string }[];
  }[];
}

interface PacketVectors {
  source: string;
  packets: {
    suite: SrtpSuite;
    masterKeySalt: string;
    kind: "rtp" | "rtcp";
    index?: number;
    plain: string;
    sealed: string;
  }[];
}

const hex = (text: string): Buffer => Buffer.from(text, "hex");
const load = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), "utf8"));

for (const file of ["rfc3711.json", "rfc6188.json"]) {
  const vectors = load<TransformVectors>(file);

  for (const { encryptionKey, salt, ssrc, index, blocks } of vectors.keystream)
    test(`${vectors.source}: keystream`, () => {
      const mode = new AesCounterMode(new Secret(hex(encryptionKey)), new Secret(hex(salt)));
      const last = Math.max(...blocks.map(({ at }) => at));
      const keystream = mode.keystream(ssrc, index, last + 1);
      for (const { at, octets } of blocks)
        assert.equal(keystream.subarray(16 * at, 16 * at + 16).toString("hex"), octets, `${at}`);
    });

  for (const { masterKey, masterSalt, keys } of vectors.keyDerivation)
    test(`${vectors.source}: key derivation, ${4 * masterKey.length} bits`, () => {
      for (const { label, octets } of keys) {
        const key = deriveKey(hex(masterKey), hex(masterSalt), label, octets.length / 2);
        assert.equal(key.expose().toString("hex"), octets, `label ${label}`);
      }
    });
}

const libsrtp = load<PacketVectors>("libsrtp.json");
for (const { suite, masterKeySalt, kind, index = 0, plain, sealed } of libsrtp.packets)
  test(`${libsrtp.source}: ${suite} ${kind}`, () => {
    const master = { suite, masterKeySalt: new Secret(hex(masterKeySalt)) };
    const sender = new SrtpSender(master);
    if (kind === "rtp") assert.equal(sender.protectRtp(hex(plain)).toString("hex"), sealed);
    else {
      for (let before = 0; before < index; before += 1) sender.protectRtcp(hex(plain));
      assert.equal(sender.protectRtcp(hex(plain)).toString("hex"), sealed);
    }
    const receiver = new SrtpReceiver(master);
    const [result] =
      kind === "rtp"
        ? receiver.unprotectBatch([hex(sealed)])
        : receiver.unprotectRtcpBatch([hex(sealed)]);
    assert.equal(result?.kind === "ok" && result.packet.toString("hex"), plain);
  });
