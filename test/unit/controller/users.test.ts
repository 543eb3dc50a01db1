import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import type { User } from "../../../controller/core/users.ts";
import { readPassword } from "../../../controller/io/read-password.ts";
import { type UserSources, UserStore } from "../../../controller/io/user-store.ts";
import { users } from "../../../controller/users-command.ts";
import { Secret } from "../../../protocol/secret.ts";
import { digestHa1 } from "../../../protocol/sip/digest.ts";
import { ConfigError } from "../../../runtime/config-file.ts";

const root = mkdtempSync(join(tmpdir(), "keyhole-users-"));
after(() => rmSync(root, { recursive: true }));
let files = 0;
const newFile = (ending: string): string => {
  files += 1;
  return join(root, `${files}.${ending}`);
};

const ALICE = "sip:alice@example.com";
const BOB = "sip:bob@example.com";
const KINDS = [
  ["--users", "toml"],
  ["--database", "db"],
] as const;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(argv: readonly string[], input = ""): Promise<Ran> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(input);
  const code = await users(argv, { stdin, stdout, stderr });
  return { code, out: textOf(stdout), err: textOf(stderr) };
}

function textOf(stream: PassThrough): string {
  let text = "";
  for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) text += chunk;
  return text;
}

const sourcesOf = (option: string, file: string, rows: readonly User[] = []): UserSources => ({
  rows,
  book: option === "--users" ? { file } : { database: file },
  domains: ["example.com"],
  mustRecord: true,
});

const ROW: User = {
  aor: ALICE,
  addresses: [],
  requireSealed: false,
  mustRecord: false,
};

for (const [option, ending] of KINDS) {
  test(`${option}: a user added is found with his digests and rules`, async () => {
    const file = newFile(ending);
    const rules = ["--md5", "--require-sealed", "--no-record", "--max-calls", "3"];
    const places = ["--may-call", "sip:*@example.com", "--address", "2001:DB8::1"];
    const added = await run(["add", ALICE, option, file, ...rules, ...places], "Zanzibar\n");
    assert.deepEqual(added, { code: 0, out: "", err: "" });
    await run(["add", BOB, option, file, "--no-password"]);
    const store = UserStore.open(sourcesOf(option, file));
    const alice = store.find(ALICE);
    const expected = digestHa1("alice", "example.com", new Secret(Buffer.from("Zanzibar")));
    assert.equal(alice?.ha1?.sha256?.expose().toString(), expected.expose().toString());
    assert.match(alice?.ha1?.md5?.expose().toString() ?? "", /^[0-9a-f]{32}$/);
    const { ha1: _secret, ...rest } = alice ?? ROW;
    assert.deepEqual(rest, {
      aor: ALICE,
      addresses: ["2001:db8::1"],
      requireSealed: true,
      mustRecord: false,
      mayCall: ["sip:*@example.com"],
      maxCalls: 3,
    });
    assert.equal(store.find(BOB)?.ha1, undefined);
    assert.equal(store.find(BOB)?.mustRecord, true, "as the configuration says");
    assert.equal(store.find("sip:eve@example.com"), undefined);
  });

  test(`${option}: a shared key is kept out of sight, and may be of 16 or 32 octets only`, async () => {
    const file = newFile(ending);
    const key = newFile("key");
    const digits = "0123456789ABCDEF".repeat(4);
    writeFileSync(key, `${digits}\n`);
    const add = ["add", ALICE, option, file, "--no-password", "--shared-key", key];
    assert.deepEqual(await run(add), { code: 0, out: "", err: "" });
    const alice = UserStore.open(sourcesOf(option, file)).find(ALICE);
    assert.deepEqual(alice?.sharedKey?.expose(), Buffer.from(digits, "hex"));
    const { out } = await run(["list", option, file]);
    assert.equal(out, `${ALICE}  certificate only, shared key, 10 calls at a time\n`);
    for (const wrong of [digits.slice(2), "", "no key"]) {
      writeFileSync(key, wrong);
      const refused = await run([...add, "--replace"]);
      assert.equal(refused.code, 64);
      assert.match(refused.err, /32 or 64 hexadecimal digits|cannot be read/);
    }
    assert.equal((await run([...add.slice(0, -1), newFile("key"), "--replace"])).code, 64);
  });

  test(`${option}: the password stands nowhere, and strangers cannot read the file`, async () => {
    const file = newFile(ending);
    await run(["add", ALICE, option, file], "Zanzibar\n");
    assert.ok(!readFileSync(file).includes("Zanzibar"));
    assert.equal(statSync(file).mode & 0o007, 0);
    const { out } = await run(["list", option, file]);
    assert.equal(out, `${ALICE}  digest SHA-256, 10 calls at a time\n`);
  });

  test(`${option}: a user is added once, replaced when told, removed once`, async () => {
    const file = newFile(ending);
    await run(["add", ALICE, option, file], "one\n");
    await run(["add", BOB, option, file], "one\n");
    const again = await run(["add", ALICE, option, file], "two\n");
    assert.equal(again.code, 1);
    assert.match(again.err, /is there already/);
    const before = UserStore.open(sourcesOf(option, file)).find(ALICE);
    assert.equal((await run(["add", ALICE, option, file, "--replace"], "two\n")).code, 0);
    const after_ = UserStore.open(sourcesOf(option, file));
    assert.equal(after_.size, 2);
    assert.notDeepEqual(after_.find(ALICE)?.ha1?.sha256?.expose(), before?.ha1?.sha256?.expose());
    assert.equal((await run(["remove", ALICE, option, file])).code, 0);
    assert.equal((await run(["remove", ALICE, option, file])).code, 1);
    assert.equal((await run(["list", option, file])).out.split("\n").length, 2);
  });

  test(`${option}: nothing is written without a password`, async () => {
    const file = newFile(ending);
    const { code, err } = await run(["add", ALICE, option, file], "\n");
    assert.equal(code, 1);
    assert.match(err, /no password/);
    if (option === "--database") assert.equal((await run(["list", option, file])).out, "");
  });

  test(`${option}: one of another domain, or a book that is gone, is a fault`, async () => {
    const file = newFile(ending);
    await run(["add", "sip:carol@elsewhere.example", option, file], "one\n");
    assert.throws(() => UserStore.open(sourcesOf(option, file)), /carol.*none of our domains/);
    rmSync(file);
    assert.throws(() => UserStore.open(sourcesOf(option, file)), /is not there/);
  });

  test(`${option}: a user of the configuration must not stand there as well`, async () => {
    const file = newFile(ending);
    await run(["add", ALICE, option, file], "one\n");
    assert.throws(() => UserStore.open(sourcesOf(option, file, [ROW])), /stands there twice/);
  });
}

test("a database of before shared keys is taken over", async () => {
  const file = newFile("db");
  await run(["add", ALICE, "--database", file], "Zanzibar\n");
  const old = new DatabaseSync(file);
  old.exec("ALTER TABLE users DROP COLUMN shared_key; PRAGMA user_version = 1");
  old.close();
  const store = UserStore.open(sourcesOf("--database", file));
  assert.notEqual(store.find(ALICE)?.ha1?.sha256, undefined);
  assert.equal(store.find(ALICE)?.sharedKey, undefined);
  assert.equal(UserStore.open(sourcesOf("--database", file)).size, 1);
});

test("without a book the configuration's users are all", () => {
  const store = UserStore.open({ rows: [ROW], domains: ["example.com"], mustRecord: true });
  assert.equal(store.find(ALICE), ROW);
});

test("a file keeps what is not of the changed user", async () => {
  const file = newFile("toml");
  const other = `# the boss\n[[user]]\naor = "${BOB}" # first\n[user.ha1]\nsha256 = "${"a".repeat(64)}"\n`;
  writeFileSync(file, `${other}\n[[user]]\naor = "${ALICE}"\n`, { mode: 0o600 });
  await run(["add", ALICE, "--users", file, "--replace", "--max-calls", "1"], "x\n");
  assert.ok(readFileSync(file, "utf8").startsWith(other));
  await run(["remove", ALICE, "--users", file]);
  assert.equal(readFileSync(file, "utf8"), other);
});

const BAD_FILES: readonly [name: string, text: string, message: RegExp][] = [
  ["no TOML", "[[user", /:1: /],
  [
    "an unknown key",
    `[[user]]\naor = "${ALICE}"\npasword = "x"\n`,
    /:3: user\[0\].pasword: unknown/,
  ],
  [
    "a short digest",
    `[[user]]\naor = "${ALICE}"\nha1.sha256 = "ab"\n`,
    /not 64 hexadecimal digits/,
  ],
  ["a bad name", '[[user]]\naor = "alice"\n', /:2: user\[0\].aor: not an address of record/],
];

for (const [name, text, message] of BAD_FILES)
  test(`a file of users with ${name} is refused by line, and no command changes it`, async () => {
    const file = newFile("toml");
    writeFileSync(file, text, { mode: 0o600 });
    assert.throws(
      () => UserStore.open(sourcesOf("--users", file)),
      (error) => error instanceof ConfigError && message.test(error.message),
    );
    await assert.rejects(run(["add", BOB, "--users", file], "x\n"), ConfigError);
    assert.equal(readFileSync(file, "utf8"), text);
  });

test("a file of users that everybody may read is refused", () => {
  const file = newFile("toml");
  writeFileSync(file, "");
  chmodSync(file, 0o644);
  assert.throws(() => UserStore.open(sourcesOf("--users", file)), /chmod o=/);
});

test("a wrong command line is a usage fault, and no file is made", async () => {
  const file = newFile("toml");
  for (const argv of [
    ["add", "alice", "--users", file],
    ["add", ALICE],
    ["list", "--users", file, "--database", file],
    ["add", ALICE, "--users", file, "--max-calls", "0"],
    ["paint"],
  ])
    assert.equal((await run(argv, "x\n")).code, 64, argv.join(" "));
  assert.equal(statSync(file, { throwIfNoEntry: false }), undefined);
});

function terminal(keys: string): {
  readonly input: PassThrough & { isTTY: true };
  prompt: PassThrough;
} {
  const input = Object.assign(new PassThrough(), { isTTY: true as const });
  input.end(keys);
  return { input, prompt: new PassThrough() };
}

test("at a terminal the password is asked for twice and not shown", async () => {
  const typed = terminal("Zanzibar\rZanzibar\r");
  assert.equal((await readPassword(typed)).expose().toString(), "Zanzibar");
  assert.equal(textOf(typed.prompt), "Password: \nAgain: \n");
  await assert.rejects(readPassword(terminal("one\rtwo\r")), /differ/);
});
