import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { openAnswer, openOffer } from "../../protocol/body/open-body.ts";
import { type SealingForm, sealAnswer, sealOffer } from "../../protocol/body/seal-body.ts";
import { signEntity } from "../../protocol/body/signed-entity.ts";
import type { ContentCipher } from "../../protocol/cms/algorithms.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { makeAuthority, makeUser } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const SDP = Buffer.from("v=0\r\no=bob 2 2 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n");
const SIPFRAG = [["Call-ID", "3848276298220188511@atlanta.example.com"]] as const;

let bench: OpensslBench;
let alice: Identity;
let bob: Identity;

before(async () => {
  bench = new OpensslBench();
  const authority = await makeAuthority();
  alice = await makeUser(authority, "sip:alice@atlanta.example.com");
  bob = await makeUser(authority, "sip:bob@biloxi.example.com");
});
after(() => bench.remove());

async function firstKeyOf(form: SealingForm, cipher: ContentCipher): Promise<FirstKey> {
  const recipients = [bob.certificate];
  const parts = { sipfrag: SIPFRAG, sdp: SDP, signer: alice, random: randomBytes };
  const offer = await sealOffer({ ...parts, recipients, form, cipher });
  return (await openOffer({ ...offer, holder: bob })).firstKey;
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");
const reversedHex = (key: FirstKey): string => hex(Buffer.from(key.cek.expose()).reverse());

describe("answers under the first key", () => {
  for (const cipher of ["aes-256-gcm", "aes-128-gcm", "aes-256-cbc"] satisfies ContentCipher[]) {
    test(`OpenSSL opens ours with the reversed key and its reference, ${cipher}`, async () => {
      const firstKey = await firstKeyOf("rfc3185", cipher);
      const random = randomBytes;
      const { body } = await sealAnswer({
        sipfrag: SIPFRAG,
        sdp: SDP,
        signer: bob,
        firstKey,
        random,
      });
      assert.ok(firstKey.reference);
      const command = ["cms", "-decrypt", "-binary", "-inform", "DER"];
      const key = ["-secretkey", reversedHex(firstKey), "-secretkeyid"];
      const opened = bench.run([...command, ...key, hex(firstKey.reference)], body);
      assert.equal(opened.status, 0, opened.stderr);
      assert.ok(opened.stdout.includes(SDP));
      const other = bench.run([...command, ...key, hex(randomBytes(16))], body);
      assert.notEqual(other.status, 0);
    });

    test(`we open OpenSSL's, ${cipher}`, async () => {
      const firstKey = await firstKeyOf("rfc3185", cipher);
      const parts = { sipfrag: SIPFRAG, sdp: SDP, signer: bob, random: randomBytes };
      const entity = await signEntity(parts);
      assert.ok(firstKey.reference);
      const command = ["cms", "-encrypt", "-binary", `-${cipher}`, "-outform", "DER"];
      const key = ["-secretkey", reversedHex(firstKey), "-secretkeyid", hex(firstKey.reference)];
      const sealed = bench.run([...command, ...key], entity);
      assert.equal(sealed.status, 0, sealed.stderr);
      const contentType = "application/pkcs7-mime";
      const opened = await openAnswer({ body: sealed.stdout, contentType, firstKey });
      assert.deepEqual(opened.entity, entity);
    });
  }

  test("OpenSSL opens our EncryptedData", async () => {
    const firstKey = await firstKeyOf("patent", "aes-256-cbc");
    const parts = { sipfrag: SIPFRAG, sdp: SDP, signer: bob, random: randomBytes };
    const { body } = await sealAnswer({ ...parts, firstKey });
    const command = ["cms", "-EncryptedData_decrypt", "-binary", "-inform", "DER"];
    const opened = bench.run([...command, "-secretkey", hex(firstKey.cek.expose())], body);
    assert.equal(opened.status, 0, opened.stderr);
    assert.ok(opened.stdout.includes(SDP));
  });

  test("we open OpenSSL's EncryptedData", async () => {
    const firstKey = await firstKeyOf("patent", "aes-256-cbc");
    const entity = await signEntity({
      sipfrag: SIPFRAG,
      sdp: SDP,
      signer: bob,
      random: randomBytes,
    });
    const command = ["cms", "-EncryptedData_encrypt", "-binary", "-aes-256-cbc", "-outform", "DER"];
    const sealed = bench.run([...command, "-secretkey", hex(firstKey.cek.expose())], entity);
    assert.equal(sealed.status, 0, sealed.stderr);
    const contentType = "application/pkcs7-mime";
    const opened = await openAnswer({ body: sealed.stdout, contentType, firstKey });
    assert.deepEqual(opened.entity, entity);
  });
});
