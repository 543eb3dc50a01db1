import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isProtocolError } from "../../protocol/errors.ts";
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import { CHAIN_MAX_INTERMEDIATES, verifyChain } from "../../protocol/pki/verify-chain.ts";
import { OpensslBench } from "./openssl-command.ts";

const DAY_MS = 24 * 3600 * 1000;
const VALID_DAYS = 10;
const AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
const USER = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature"];

interface Made {
  readonly subject?: string;
  /** Name of the issuer's files; its own key if absent. */
  readonly issuer?: string;
  readonly extensions: readonly string[];
  readonly key?: readonly string[];
  readonly digest?: string;
}

const EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const EC384 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA1024 = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];

/** Every certificate of the test, each after its issuer. */
const CERTIFICATES: Readonly<Record<string, Made>> = {
  root: { extensions: AUTHORITY },
  "short-root": {
    extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=keyCertSign"],
  },
  "other-root": { subject: "root", extensions: AUTHORITY },
  "rsa-root": { extensions: AUTHORITY, key: RSA },
  user: { issuer: "root", extensions: USER },
  middle: { issuer: "root", extensions: AUTHORITY },
  "middle-user": { issuer: "middle", extensions: USER },
  "short-user": { issuer: "short-root", extensions: USER },
  "short-middle": { issuer: "short-root", extensions: AUTHORITY },
  "short-middle-user": { issuer: "short-middle", extensions: USER },
  "user-user": { issuer: "user", extensions: USER },
  "mute-middle": { issuer: "root", extensions: ["basicConstraints=CA:TRUE", "keyUsage=cRLSign"] },
  "mute-middle-user": { issuer: "mute-middle", extensions: USER },
  "odd-user": { issuer: "root", extensions: [...USER, "1.2.3.4=critical,ASN1:NULL"] },
  "odd-harmless-user": { issuer: "root", extensions: [...USER, "1.2.3.4=ASN1:NULL"] },
  "bound-middle": {
    issuer: "root",
    extensions: [...AUTHORITY, "nameConstraints=critical,permitted;DNS:example.com"],
  },
  "bound-middle-user": { issuer: "bound-middle", extensions: USER },
  "sha1-user": { issuer: "root", extensions: USER, digest: "-sha1" },
  "sha384-user": { issuer: "root", extensions: USER, digest: "-sha384" },
  "p384-user": { issuer: "root", extensions: USER, key: EC384 },
  "rsa-user": { issuer: "rsa-root", extensions: USER, key: RSA },
  "weak-user": { issuer: "root", extensions: USER, key: RSA1024 },
  "ed25519-user": { issuer: "root", extensions: USER, key: ["-algorithm", "ED25519"] },
  "level-1": { issuer: "root", extensions: AUTHORITY },
  "level-2": { issuer: "level-1", extensions: AUTHORITY },
  "level-3": { issuer: "level-2", extensions: AUTHORITY },
  "level-4": { issuer: "level-3", extensions: AUTHORITY },
  "level-4-user": { issuer: "level-4", extensions: USER },
  "level-5": { issuer: "level-4", extensions: AUTHORITY },
  "level-5-user": { issuer: "level-5", extensions: USER },
};

interface Path {
  readonly leaf: string;
  readonly through?: readonly string[];
  readonly anchor?: string;
  readonly isValid: boolean;
  /** Why we refuse what OpenSSL takes. */
  readonly stricter?: string;
}

const LEVELS = ["level-1", "level-2", "level-3", "level-4"];
const PATHS: readonly Path[] = [
  { leaf: "user", isValid: true },
  { leaf: "user", through: ["middle"], isValid: true },
  { leaf: "user", anchor: "other-root", isValid: false },
  { leaf: "middle-user", through: ["middle"], isValid: true },
  { leaf: "middle-user", through: ["user", "middle"], isValid: true },
  { leaf: "middle-user", isValid: false },
  { leaf: "short-user", anchor: "short-root", isValid: true },
  { leaf: "short-middle-user", through: ["short-middle"], anchor: "short-root", isValid: false },
  { leaf: "user-user", through: ["user"], isValid: false },
  { leaf: "mute-middle-user", through: ["mute-middle"], isValid: false },
  { leaf: "odd-user", isValid: false },
  { leaf: "odd-harmless-user", isValid: true },
  { leaf: "bound-middle-user", through: ["bound-middle"], isValid: true },
  { leaf: "sha1-user", isValid: false, stricter: "SHA-1" },
  { leaf: "sha384-user", isValid: true },
  { leaf: "p384-user", isValid: true },
  { leaf: "rsa-user", anchor: "rsa-root", isValid: true },
  { leaf: "weak-user", isValid: false, stricter: "RSA of 1024 bits" },
  { leaf: "ed25519-user", isValid: false, stricter: "a key that we do not verify with" },
  { leaf: "level-4-user", through: LEVELS, isValid: true },
  {
    leaf: "level-5-user",
    through: [...LEVELS, "level-5"],
    isValid: false,
    stricter: `more than ${CHAIN_MAX_INTERMEDIATES} intermediates`,
  },
];

let bench: OpensslBench;
let now: number;

before(() => {
  bench = new OpensslBench();
  const run = (args: readonly string[]): void => {
    const { status, stderr } = bench.run(args);
    assert.equal(status, 0, stderr);
  };
  Object.entries(CERTIFICATES).forEach(([name, made], index) => {
    run(["genpkey", ...(made.key ?? EC), "-out", `${name}.key`]);
    run([
      "req",
      "-new",
      "-key",
      `${name}.key`,
      "-subj",
      `/CN=${made.subject ?? name}`,
      "-out",
      "csr",
    ]);
    bench.write("extensions", made.extensions.join("\n"));
    const by = made.issuer
      ? ["-CA", `${made.issuer}.pem`, "-CAkey", `${made.issuer}.key`]
      : ["-signkey", `${name}.key`];
    const dates = ["-days", String(VALID_DAYS), "-set_serial", String(index + 1)];
    const options = ["-extfile", "extensions", made.digest ?? "-sha256", ...dates];
    run(["x509", "-req", "-in", "csr", ...by, ...options, "-out", `${name}.pem`]);
  });
  now = Date.now() + 60_000;
});
after(() => bench.remove());

const derOf = (name: string): Buffer =>
  new X509Certificate(readFileSync(join(bench.directory, `${name}.pem`))).raw;

async function isAccepted(path: Path, at: number): Promise<boolean> {
  try {
    await verifyChain({
      certificate: decodeCertificate(derOf(path.leaf)),
      intermediates: (path.through ?? []).map((name) => decodeCertificate(derOf(name))),
      anchors: [derOf(path.anchor ?? "root")],
      now: at,
    });
    return true;
  } catch (error) {
    assert.ok(isProtocolError(error, "ERR_CERTIFICATE"), String(error));
    return false;
  }
}

function isAcceptedByOpenssl(path: Path, at: number): boolean {
  const through = (path.through ?? []).flatMap((name) => ["-untrusted", `${name}.pem`]);
  const when = ["-attime", String(Math.floor(at / 1000)), "-auth_level", "0"];
  const anchor = ["-CAfile", `${path.anchor ?? "root"}.pem`];
  return bench.run(["verify", ...when, ...anchor, ...through, `${path.leaf}.pem`]).status === 0;
}

describe("paths, beside OpenSSL's verdict", () => {
  for (const path of PATHS) {
    const by = ["", ...(path.through ?? []), path.anchor ?? "root"].join(" < ");
    const verdict = path.isValid
      ? "valid"
      : `refused${path.stricter ? ` for ${path.stricter}` : ""}`;
    test(`${path.leaf}${by}: ${verdict}`, async () => {
      assert.equal(await isAccepted(path, now), path.isValid);
      assert.equal(isAcceptedByOpenssl(path, now), path.isValid || path.stricter !== undefined);
    });
  }

  for (const days of [-1, VALID_DAYS + 1])
    test(`${days} days from now nothing is valid`, async () => {
      const path = { leaf: "user", isValid: false };
      assert.equal(await isAccepted(path, now + days * DAY_MS), false);
      assert.equal(isAcceptedByOpenssl(path, now + days * DAY_MS), false);
    });

  test("a certificate that is itself an anchor needs no issuer, but valid dates", async () => {
    assert.equal(await isAccepted({ leaf: "user", anchor: "user", isValid: true }, now), true);
    const later = now + (VALID_DAYS + 1) * DAY_MS;
    assert.equal(await isAccepted({ leaf: "user", anchor: "user", isValid: true }, later), false);
  });

  test("among anchors of one name the one that signed is found", async () => {
    const certificate = decodeCertificate(derOf("user"));
    const anchors = [derOf("other-root"), derOf("rsa-root"), derOf("root")];
    await verifyChain({ certificate, intermediates: [], anchors, now });
  });
});
