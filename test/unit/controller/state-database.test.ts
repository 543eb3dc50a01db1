import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
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
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Binding } from "../../../controller/core/bindings.ts";
import {
  RETRY_MS,
  StateDatabase,
  type StateDatabaseSetting,
  type StoreFault,
} from "../../../controller/io/state-database.ts";
import { ConfigError } from "../../../runtime/config-file.ts";
import { NOW } from "./register-fixture.ts";

const root = mkdtempSync(join(tmpdir(), "keyhole-state-"));
after(() => rmSync(root, { recursive: true }));

let folders = 0;
function newFile(): string {
  folders += 1;
  const folder = join(root, String(folders));
  mkdirSync(folder);
  return join(folder, "state.db");
}

const open = (file: string, setting: Partial<StateDatabaseSetting> = {}): StateDatabase =>
  StateDatabase.open({ file, ...setting });

const binding = (user: number, parts: Partial<Binding> = {}): Binding => ({
  aor: `sip:user${user}@atlanta.example.com`,
  key: "sip:a@192.0.2.4",
  contact: "sip:a@192.0.2.4",
  params: [{ name: "methods", value: '"INVITE"' }],
  q: 0.5,
  expiresAt: NOW + 60_000,
  callId: "c",
  cseq: 1,
  path: ["<sip:p1;lr>"],
  direct: true,
  flow: "udp/1",
  received: { transport: "udp", address: "192.0.2.4", port: 5060 },
  addresses: ["192.0.2.4"],
  updatedAt: NOW,
  ...parts,
});
const put = (each: Binding) => ({ kind: "put", binding: each }) as const;

test("a binding keeps its certificate, and that it is hidden", () => {
  const file = newFile();
  const first = open(file);
  const certificate = { der: "MAA=", keyId: "00".repeat(32), notAfter: NOW + 30_000, issued: true };
  const certified = binding(1, { certificate, hidden: true });
  first.applyBindings([put(certified)]);
  first.close();
  const second = open(file);
  assert.deepEqual(second.bindings(NOW), [certified]);
  second.close();
});

test("what was committed is there when the file is opened again", () => {
  const file = newFile();
  const first = open(file);
  first.applyBindings([put(binding(1)), put(binding(2)), put(binding(3))]);
  first.applyBindings([{ kind: "delete", aor: binding(2).aor, key: binding(2).key }]);
  first.save("call", { id: "one", value: { side: "caller", tags: ["a", null] }, at: NOW });
  first.save("call", { id: "two", value: 2, at: NOW });
  first.save("session", { id: "one", value: "other table", at: NOW });
  first.delete("call", "two");
  first.close();
  const second = open(file);
  assert.deepEqual(second.bindings(NOW), [binding(1), binding(3)]);
  assert.deepEqual(second.entries("call"), [
    { id: "one", value: { side: "caller", tags: ["a", null] }, at: NOW },
  ]);
  assert.deepEqual(second.entries("session"), [{ id: "one", value: "other table", at: NOW }]);
  second.delete("call", "one");
  second.close();
  const third = open(file);
  assert.deepEqual(third.entries("call"), []);
  third.close();
});

test("a binding whose time is over is not given back, and leaves the file", () => {
  const file = newFile();
  const first = open(file);
  first.applyBindings([put(binding(1)), put(binding(2, { expiresAt: NOW }))]);
  first.close();
  const second = open(file);
  assert.deepEqual(second.bindings(NOW), [binding(1)]);
  second.close();
  const third = open(file);
  assert.equal(third.bindings(0).length, 1);
  third.close();
});

test("writes are committed at the end of the turn, asked for or not", async () => {
  const file = newFile();
  const database = open(file);
  database.save("call", { id: "one", value: 1, at: NOW });
  await new Promise(setImmediate);
  const copy = newFile();
  copyFileSync(file, copy);
  copyFileSync(`${file}-wal`, `${copy}-wal`);
  const seen = open(copy);
  assert.equal(seen.entries("call").length, 1);
  seen.close();
  database.close();
});

test("files are for the owner alone, also where the umask would let others in", () => {
  const file = newFile();
  const before = process.umask(0);
  try {
    const database = open(file);
    database.save("call", { id: "one", value: 1, at: NOW });
    database.commit();
    for (const name of readdirSync(join(file, "..")))
      assert.equal(statSync(join(file, "..", name)).mode & 0o777, 0o600, name);
    database.close();
    chmodSync(file, 0o644);
    open(file).close();
    assert.equal(statSync(file).mode & 0o777, 0o600);
  } finally {
    process.umask(before);
  }
});

test("what was deleted is not left in the file", () => {
  const file = newFile();
  const database = open(file);
  const mark = "a-mark-that-stands-nowhere-else";
  database.save("call", { id: "one", value: mark, at: NOW });
  database.commit();
  database.delete("call", "one");
  database.close();
  assert.ok(!existsSync(`${file}-wal`));
  assert.equal(readFileSync(file).indexOf(mark), -1);
});

const REFUSED: readonly [name: string, prepare: (file: string) => void, message: RegExp][] = [
  ["text", (file) => writeFileSync(file, "hello ".repeat(1000)), /damaged or no SQLite file/],
  ["octets gone from the middle", damage, /damaged or no SQLite file/],
  [
    "another program's",
    (file) => withDatabase(file, "CREATE TABLE t (a)"),
    /is a database of another program/,
  ],
  [
    "a newer release's",
    (file) => {
      open(file).close();
      withDatabase(file, "PRAGMA user_version = 2");
    },
    /has schema 2, and this program knows 1/,
  ],
  ["a folder", (file) => mkdirSync(file), /is not a regular file/],
  ["a link", (file) => symlinkSync("/dev/null", file), /is not a regular file/],
  [
    "in a folder that others write to",
    (file) => chmodSync(join(file, ".."), 0o777),
    /others may write to its folder/,
  ],
  [
    "in a folder that is not there",
    (file) => rmSync(join(file, ".."), { recursive: true }),
    /its folder is not there/,
  ],
];

function withDatabase(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

function damage(file: string): void {
  const database = open(file);
  for (let id = 0; id < 200; id += 1)
    database.save("call", { id: `${id}`, value: "x".repeat(500), at: NOW });
  database.close();
  const octets = readFileSync(file);
  octets.fill(0xff, 4096, 4096 * 4);
  writeFileSync(file, octets);
}

for (const [name, prepare, message] of REFUSED)
  test(`refused with its name and what to do: ${name}`, () => {
    const file = newFile();
    prepare(file);
    assert.throws(
      () => open(file),
      (error) =>
        error instanceof ConfigError &&
        error.message.startsWith(file) &&
        message.test(error.message),
    );
  });

test("refused: another user's", {
  skip: process.geteuid?.() !== 0 && "only root can give a file away",
}, () => {
  const file = newFile();
  open(file).close();
  chownSync(file, 65_534, 65_534);
  assert.throws(() => open(file), /belongs to user 65534/);
});

test("refused: two controllers with one file", () => {
  const file = newFile();
  const first = open(file);
  assert.throws(() => open(file), /in use by another process/);
  first.close();
  open(file).close();
});

test("a disk that is full is told once; memory goes on, and later all is written", () => {
  const file = newFile();
  const faults: StoreFault[] = [];
  let now = NOW;
  const setting = {
    maxBytes: 64 * 1024,
    clock: () => now,
    onFault: (f: StoreFault) => faults.push(f),
  };
  const database = open(file, setting);
  database.save("call", { id: "small", value: 1, at: NOW });
  database.commit();
  database.save("call", { id: "large", value: "x".repeat(200_000), at: NOW });
  database.save("call", { id: "after", value: 3, at: NOW });
  database.commit();
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ["failed"],
  );
  now += RETRY_MS;
  database.commit();
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ["failed"],
  );
  database.delete("call", "large");
  database.commit();
  assert.equal(faults.length, 1, "not tried again before its time");
  now += RETRY_MS;
  database.commit();
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ["failed", "recovered"],
  );
  database.close();
  const again = open(file);
  assert.deepEqual(
    again.entries("call").map(({ id }) => id),
    ["small", "after"],
  );
  again.close();
});

test("any writes and commits, and the file says what memory would", () => {
  const step = fc.record({
    table: fc.constantFrom("call" as const, "session" as const),
    id: fc.constantFrom("a", "b", "c"),
    value: fc.option(fc.jsonValue(), { nil: undefined }),
    commit: fc.boolean(),
    reopen: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const file = newFile();
      let database = open(file);
      const wanted = { call: new Map<string, unknown>(), session: new Map<string, unknown>() };
      for (const { table, id, value, commit, reopen } of steps) {
        if (value === undefined) {
          wanted[table].delete(id);
          database.delete(table, id);
        } else {
          wanted[table].set(id, JSON.parse(JSON.stringify(value)));
          database.save(table, { id, value, at: NOW });
        }
        if (commit) database.commit();
        if (!reopen) continue;
        database.close();
        database = open(file);
      }
      database.close();
      const found = open(file);
      for (const table of ["call", "session"] as const)
        assert.deepEqual(
          new Map(found.entries(table).map(({ id, value }) => [id, value])),
          wanted[table],
        );
      found.close();
    }),
    { numRuns: 25 },
  );
});

const KILLS = 6;

test("kill -9 at any moment: all that was acknowledged is there", async () => {
  const file = newFile();
  let acknowledged = -1;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const from = acknowledged + 1;
    const child = spawn(process.execPath, [WRITER, file, String(from)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      acknowledged = Number(line);
      // Some hundred writes after the first, wherever it then stands.
      if (acknowledged === from + 50 * (kill + 1)) child.kill("SIGKILL");
    });
    const closed = once(lines, "close");
    await once(child, "exit");
    await closed;
    const database = open(file);
    const ids = new Set(database.entries("call").map(({ id }) => id));
    const aors = new Set(database.bindings(NOW).map(({ aor }) => aor));
    for (let n = 0; n <= acknowledged; n += 1) {
      assert.equal(ids.has(`call${n}`), n % 3 !== 0, `call ${n}`);
      assert.ok(aors.has(binding(n).aor), `binding ${n}`);
    }
    database.close();
  }
  assert.ok(acknowledged >= 50 * KILLS);
});

const WRITER = fileURLToPath(import.meta.resolve("./state-writer.ts"));
