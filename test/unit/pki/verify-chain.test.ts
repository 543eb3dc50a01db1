import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import {
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, primitiveContextTag, TAG } from "../../../protocol/der/tag.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { type Certificate, decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { type Crl, decodeCrl } from "../../../protocol/pki/crl.ts";
import { EXTENSION, type ExtensionOid, encodeExtension } from "../../../protocol/pki/extension.ts";
import {
  type AlternativeName,
  encodeCommonName,
  encodeGeneralNames,
} from "../../../protocol/pki/general-name.ts";
import { issueCrl } from "../../../protocol/pki/issue-crl.ts";
import { NAME_CONSTRAINTS_MAX_SUBTREES } from "../../../protocol/pki/name-constraints.ts";
import { spkiOf } from "../../../protocol/pki/public-key.ts";
import { encodeSigned, signatureAlgorithmOf } from "../../../protocol/pki/sign-octets.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { encodeTime } from "../../../protocol/pki/time.ts";
import {
  CHAIN_MAX_VERIFICATIONS,
  type ChainRequest,
  verifyChain,
} from "../../../protocol/pki/verify-chain.ts";
import {
  makeAuthority,
  makeIdentity,
  makeUser,
  NOT_AFTER,
  NOT_BEFORE,
  NOW,
} from "./make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const ANY_PURPOSE = encodeSequence(encodeOid("2.5.29.37.0"));
const AUTHORITY_CONSTRAINTS = encodeSequence(encodeTlv(TAG.boolean, Buffer.of(0xff)));

interface Forged {
  readonly subject: string;
  readonly issuer: Identity;
  readonly publicKey?: KeyObject;
  readonly extensions?: readonly (readonly [ExtensionOid, Buffer])[];
}

/** A certificate with extensions that we never issue. */
async function forge({
  subject,
  issuer,
  publicKey,
  extensions = [],
}: Forged): Promise<Certificate> {
  const key = publicKey ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  const all = extensions.map(([oid, value]) => encodeExtension(oid, true, value));
  const octets = encodeSequence(
    encodeTlv(contextTag(0), encodeSmallInteger(2)),
    encodeTlv(TAG.integer, Buffer.of(0x40, ...randomBytes(8))),
    signatureAlgorithmOf(issuer.privateKey),
    decodeCertificate(issuer.certificate).subjectName,
    encodeSequence(encodeTime(NOT_BEFORE), encodeTime(NOT_AFTER)),
    encodeCommonName(subject),
    spkiOf(key),
    encodeTlv(contextTag(3), encodeSequence(...all)),
  );
  return decodeCertificate(await encodeSigned(octets, issuer.privateKey));
}

const refuses = (request: ChainRequest, why?: RegExp): Promise<void> =>
  assert.rejects(verifyChain(request), (error) => {
    assert.ok(isProtocolError(error, "ERR_CERTIFICATE"), String(error));
    return why?.test(error.message) ?? true;
  });

let root: Identity;
let issuer: Identity;
let user: Certificate;
let request: ChainRequest;

before(async () => {
  root = await makeIdentity({ commonName: "root", profile: "authority", pathLength: 1 });
  issuer = await makeIdentity({ commonName: "issuer", profile: "authority", issuer: root });
  user = decodeCertificate((await makeUser(issuer, ALICE)).certificate);
  request = {
    certificate: user,
    intermediates: [decodeCertificate(issuer.certificate)],
    anchors: [root.certificate],
    now: NOW,
  };
});

describe("a path", () => {
  test("of our own authority, its issuer and a user is valid for what users are", async () => {
    await verifyChain(request);
    await verifyChain({ ...request, purpose: "tls-client" });
    await verifyChain({ ...request, purpose: "email" });
    await refuses({ ...request, purpose: "tls-server" }, /other purposes/);
    await refuses({ ...request, purpose: "sip-domain" }, /other purposes/);
  });

  test("is valid for any purpose where the certificate says so", async () => {
    const certificate = await forge({
      subject: "any",
      issuer,
      extensions: [[EXTENSION.extendedKeyUsage, ANY_PURPOSE]],
    });
    await verifyChain({ ...request, certificate, purpose: "tls-server" });
  });

  test("is valid at its first and its last second", async () => {
    for (const now of [NOT_BEFORE.getTime(), NOT_AFTER.getTime()])
      await verifyChain({ ...request, now });
    await refuses({ ...request, now: NOT_BEFORE.getTime() - 1 }, /not valid yet/);
    await refuses({ ...request, now: NOT_AFTER.getTime() + 1 }, /not valid any more/);
  });

  test("is found beside a dead end of the same name and key", async () => {
    const elsewhere = await makeAuthority("elsewhere");
    const { publicKey } = decodeCertificate(issuer.certificate);
    const deadEnd = await forge({
      subject: "issuer",
      issuer: elsewhere,
      publicKey,
      extensions: [[EXTENSION.basicConstraints, AUTHORITY_CONSTRAINTS]],
    });
    const [right] = request.intermediates;
    assert.ok(right);
    for (const intermediates of [
      [deadEnd, right],
      [right, deadEnd],
    ])
      await verifyChain({ ...request, intermediates });
    await refuses({ ...request, intermediates: [deadEnd] });
  });

  test("of authorities that sign each other ends", async () => {
    const one = await makeAuthority("one");
    const other = await makeAuthority("other");
    const signed = async (subject: string, by: Identity, of: Identity): Promise<Certificate> =>
      forge({
        subject,
        issuer: by,
        publicKey: decodeCertificate(of.certificate).publicKey,
        extensions: [[EXTENSION.basicConstraints, AUTHORITY_CONSTRAINTS]],
      });
    const intermediates = [await signed("one", other, one), await signed("other", one, other)];
    const certificate = decodeCertificate((await makeUser(one, ALICE)).certificate);
    await refuses({ ...request, certificate, intermediates });
  });

  test("costs no more signatures than a limit", async () => {
    const namesakes = await Promise.all(
      Array.from({ length: CHAIN_MAX_VERIFICATIONS }, () => makeAuthority("issuer")),
    );
    const intermediates = namesakes.map(({ certificate }) => decodeCertificate(certificate));
    const all = [...intermediates, ...request.intermediates];
    await refuses({ ...request, intermediates: all }, /too many signatures/);
    await verifyChain({ ...request, intermediates: all.slice(2) });
  });

  test("is refused for octets that are no anchor", () =>
    refuses({ ...request, anchors: [Buffer.from("3000", "hex")] }));

  test("is refused if two algorithms are named for one signature", async () => {
    const octets = Buffer.from(user.encoded);
    const ecdsaWithSha256 = Buffer.from("2a8648ce3d040302", "hex");
    const inner = octets.indexOf(ecdsaWithSha256);
    assert.ok(inner > 0 && inner < octets.lastIndexOf(ecdsaWithSha256));
    octets[octets.lastIndexOf(ecdsaWithSha256) + 7] = 3;
    await refuses({ ...request, certificate: decodeCertificate(octets) });
  });
});

describe("a revocation", () => {
  test("that the caller knows of refuses a certificate and those above it, but no anchor", async () => {
    const revoking = (revoked: Uint8Array) => (certificate: Certificate) =>
      certificate.encoded.equals(revoked);
    await refuses({ ...request, isRevoked: revoking(user.encoded) }, /revoked/);
    await refuses({ ...request, isRevoked: revoking(issuer.certificate) }, /revoked/);
    await verifyChain({ ...request, isRevoked: revoking(root.certificate) });
    const anchors = [user.encoded];
    await refuses({ ...request, anchors, isRevoked: revoking(user.encoded) }, /revoked/);
  });

  const listOf = async (by: Identity, ...serials: readonly string[]): Promise<Crl> =>
    decodeCrl(
      await issueCrl(
        {
          number: 1,
          thisUpdate: NOT_BEFORE,
          nextUpdate: new Date(NOW),
          revoked: serials.map((serial) => ({ serial, at: NOT_BEFORE, reason: "superseded" })),
        },
        by,
      ),
    );

  test("list must be there for its issuer, unless the caller does without", async () => {
    const ofRoot = await listOf(root);
    for (const crls of [[], [ofRoot]]) {
      await refuses({ ...request, crls }, /no current revocation list/);
      await verifyChain({ ...request, crls, crlCoverage: "where-present" });
    }
    await verifyChain({ ...request, crls: [await listOf(issuer)] });
  });

  test("list that is there counts, and must be current", async () => {
    for (const crlCoverage of ["required", "where-present"] as const) {
      const all = { ...request, crlCoverage };
      const fine = await listOf(issuer);
      const { serial } = decodeCertificate(issuer.certificate);
      await refuses({ ...all, crls: [fine, await listOf(issuer, user.serial)] }, /revoked/);
      await refuses({ ...all, crls: [fine, await listOf(root, serial)] }, /revoked/);
      await refuses({ ...all, crls: [fine], now: NOW + 1 }, /no current revocation list/);
    }
  });
});

describe("name constraints", () => {
  const DNS = primitiveContextTag(2);
  const subtree = (tag: number, base: string, ...more: readonly Buffer[]): Buffer =>
    encodeSequence(encodeTlv(tag, Buffer.from(base)), ...more);
  const permitted = (...subtrees: readonly Buffer[]): Buffer =>
    encodeSequence(encodeTlv(contextTag(0), ...subtrees));

  /** A path whose issuer is constrained so, to a certificate with these names. */
  async function pathOf(
    constraints: Buffer,
    names: readonly AlternativeName[],
  ): Promise<ChainRequest> {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const constrained = await forge({
      subject: "constrained",
      issuer: root,
      publicKey: pair.publicKey,
      extensions: [
        [EXTENSION.basicConstraints, AUTHORITY_CONSTRAINTS],
        [EXTENSION.nameConstraints, constraints],
      ],
    });
    const certificate = await forge({
      subject: "leaf",
      issuer: { certificate: constrained.encoded, privateKey: pair.privateKey },
      extensions: names.length === 0 ? [] : [[EXTENSION.subjectAltName, encodeGeneralNames(names)]],
    });
    return { ...request, certificate, intermediates: [constrained] };
  }
  const host: readonly AlternativeName[] = [{ kind: "dns", name: "a.example.com" }];
  const [within, all] = [subtree(DNS, "example.com"), subtree(DNS, "")];
  const many = new Array<Buffer>(NAME_CONSTRAINTS_MAX_SUBTREES).fill(within);

  const cases: Readonly<Record<string, readonly [Buffer, boolean]>> = {
    "that permit the name": [permitted(within), true],
    "that permit every name": [permitted(all), true],
    "with a dot before them": [permitted(subtree(DNS, ".example.com")), true],
    "that permit others": [permitted(subtree(DNS, "example.org")), false],
    "as many as we hold": [permitted(...many), true],
    "more than we hold": [permitted(...many, within), false],
    "with a minimum": [
      permitted(subtree(DNS, "example.com", encodeTlv(0x80, Buffer.of(1)))),
      false,
    ],
    "of directory names": [
      permitted(encodeSequence(encodeTlv(contextTag(4), encodeCommonName("leaf")))),
      false,
    ],
    "of addresses": [permitted(subtree(primitiveContextTag(7), "12345678")), false],
    "with a blank": [permitted(subtree(DNS, "exam ple.com")), false],
    "with a part that nobody knows": [encodeSequence(encodeTlv(contextTag(2), within)), false],
    "that are none": [encodeSmallInteger(1), false],
  };
  for (const [what, [constraints, isValid]] of Object.entries(cases))
    test(`${what}: ${isValid ? "valid" : "refused"}`, async () => {
      const path = await pathOf(constraints, host);
      if (isValid) await verifyChain(path);
      else await refuses(path, /does not permit/);
    });

  test("of URIs refuse addresses for hosts", async () => {
    const uris = permitted(subtree(primitiveContextTag(6), "192.0.2.1"));
    await refuses(await pathOf(uris, [{ kind: "uri", uri: "https://192.0.2.1/" }]));
    await verifyChain(await pathOf(uris, host));
  });
});
