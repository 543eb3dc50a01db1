import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPublicKey, type KeyObject } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { RegistrationRecord } from "../../../device/core/registration-record.ts";
import {
  formerCertificates,
  MAX_FORMER,
  parseRecord,
  serializeRecord,
} from "../../../device/core/registration-record.ts";
import {
  MAX_STORE_BYTES,
  readRegistration,
  writeRegistration,
} from "../../../device/io/registration-store.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { ConfigError } from "../../../runtime/config-file.ts";
import {
  makeAuthority,
  makeHost,
  makeUser,
  NOT_AFTER,
  NOT_BEFORE,
  NOW,
} from "../pki/make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const INSTANCE = "urn:uuid:00000000-0000-1000-8000-aabbccddeeff";

let folder: string;
let file: string;
let authority: Identity;
let alice: Identity;
let record: RegistrationRecord;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "kh-store-"));
  file = join(folder, "alice.json");
  authority = await makeAuthority();
  alice = await makeUser(authority, ALICE);
  const controller = await makeHost(authority, "ss1.atlanta.example.com");
  record = {
    ...{ aor: ALICE, instance: INSTANCE, privateKey: alice.privateKey },
    ...{ certificate: alice.certificate, former: [], chain: [authority.certificate] },
    location: { contact: "sip:alice@192.0.2.101:5061", isFlow: true, expiresAt: 1_000_000 },
    controllers: [controller.certificate],
    trust: [{ domain: "biloxi.example.com", anchors: [authority.certificate] }],
  };
});
after(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => rmSync(file, { recursive: true, force: true }));

const fields = ({ privateKey, ...rest }: RegistrationRecord) => ({
  ...rest,
  privateKey: privateKey?.export({ format: "pem", type: "pkcs8" }),
});

test("what is written is what is read, and its owner's alone", () => {
  writeRegistration(file, record);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const read = readRegistration(file, ALICE);
  assert.deepEqual(read && fields(read), fields(record));
});

test("without key, certificate and location it is a record as well", () => {
  const lists = { former: [], chain: [], controllers: [], trust: [] };
  const bare = { aor: ALICE, instance: INSTANCE, ...lists };
  assert.deepEqual(parseRecord(serializeRecord(bare)), bare);
});

test("a renewed certificate stays for those who asked before: of the same key, while it lasts", async () => {
  const { privateKey } = alice;
  const publicKey = createPublicKey(privateKey);
  const renewed = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((serial) => issued(publicKey, serial, NOT_AFTER)),
  );
  const over = await issued(publicKey, 7, new Date(NOW - 1));
  const other = await makeUser(authority, ALICE);
  const [current = assert.fail(), ...former] = renewed;
  const before = { ...record, former: [over, other.certificate, ...former] };
  assert.deepEqual(formerCertificates(before, current, NOW), [
    alice.certificate,
    ...former.slice(0, MAX_FORMER - 1),
  ]);
  assert.deepEqual(formerCertificates(before, other.certificate, NOW), []);
  assert.deepEqual(formerCertificates(undefined, current, NOW), []);
  assert.deepEqual(formerCertificates(before, undefined, NOW), []);
});

const issued = (publicKey: KeyObject, serial: number, notAfter: Date): Promise<Buffer> =>
  issueCertificate(
    {
      ...{ commonName: ALICE, publicKey, profile: "user", notAfter },
      alternativeNames: [{ kind: "uri", uri: ALICE }],
      serialNumber: Buffer.alloc(16, serial),
      notBefore: NOT_BEFORE,
    },
    authority,
  );

test("nothing is kept where there is no file", () => {
  assert.equal(readRegistration(file, ALICE), undefined);
});

test("replaced as a whole: nothing stays beside it, and what was left there does no harm", () => {
  writeRegistration(file, record);
  writeFileSync(`${file}.new`, "half of it");
  const { certificate: _gone, location: _gone2, ...withdrawn } = record;
  writeRegistration(file, withdrawn);
  assert.deepEqual(readdirSync(folder), ["alice.json"]);
  assert.equal(readRegistration(file, ALICE)?.certificate, undefined);
});

test("a write that fails leaves the old one as it was", () => {
  writeRegistration(file, record);
  const before = readFileSync(file, "utf8");
  mkdirSync(`${file}.new`);
  assert.throws(() => writeRegistration(file, { ...record, chain: [] }));
  assert.equal(readFileSync(file, "utf8"), before);
  rmSync(`${file}.new`, { recursive: true });
});

test("a disk that takes a part of it leaves the old one as it was", () => {
  writeRegistration(file, record);
  const before = readFileSync(file, "utf8");
  const store = join(import.meta.dirname, "../../../device/io/registration-store.ts");
  const script = `
    import { readRegistration, writeRegistration } from ${JSON.stringify(store)};
    const [, file, aor] = process.argv;
    try { writeRegistration(file, readRegistration(file, aor)); }
    catch (error) { console.log(error.code); }`;
  // The system takes what fits below the limit, says how much that was, and calls it well done.
  // Its coverage would be cut short as well, and with it the report of all.
  const limited = `unset NODE_V8_COVERAGE; trap '' XFSZ; ulimit -f 1; exec "$@"`;
  const node = [process.execPath, "--input-type=module", "-e", script, file, ALICE];
  const done = spawnSync("bash", ["-c", limited, "bash", ...node], { encoding: "utf8" });
  assert.equal(done.stdout, "EFBIG\n", done.stderr);
  assert.equal(readFileSync(file, "utf8"), before);
  assert.deepEqual(readdirSync(folder), ["alice.json"]);
});

test("a link in the place of the new file is not followed", () => {
  const victim = join(folder, "victim");
  writeFileSync(victim, "precious");
  symlinkSync(victim, `${file}.new`);
  writeRegistration(file, record);
  assert.equal(readFileSync(victim, "utf8"), "precious");
  rmSync(victim);
});

for (const mode of [0o640, 0o604, 0o660])
  test(`refused with mode ${mode.toString(8)}: others may read the key`, () => {
    writeRegistration(file, record);
    chmodSync(file, mode);
    assert.throws(() => readRegistration(file, ALICE), isFault(/chmod 600/));
  });

const written = (change: (document: Record<string, unknown>) => unknown) => () => {
  const document = JSON.parse(serializeRecord(record)) as Record<string, unknown>;
  return JSON.stringify(change(document));
};

const DAMAGES: readonly (readonly [name: string, text: () => string, reason: RegExp])[] = [
  ["empty", () => "", /damaged/],
  ["cut off", () => serializeRecord(record).slice(0, -100), /damaged/],
  ["no object", () => "[]", /damaged/],
  ["of a later version", written((all) => ({ ...all, version: 2 })), /damaged.*version/],
  ["with an unknown key", written((all) => ({ ...all, more: 1 })), /damaged/],
  ["with a bad key", written((all) => ({ ...all, privateKey: "PEM" })), /damaged.*privateKey/],
  ["with a bad certificate", written((all) => ({ ...all, certificate: "x" })), /certificate/],
  ["with a bad anchor", written((all) => ({ ...all, controllers: ["x"] })), /controllers/],
  ["with an odd instance", written((all) => ({ ...all, instance: "urn:x" })), /instance/],
  ["of no location", written((all) => ({ ...all, location: { contact: "x" } })), /location/],
  ["too large", () => " ".repeat(MAX_STORE_BYTES + 1), /too large/],
];

for (const [name, text, reason] of DAMAGES)
  test(`refused, and not overwritten: a store that is ${name}`, () => {
    writeFileSync(file, text(), { mode: 0o600 });
    assert.throws(() => readRegistration(file, ALICE), isFault(reason));
  });

test("refused: the key of another certificate", async () => {
  const other = await makeUser(authority, ALICE);
  writeFileSync(file, serializeRecord({ ...record, privateKey: other.privateKey }), {
    mode: 0o600,
  });
  assert.throws(() => readRegistration(file, ALICE), isFault(/damaged/));
});

test("refused: another user's, a folder, a link", () => {
  writeRegistration(file, record);
  assert.throws(
    () => readRegistration(file, "sip:bob@biloxi.example.com"),
    isFault(/another user/),
  );
  assert.throws(() => readRegistration(folder, ALICE), isFault(/not a regular file/));
  const link = join(folder, "link");
  symlinkSync(file, link);
  assert.throws(() => readRegistration(link, ALICE), isFault(/ELOOP/));
  rmSync(link);
});

test("no fault quotes the key", () => {
  const text = serializeRecord(record);
  writeFileSync(file, text.replace('"version": 1', '"version": 9'), { mode: 0o600 });
  assert.throws(
    () => readRegistration(file, ALICE),
    (error: Error) => !error.message.includes("PRIVATE") && !error.message.includes("MI"),
  );
});

const isFault =
  (reason: RegExp) =>
  (error: unknown): boolean =>
    error instanceof ConfigError && reason.test(error.message) && error.message.includes("store");
