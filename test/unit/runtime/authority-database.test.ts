import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import {
  AuthorityDatabase,
  BUSY_TIMEOUT_MS,
  EXPIRED_KEPT_MS,
} from "../../../runtime/authority-database.ts";
import { ConfigError } from "../../../runtime/config-file.ts";
import { SQLITE_BUSY } from "../../../runtime/private-database.ts";
import { ALICE, BOB, issued, randomHex } from "./issued.ts";

const folder = mkdtempSync(join(tmpdir(), "keyhole-authority-"));
let count = 0;
let file: string;
let database: AuthorityDatabase;
const children: ChildProcess[] = [];

beforeEach(() => {
  count += 1;
  file = join(folder, `${count}.sqlite`);
  database = AuthorityDatabase.open(file);
});
afterEach(() => {
  database.close();
  for (const child of children.splice(0)) child.kill("SIGKILL");
});
after(() => rmSync(folder, { recursive: true, force: true }));

const start = (...args: readonly string[]): ChildProcess => {
  const script = join(import.meta.dirname, "authority-process.ts");
  const child = spawn(process.execPath, [script, file, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
};

/** What a second process says until it ends. */
async function run(...args: readonly string[]): Promise<readonly unknown[]> {
  const child = start(...args);
  assert.ok(child.stdout);
  const said: unknown[] = [];
  for await (const line of createInterface(child.stdout)) said.push(JSON.parse(line));
  if (child.exitCode === null) await once(child, "exit");
  assert.equal(child.exitCode, 0);
  return said;
}

const RECORDED = { kind: "recorded" };
const OF_ANOTHER = { kind: "refused", reason: "key-of-another" };
const REVOKED = { kind: "refused", reason: "key-revoked" };
const REVOCATION = { at: 5000, reason: "superseded" } as const;

describe("a key", () => {
  test("belongs to whom it was certified for first, who may have it certified again", async () => {
    const first = issued({});
    assert.equal(database.ownerOf(first.keyId), undefined);
    assert.deepEqual(await database.record(first, 0), RECORDED);
    assert.equal(database.ownerOf(first.keyId), ALICE);
    assert.deepEqual(
      await database.record(issued({ aor: BOB, keyId: first.keyId }), 0),
      OF_ANOTHER,
    );
    assert.deepEqual(await database.record(issued({ keyId: first.keyId }), 0), RECORDED);
    assert.deepEqual(
      database.list().map(({ aor }) => aor),
      [ALICE, ALICE],
    );
  });

  test("asked for by two users in one turn goes to the first", async () => {
    const keyId = randomHex(32);
    const outcomes = await Promise.all([
      database.record(issued({ keyId }), 0),
      database.record(issued({ aor: BOB, keyId }), 0),
      database.record(issued({ aor: BOB }), 0),
    ]);
    assert.deepEqual(outcomes, [RECORDED, OF_ANOTHER, RECORDED]);
    assert.equal(database.ownerOf(keyId), ALICE);
    assert.equal(database.list().length, 2);
  });

  test("that another authority certified is its user's as well", async () => {
    const keyId = randomHex(32);
    assert.deepEqual(await database.adoptKey({ keyId, aor: BOB }), RECORDED);
    assert.deepEqual(await database.record(issued({ keyId }), 0), OF_ANOTHER);
    assert.deepEqual(database.list(), []);
    assert.equal(database.hasIssued(keyId), false);
    database.revoke({ kind: "aor", aor: BOB }, REVOCATION);
    assert.equal(database.isRevoked({ keyId }), true);
    assert.deepEqual(await database.adoptKey({ keyId, aor: BOB }), REVOKED);
  });
});

describe("a revocation", () => {
  test("by serial number takes the key and every certificate of it", async () => {
    const first = issued({ serial: "5fab" });
    const refreshed = issued({ keyId: first.keyId });
    const other = issued({});
    for (const each of [first, refreshed, other]) await database.record(each, 0);
    const outcome = database.revoke({ kind: "serial", serial: "5FAB" }, REVOCATION);
    assert.ok(outcome.kind === "revoked");
    const revoked = [first, refreshed].map((each) => ({ ...each, revocation: REVOCATION }));
    assert.deepEqual(outcome.certificates, revoked);
    assert.deepEqual(database.revocations(0), revoked);
    assert.equal(database.isRevoked(first), true);
    assert.equal(database.isRevoked(other), false);
    assert.deepEqual(await database.record(issued({ keyId: first.keyId }), 0), REVOKED);
    assert.equal(database.list().length, 3);
  });

  test("by user takes all of his keys and nobody else's", async () => {
    const [first, second, bobs] = [issued({}), issued({}), issued({ aor: BOB })];
    for (const each of [first, second, bobs]) await database.record(each, 0);
    database.revoke({ kind: "aor", aor: ALICE }, REVOCATION);
    assert.deepEqual(
      [first, second, bobs].map((each) => database.isRevoked(each)),
      [true, true, false],
    );
    assert.deepEqual(
      database.list({ aor: BOB }).map(({ revocation }) => revocation),
      [undefined],
    );
    assert.deepEqual(await database.record(issued({}), 0), RECORDED, "with a new key he may");
  });

  test("is told once, and grows the revision", async () => {
    const certificate = issued({});
    await database.record(certificate, 0);
    const target = { kind: "serial", serial: certificate.serial } as const;
    const revision = database.revocationRevision();
    assert.equal(database.revoke(target, REVOCATION).kind, "revoked");
    assert.equal(database.revocationRevision(), revision + 1);
    assert.equal(database.revoke(target, { ...REVOCATION, at: 1 }).kind, "already-revoked");
    assert.equal(database.revocations(0)[0]?.revocation?.at, REVOCATION.at);
    assert.equal(database.revoke({ kind: "serial", serial: "00" }, REVOCATION).kind, "unknown");
    assert.equal(database.revoke({ kind: "aor", aor: BOB }, REVOCATION).kind, "unknown");
    assert.equal(database.revocationRevision(), revision + 1);
  });

  test("is asked for by when its certificate would have ended", async () => {
    for (const notAfter of [1000, 2000]) await database.record(issued({ notAfter }), 0);
    database.revoke({ kind: "aor", aor: ALICE }, REVOCATION);
    assert.deepEqual(
      [1000, 1001, 2001].map((since) => database.revocations(since).length),
      [2, 1, 0],
    );
  });
});

describe("the file", () => {
  test("is its owner's alone, and opens again with what it held", async () => {
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const certificate = issued({});
    void database.record(certificate, 0); // still waits for the end of this turn
    database.close();
    database = AuthorityDatabase.open(file, { mustExist: true });
    assert.deepEqual(database.list(), [certificate]);
  });

  test("that is none, or not there where it must be, is a fault of the configuration", () => {
    const none = join(folder, "none.sqlite");
    assert.throws(() => AuthorityDatabase.open(none, { mustExist: true }), ConfigError);
    assert.throws(() => statSync(none));
    writeFileSync(none, "no database at all, but long enough to be taken for one");
    assert.throws(() => AuthorityDatabase.open(none), ConfigError);
  });

  test("forgets what expired long ago, but nothing revoked", async () => {
    const [expired, revoked] = [issued({ notAfter: 1 }), issued({ aor: BOB, notAfter: 1 })];
    for (const each of [expired, revoked]) await database.record(each, 0);
    database.revoke({ kind: "aor", aor: BOB }, REVOCATION);
    const later = EXPIRED_KEPT_MS + 1;
    for (let count = 0; count < 64; count += 1)
      await database.record(issued({ notAfter: later }), later);
    assert.ok(database.list().some(({ serial }) => serial === expired.serial));
    for (let count = 0; count < 64; count += 1)
      await database.record(issued({ notAfter: later }), later + 1);
    const serials = database.list().map(({ serial }) => serial);
    assert.equal(serials.includes(expired.serial), false);
    assert.equal(serials.includes(revoked.serial), true);
    assert.equal(serials.length, 129);
    assert.equal(database.ownerOf(expired.keyId), ALICE, "the key stays his");
  });

  test("that another process keeps locked refuses, and records nothing", async () => {
    const other = new DatabaseSync(file);
    other.exec("BEGIN IMMEDIATE");
    const waiting = [database.record(issued({}), 0), database.adoptKey({ keyId: "a", aor: BOB })];
    const outcomes = await Promise.allSettled(waiting);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["rejected", "rejected"],
    );
    other.exec("ROLLBACK");
    other.close();
    assert.deepEqual(database.list(), []);
    assert.deepEqual(await database.record(issued({}), 0), RECORDED);
  });
});

describe("two processes", () => {
  test("see each other's revocations at the next question", async () => {
    const certificate = issued({});
    await database.record(certificate, 0);
    const revision = database.revocationRevision();
    assert.equal(database.isRevoked(certificate), false);
    assert.deepEqual(await run("revoke", ALICE), ["revoked"]);
    assert.equal(database.isRevoked(certificate), true);
    assert.equal(database.revocationRevision(), revision + 1);
    assert.deepEqual(await database.record(certificate, 0), REVOKED);
  });

  test("never certify one key for two users", async () => {
    const keyIds = Array.from({ length: 60 }, () => randomHex(32));
    const theirs = run("claim", BOB, ...keyIds);
    const ours: string[] = [];
    for (const keyId of keyIds.toReversed()) {
      ours.unshift((await database.record(issued({ keyId }), 0)).kind);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    (await theirs).forEach((kind, at) => {
      assert.deepEqual([kind, ours[at]].sort(), ["recorded", "refused"]);
    });
    assert.equal(database.list().length, keyIds.length);
  });

  test("never number two lists alike", async () => {
    const theirs = await Promise.all([run("number"), run("number")]);
    const numbers = [...theirs.flat(), database.nextCrlNumber()].map(Number);
    assert.deepEqual(
      numbers.sort((one, other) => one - other),
      Array.from({ length: 41 }, (_, at) => at + 1),
    );
  });

  test("may both be the first to open it", async () => {
    database.close();
    rmSync(file);
    const said = await Promise.all([ALICE, BOB, ALICE].map((aor) => run("claim", aor, aor)));
    assert.deepEqual(said, [["recorded"], ["recorded"], ["recorded"]]);
    database = AuthorityDatabase.open(file);
    assert.equal(database.list().length, 3);
  });
});

test("while another process writes, recording waits and nothing else does", async () => {
  const other = new DatabaseSync(file);
  other.exec("BEGIN IMMEDIATE");
  const [first, second] = [issued({}), issued({})];
  const begun = performance.now();
  const recorded = database.record(first, 0);
  await new Promise((resolve) => setImmediate(setImmediate, resolve));
  const late = database.record(second, 0);
  assert.equal(database.ownerOf(first.keyId), undefined);
  assert.ok(performance.now() - begun < BUSY_TIMEOUT_MS / 2, "the event loop stood still");
  other.exec("ROLLBACK");
  other.close();
  assert.deepEqual(await Promise.all([recorded, late]), [RECORDED, RECORDED]);
});

test("who keeps the database to himself for too long is told of", async () => {
  const other = new DatabaseSync(file);
  other.exec("BEGIN IMMEDIATE");
  await assert.rejects(database.record(issued({}), 0), { errcode: SQLITE_BUSY });
  other.exec("ROLLBACK");
  other.close();
  assert.deepEqual(await database.record(issued({}), 0), RECORDED);
});

test("what was recorded outlives `kill -9` between record and answer", async () => {
  const child = start("endless");
  assert.ok(child.stdout);
  const serials: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    serials.push(String(JSON.parse(line)));
    if (serials.length === 50) child.kill("SIGKILL");
  }
  database.close();
  database = AuthorityDatabase.open(file);
  const recorded = database.list();
  const found = new Set(recorded.map(({ serial }) => serial));
  assert.ok(serials.length >= 50);
  assert.deepEqual(
    serials.filter((serial) => !found.has(serial)),
    [],
  );
  const [one] = recorded;
  assert.ok(one);
  const again = { ...issued({}), keyId: one.keyId };
  assert.deepEqual(await database.record(again, 0), RECORDED, "whoever got no answer asks again");
});
