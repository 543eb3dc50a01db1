import assert from "node:assert/strict";
import { test } from "node:test";
import { REFUSALS, refusalOf, verifyStage } from "../../../device/core/offer-refusal.ts";
import { Secret } from "../../../protocol/secret.ts";

const CASES = [
  ["open", "ERR_CMS_NO_RECIPIENT", 493],
  ["open", "ERR_CMS_DECRYPT", 493],
  ["open", "ERR_DER_SYNTAX", 493],
  ["verify", "ERR_SIGNATURE_MISSING", 495],
  ["verify", "ERR_SIGNATURE", 403],
  ["verify", "ERR_CERTIFICATE", 403],
  ["verify", "ERR_BODY", 403],
  ["description", "ERR_SDP_SYNTAX", 488],
  ["description", "ERR_SDES_KEY", 488],
] as const;

for (const [stage, code, status] of CASES)
  test(`${code} found at '${stage}' is answered ${status}`, () => {
    assert.equal(refusalOf(stage, code).status, status);
  });

test("every failure to open gets one and the same answer", () => {
  assert.equal(refusalOf("open", "ERR_CMS_DECRYPT"), refusalOf("open", "ERR_CMS_SYNTAX"));
});

test("a 415 says what would have been understood (RFC 3261 §8.2.3)", () => {
  assert.deepEqual(REFUSALS.unknownType.headers, [
    ["Accept", "application/pkcs7-mime, application/sdp"],
  ]);
});

for (const [cipher, stage] of [
  ["aes-256-gcm", "verify"],
  ["aes-128-gcm", "verify"],
  ["aes-256-cbc", "open"],
  ["aes-128-cbc", "open"],
] as const)
  test(`a fault in the signature under ${cipher} counts as found at '${stage}'`, () => {
    const cek = new Secret(Buffer.alloc(16));
    assert.equal(verifyStage({ cek, cipher }), stage);
  });
