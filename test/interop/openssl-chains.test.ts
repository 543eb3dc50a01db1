import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isProtocolError } from "../../protocol/errors.ts";
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import { decodeCrl } from "../../protocol/pki/crl.ts";
import { verifyChain } from "../../protocol/pki/verify-chain.ts";
import {
  CERTIFICATES,
  EC,
  LISTS,
  type Made,
  type MadeList,
  PATHS,
  type Path,
  VALID_DAYS,
} from "./chain-cases.ts";
import { OpensslBench } from "./openssl-command.ts";

const DAY_MS = 24 * 3600 * 1000;
const PURPOSES = { "tls-client": "sslclient", "tls-server": "sslserver" } as const;

let bench: OpensslBench;
let now: number;

before(() => {
  bench = new OpensslBench();
  Object.entries(CERTIFICATES).forEach(([name, made], index) => {
    makeCertificate(name, made, index + 1);
  });
  Object.entries(LISTS).forEach(([name, list]) => {
    makeList(name, list);
  });
  now = Date.now() + 60_000;
});
after(() => bench.remove());

function run(args: readonly string[]): void {
  const { status, stderr } = bench.run(args);
  assert.equal(status, 0, stderr);
}

function makeCertificate(name: string, made: Made, serial: number): void {
  run(["genpkey", ...(made.key ?? EC), "-out", `${name}.key`]);
  const subject = ["-subj", `/CN=${made.subject ?? name}`];
  run(["req", "-new", "-key", `${name}.key`, ...subject, "-out", "csr"]);
  bench.write("extensions", made.extensions.join("\n"));
  const options = ["-in", "csr", "-extfile", "extensions", "-out", `${name}.pem`];
  if (made.startsInDays !== undefined) {
    const [from, until] = [made.startsInDays, made.startsInDays + (made.days ?? 0)].map(dateIn);
    const dates = ["-startdate", String(from), "-enddate", String(until)];
    run(["ca", ...authority(made.issuer ?? ""), "-notext", ...dates, ...options]);
    return;
  }
  const by = made.issuer
    ? ["-CA", `${made.issuer}.pem`, "-CAkey", `${made.issuer}.key`]
    : ["-signkey", `${name}.key`];
  const dates = ["-days", String(made.days ?? VALID_DAYS), "-set_serial", String(serial)];
  run(["x509", "-req", ...by, made.digest ?? "-sha256", ...dates, ...options]);
}

function makeList(name: string, { issuer, revoked, days = VALID_DAYS }: MadeList): void {
  const by = authority(issuer, name);
  for (const leaf of revoked)
    run(["ca", ...by, "-revoke", `${leaf}.pem`, "-crl_reason", "keyCompromise"]);
  run(["ca", ...by, "-gencrl", "-crldays", String(days), "-out", `${name}.crl`]);
}

/** `openssl ca` with books of its own. */
function authority(issuer: string, books = issuer): readonly string[] {
  bench.write(`${books}.index`, "");
  bench.write(`${books}.number`, "1000\n");
  const lines = [
    "[ca]",
    "default_ca = here",
    "[here]",
    `database = ${books}.index`,
    `crlnumber = ${books}.number`,
    "serial = serial",
    "rand_serial = yes",
    `certificate = ${issuer}.pem`,
    `private_key = ${issuer}.key`,
    "new_certs_dir = .",
    "default_md = sha256",
    "policy = any",
    "[any]",
    "commonName = supplied",
  ];
  bench.write(`${books}.cnf`, lines.join("\n"));
  return ["-config", `${books}.cnf`, "-batch"];
}

/** As `openssl ca` reads dates. */
function dateIn(days: number): string {
  const iso = new Date(Date.now() + days * DAY_MS).toISOString();
  return iso.replaceAll(/[-:T]|\.\d+/g, "");
}

const derOf = (name: string): Buffer =>
  new X509Certificate(readFileSync(join(bench.directory, `${name}.pem`))).raw;

function listOf(name: string) {
  const args = ["crl", "-in", `${name}.crl`, "-outform", "DER"];
  return decodeCrl(bench.run(args).stdout);
}

async function isAccepted(path: Path, at: number): Promise<boolean> {
  try {
    await verifyChain({
      certificate: decodeCertificate(derOf(path.leaf)),
      intermediates: (path.through ?? []).map((name) => decodeCertificate(derOf(name))),
      anchors: [derOf(path.anchor ?? "root")],
      now: at,
      ...(path.purpose === undefined ? {} : { purpose: path.purpose }),
      ...(path.lists === undefined ? {} : { crls: path.lists.map(listOf) }),
    });
    return true;
  } catch (error) {
    assert.ok(isProtocolError(error, "ERR_CERTIFICATE"), String(error));
    return false;
  }
}

function isAcceptedByOpenssl(path: Path, at: number): boolean {
  const through = (path.through ?? []).flatMap((name) => ["-untrusted", `${name}.pem`]);
  const purpose = path.purpose === undefined ? [] : ["-purpose", PURPOSES[path.purpose]];
  const lists = (path.lists ?? []).flatMap((name) => ["-CRLfile", `${name}.crl`]);
  const check = path.lists === undefined ? [] : [path.through ? "-crl_check_all" : "-crl_check"];
  const when = ["-attime", String(Math.floor(at / 1000)), "-auth_level", "0"];
  const anchor = ["-CAfile", `${path.anchor ?? "root"}.pem`];
  const all = [...when, ...purpose, ...check, ...lists, ...anchor, ...through];
  return bench.run(["verify", ...all, `${path.leaf}.pem`]).status === 0;
}

function titleOf(path: Path): string {
  const chain = [path.leaf, ...(path.through ?? []), path.anchor ?? "root"].join(" < ");
  const lists = path.lists === undefined ? "" : ` with ${path.lists.join(", ")}`;
  const purpose = path.purpose === undefined ? "" : ` as ${path.purpose}`;
  const days = path.afterDays === undefined ? "" : ` after ${path.afterDays} days`;
  const why = path.stricter ?? path.because;
  const verdict = path.isValid ? "valid" : "refused";
  return `${chain}${purpose}${lists}${days}: ${verdict}${why ? `: ${why}` : ""}`;
}

describe("paths, beside OpenSSL's verdict", () => {
  for (const path of PATHS)
    test(titleOf(path), async () => {
      const at = now + (path.afterDays ?? 0) * DAY_MS;
      assert.equal(await isAccepted(path, at), path.isValid);
      assert.equal(isAcceptedByOpenssl(path, at), path.isValid || path.stricter !== undefined);
    });

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

  test("OpenSSL's list says number, reasons and dates", () => {
    const list = listOf("root-list");
    const { serial } = decodeCertificate(derOf("second-user"));
    assert.equal(list.number, "1000");
    assert.deepEqual([...list.revoked.keys()], [serial]);
    assert.equal(list.revoked.get(serial)?.reason, 1);
    assert.equal(list.nextUpdate - list.thisUpdate, VALID_DAYS * DAY_MS);
  });
});
