import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, TAG } from "../../../protocol/der/tag.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { CRL_MAX_BYTES, CRL_MAX_ENTRIES, decodeCrl, verifyCrl } from "../../../protocol/pki/crl.ts";
import { type CrlRequest, issueCrl } from "../../../protocol/pki/issue-crl.ts";
import type { RevocationReason } from "../../../protocol/pki/revocation-reason.ts";
import { encodeSigned, signatureAlgorithmOf } from "../../../protocol/pki/sign-octets.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { encodeTime } from "../../../protocol/pki/time.ts";
import { makeAuthority, makeIdentity, makeUser, NOW } from "./make-identity.ts";

const DAY_MS = 24 * 3600 * 1000;
const REQUEST: CrlRequest = {
  number: 7,
  thisUpdate: new Date(NOW - DAY_MS),
  nextUpdate: new Date(NOW + DAY_MS),
  revoked: [],
};
const isRefused = (error: unknown): boolean => isProtocolError(error, "ERR_CRL");

let authority: Identity;
before(async () => {
  authority = await makeAuthority();
});

describe("a revocation list", () => {
  test("is read as it was issued", async () => {
    const reasons: readonly RevocationReason[] = ["unspecified", "keyCompromise", "superseded"];
    const revoked = ["0123456789abcdef", "ff00", "7f"].map((serial, at) => ({
      serial,
      at: new Date(NOW - at * 1000),
      reason: reasons[at] ?? "unspecified",
    }));
    const crl = decodeCrl(await issueCrl({ ...REQUEST, revoked }, authority));
    assert.equal(crl.number, "07");
    assert.equal(crl.thisUpdate, NOW - DAY_MS);
    assert.equal(crl.nextUpdate, NOW + DAY_MS);
    assert.deepEqual(
      [...crl.revoked],
      [
        ["0123456789abcdef", { at: NOW, reason: 0 }],
        ["ff00", { at: NOW - 1000, reason: 1 }],
        ["7f", { at: NOW - 2000, reason: 4 }],
      ],
    );
    verifyCrl(crl, decodeCertificate(authority.certificate), NOW);
  });

  test("may be empty, long numbered, and signed by RSA", async () => {
    const issuer = await makeIdentity({ profile: "authority", keyType: "rsa" });
    const crl = decodeCrl(await issueCrl({ ...REQUEST, number: 2 ** 40 }, issuer));
    assert.equal(crl.revoked.size, 0);
    assert.equal(crl.number, "010000000000");
    verifyCrl(crl, decodeCertificate(issuer.certificate), NOW);
  });

  test("is believed of its issuer alone, in its time alone, however often it is asked for", async () => {
    const crl = decodeCrl(await issueCrl(REQUEST, authority));
    const issuer = decodeCertificate(authority.certificate);
    const namesake = decodeCertificate((await makeAuthority()).certificate);
    const other = decodeCertificate((await makeAuthority("another")).certificate);
    const user = decodeCertificate((await makeUser(authority, "sip:a@b")).certificate);
    for (let turn = 0; turn < 2; turn += 1) {
      verifyCrl(crl, issuer, NOW);
      for (const stranger of [namesake, other, user])
        assert.throws(() => verifyCrl(crl, stranger, NOW), isRefused);
      for (const at of [NOW - 2 * DAY_MS, NOW + 2 * DAY_MS])
        assert.throws(() => verifyCrl(crl, issuer, at), isRefused);
    }
  });

  test("is not issued for what is none", async () => {
    const bad: readonly Partial<CrlRequest>[] = [
      { number: 0 },
      { number: 1.5 },
      { nextUpdate: REQUEST.thisUpdate },
      { revoked: [{ serial: "xyz", at: REQUEST.thisUpdate, reason: "unspecified" }] },
      { revoked: new Array(CRL_MAX_ENTRIES + 1) },
    ];
    for (const change of bad)
      await assert.rejects(issueCrl({ ...REQUEST, ...change }, authority), RangeError);
  });
});

interface Parts {
  readonly version?: Buffer;
  readonly nextUpdate?: readonly Buffer[];
  readonly entries?: readonly Buffer[];
  readonly extensions?: readonly Buffer[];
  readonly algorithm?: Buffer;
}

const extension = (oid: string, critical: boolean, value: Buffer): Buffer =>
  encodeSequence(
    encodeOid(oid),
    ...(critical ? [encodeTlv(TAG.boolean, Buffer.of(0xff))] : []),
    encodeOctetString(value),
  );
const entry = (...extensions: readonly Buffer[]): Buffer =>
  encodeSequence(
    encodeSmallInteger(5),
    encodeTime(REQUEST.thisUpdate),
    ...(extensions.length === 0 ? [] : [encodeSequence(...extensions)]),
  );

function listOf(parts: Parts): Promise<Buffer> {
  const { version = encodeSmallInteger(1), extensions = [], entries = [] } = parts;
  const list = encodeSequence(
    version,
    parts.algorithm ?? signatureAlgorithmOf(authority.privateKey),
    decodeCertificate(authority.certificate).subjectName,
    encodeTime(REQUEST.thisUpdate),
    ...(parts.nextUpdate ?? [encodeTime(REQUEST.nextUpdate)]),
    ...(entries.length === 0 ? [] : [encodeSequence(...entries)]),
    ...(extensions.length === 0 ? [] : [encodeTlv(contextTag(0), encodeSequence(...extensions))]),
  );
  return encodeSigned(list, authority.privateKey);
}

describe("a list is refused", () => {
  const refused: Readonly<Record<string, Parts>> = {
    "of version 1": { version: encodeSmallInteger(0) },
    "without a next update": { nextUpdate: [] },
    "whose algorithms differ": { algorithm: encodeSequence(encodeOid("1.2.840.10045.4.3.3")) },
    "that is a delta": { extensions: [extension("2.5.29.27", true, encodeSmallInteger(1))] },
    "for some reasons or users only": {
      extensions: [extension("2.5.29.28", true, encodeSequence())],
    },
    "with entries of another issuer": {
      entries: [entry(extension("2.5.29.29", true, encodeSequence()))],
    },
    "with a reason that only deltas have": {
      entries: [entry(extension("2.5.29.21", false, encodeTlv(0x0a, Buffer.of(8))))],
    },
    "with a reason that is none": { entries: [entry(extension("2.5.29.21", false, encodeNull()))] },
    "with an entry that is none": { entries: [encodeSequence(encodeSmallInteger(1))] },
  };
  for (const [what, parts] of Object.entries(refused))
    test(what, async () => {
      const octets = await listOf(parts);
      assert.throws(() => decodeCrl(octets), isRefused);
    });

  test("unless none of this is so", async () => {
    const unknown = extension("1.2.3.4", false, encodeNull());
    const crl = decodeCrl(await listOf({ entries: [entry(unknown)], extensions: [unknown] }));
    assert.equal(crl.number, undefined);
    assert.deepEqual([...crl.revoked.keys()], ["05"]);
  });

  test("that is none, too long or altered", async () => {
    const octets = await issueCrl(REQUEST, authority);
    for (const bad of [
      Buffer.alloc(0),
      Buffer.from("3000", "hex"),
      Buffer.alloc(CRL_MAX_BYTES + 1),
    ])
      assert.throws(() => decodeCrl(bad), isRefused);
    const issuer = decodeCertificate(authority.certificate);
    fc.assert(
      fc.property(fc.nat(octets.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Buffer.from(octets);
        changed[at] = (changed[at] ?? 0) ^ by;
        assert.throws(() => verifyCrl(decodeCrl(changed), issuer, NOW), isRefused);
      }),
      { numRuns: 200 },
    );
  });

  test("with more entries than we hold", async () => {
    const entries = new Array<Buffer>(CRL_MAX_ENTRIES + 1).fill(entry());
    const octets = await listOf({ entries });
    assert.throws(() => decodeCrl(octets), isRefused);
    assert.equal(decodeCrl(await listOf({ entries: entries.slice(1) })).revoked.size, 1);
  });
});
