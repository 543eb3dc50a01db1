import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { signEntity, verifySignedEntity } from "../../protocol/body/signed-entity.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import { parseEntity, partsOf, serializeEntity } from "../../protocol/mime/entity.ts";
import { serializeMultipart } from "../../protocol/mime/multipart.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { makeAuthority, makeIdentity, makeUser, NOW } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const SDP = Buffer.from("v=0\r\no=- 1 1 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\n");
const SIPFRAG = [["Call-ID", "3848276298220188511@atlanta.example.com"]] as const;
const ALICE = "sip:alice@atlanta.example.com";

let bench: OpensslBench;
let authority: Identity;
let alice: Identity;
let content: Buffer;
let signature: Buffer;

before(async () => {
  bench = new OpensslBench();
  authority = await makeAuthority();
  alice = await makeUser(authority, ALICE);
  const parts = { sipfrag: SIPFRAG, sdp: SDP, signer: alice, random: randomBytes };
  const [signed, signaturePart] = partsOf(parseEntity(await signEntity(parts)));
  assert.ok(signed && signaturePart);
  [content, signature] = [signed.octets, signaturePart.body];
  bench.writeIdentity("ca", authority);
  bench.writeIdentity("alice", alice);
  bench.write("content", content);
});
after(() => bench.remove());

/** `multipart/signed` around the content that alice signed and another signature. */
function entityWith(otherSignature: Uint8Array): Buffer {
  const part = serializeEntity([["Content-Type", "application/pkcs7-signature"]], otherSignature);
  const { body, boundary } = serializeMultipart([content, part], randomBytes);
  const type = `multipart/signed; protocol="application/pkcs7-signature"; boundary=${boundary}`;
  return serializeEntity([["Content-Type", type]], body);
}

describe("signed entities and OpenSSL", () => {
  const verify = ["cms", "-verify", "-binary", "-inform", "DER", "-CAfile", "ca.pem"];
  const when = ["-attime", String(NOW / 1000)];

  test("OpenSSL verifies ours, as S/MIME, by the authority's certificate", () => {
    const verified = bench.run([...verify, ...when, "-content", "content"], signature);
    assert.equal(verified.status, 0, verified.stderr);
    assert.deepEqual(verified.stdout, content);
  });

  test("OpenSSL refuses ours over other content", () => {
    const other = Buffer.from(content);
    other[other.length - 10] = (other[other.length - 10] ?? 0) ^ 1;
    bench.write("other", other);
    assert.notEqual(bench.run([...verify, ...when, "-content", "other"], signature).status, 0);
  });

  const signers = {
    "P-256": { keyType: "p256", options: [] },
    "RSA PKCS#1": { keyType: "rsa", options: [] },
    "signer by key identifier": { keyType: "p256", options: ["-keyid"] },
  } as const;
  for (const [what, { keyType, options }] of Object.entries(signers))
    test(`we verify OpenSSL's, ${what}`, async () => {
      const alternativeNames = [{ kind: "uri", uri: ALICE } as const];
      const signer = await makeIdentity({ issuer: authority, keyType, alternativeNames });
      bench.writeIdentity("signer", signer);
      const command = ["cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", ...options];
      const signed = bench.run(
        [...command, "-signer", "signer.pem", "-inkey", "signer.key"],
        content,
      );
      assert.equal(signed.status, 0, signed.stderr);
      const read = await verifySignedEntity({
        entity: entityWith(signed.stdout),
        anchors: [authority.certificate],
        now: NOW,
      });
      assert.deepEqual(read.signer, { certificate: signer.certificate, uris: [ALICE] });
      assert.deepEqual(read.sdp, SDP);
    });

  const refused = {
    "SHA-1": ["-md", "sha1"],
    "no signed attributes": ["-md", "sha256", "-noattr"],
    "content inside": ["-md", "sha256", "-nodetach"],
    "no certificate": ["-md", "sha256", "-nocerts"],
    "two signers": ["-md", "sha256", "-signer", "ca.pem", "-inkey", "ca.key"],
  };
  for (const [what, options] of Object.entries(refused))
    test(`we refuse OpenSSL's with ${what}`, async () => {
      const command = ["cms", "-sign", "-binary", "-outform", "DER"];
      const key = ["-signer", "alice.pem", "-inkey", "alice.key"];
      const signed = bench.run([...command, ...key, ...options], content);
      assert.equal(signed.status, 0, signed.stderr);
      const entity = entityWith(signed.stdout);
      await assert.rejects(
        verifySignedEntity({ entity, anchors: [authority.certificate], now: NOW }),
        (error) => isProtocolError(error, "ERR_SIGNATURE"),
      );
    });
});
