import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { openOffer } from "../../protocol/body/open-body.ts";
import { sealOffer } from "../../protocol/body/seal-body.ts";
import { signEntity, verifySignedEntity } from "../../protocol/body/signed-entity.ts";
import type { ContentCipher } from "../../protocol/cms/algorithms.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { makeAuthority, makeIdentity, makeUser, NOW } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const CIPHERS = [
  "aes-128-cbc",
  "aes-256-cbc",
  "aes-128-gcm",
  "aes-256-gcm",
] satisfies ContentCipher[];
const SDP = Buffer.from(
  "v=0\r\no=- 1 1 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\nm=audio 49172 RTP/SAVP 0\r\n",
);
const SIPFRAG = [["Call-ID", "3848276298220188511@atlanta.example.com"]] as const;
const MESSAGE_TYPE = "application/pkcs7-mime;name=smime.p7m";

let bench: OpensslBench;
let authority: Identity;
let alice: Identity;
let holders: { readonly ec: Identity; readonly rsa: Identity };
let entity: Buffer;

before(async () => {
  bench = new OpensslBench();
  authority = await makeAuthority();
  alice = await makeUser(authority, "sip:alice@atlanta.example.com");
  holders = {
    ec: await makeIdentity({ commonName: "ec", issuer: authority }),
    rsa: await makeIdentity({ commonName: "rsa", issuer: authority, keyType: "rsa" }),
  };
  bench.writeIdentity("ec", holders.ec);
  bench.writeIdentity("rsa", holders.rsa);
  entity = await signEntity({ sipfrag: SIPFRAG, sdp: SDP, signer: alice, random: randomBytes });
});
after(() => bench.remove());

describe("OpenSSL opens what we seal", () => {
  for (const cipher of CIPHERS)
    for (const name of ["ec", "rsa"])
      test(`${cipher} for ${name}, beside another recipient, with a CEKReference`, async () => {
        const { body } = await sealOffer({
          sipfrag: SIPFRAG,
          sdp: SDP,
          signer: alice,
          recipients: [holders.rsa.certificate, holders.ec.certificate],
          form: "rfc3185",
          cipher,
          random: randomBytes,
        });
        const command = ["cms", "-decrypt", "-binary", "-inform", "DER"];
        const opened = bench.run(
          [...command, "-recip", `${name}.pem`, "-inkey", `${name}.key`],
          body,
        );
        assert.equal(opened.status, 0, opened.stderr);
        const read = await verifySignedEntity({
          entity: opened.stdout,
          anchors: [authority.certificate],
          now: NOW,
        });
        assert.deepEqual(read.sdp, SDP);
      });

  test("the form patent", async () => {
    const { body } = await sealOffer({
      sipfrag: SIPFRAG,
      sdp: SDP,
      signer: alice,
      recipients: [holders.ec.certificate],
      form: "patent",
      random: randomBytes,
    });
    const command = ["cms", "-decrypt", "-binary", "-inform", "DER"];
    const opened = bench.run([...command, "-recip", "ec.pem", "-inkey", "ec.key"], body);
    assert.equal(opened.status, 0, opened.stderr);
    assert.ok(opened.stdout.includes(SDP));
  });
});

describe("we open what OpenSSL seals", () => {
  const recipients = {
    "P-256, SHA-256 derivation": { name: "ec", options: ["-keyopt", "ecdh_kdf_md:sha256"] },
    "P-256, SHA-1 derivation": { name: "ec", options: [] },
    "RSA-OAEP, SHA-256": {
      name: "rsa",
      options: ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"],
    },
    "RSA-OAEP, SHA-1": { name: "rsa", options: ["-keyopt", "rsa_padding_mode:oaep"] },
  } as const;

  for (const cipher of CIPHERS)
    for (const [what, { name, options }] of Object.entries(recipients))
      for (const form of [[], ["-stream"], ["-keyid"]])
        test(`${cipher}, ${what} ${form.join(" ")}`, async () => {
          const command = ["cms", "-encrypt", "-binary", `-${cipher}`, "-outform", "DER", ...form];
          const sealed = bench.run([...command, "-recip", `${name}.pem`, ...options], entity);
          assert.equal(sealed.status, 0, sealed.stderr);
          const opened = await openOffer({
            body: sealed.stdout,
            contentType: MESSAGE_TYPE,
            holder: holders[name],
          });
          assert.deepEqual(opened.entity, entity);
          assert.equal(opened.firstKey.cipher, cipher);
          assert.equal(opened.firstKey.reference, undefined);
        });

  test("two recipients in one message", async () => {
    const command = ["cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER"];
    const oaep = ["-keyopt", "rsa_padding_mode:oaep"];
    const sealed = bench.run(
      [...command, "-recip", "rsa.pem", ...oaep, "-recip", "ec.pem"],
      entity,
    );
    assert.equal(sealed.status, 0, sealed.stderr);
    for (const holder of Object.values(holders)) {
      const opened = await openOffer({ body: sealed.stdout, contentType: MESSAGE_TYPE, holder });
      assert.deepEqual(opened.entity, entity);
    }
  });

  test("PKCS#1 v1.5 is refused like any message that cannot be decrypted", async () => {
    const command = ["cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER"];
    const sealed = bench.run([...command, "-recip", "rsa.pem"], entity);
    assert.equal(sealed.status, 0, sealed.stderr);
    await assert.rejects(
      openOffer({ body: sealed.stdout, contentType: MESSAGE_TYPE, holder: holders.rsa }),
      (error) =>
        isProtocolError(error, "ERR_CMS_DECRYPT") &&
        error.message === "message cannot be decrypted",
    );
  });
});
