/** The one command as a person meets it: help, usage, and faults told in a line, not in a stack. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

const KEYHOLE = resolve(import.meta.dirname, "../../bin/keyhole.ts");
const AGENT = `socket = "agent.sock"
[ingest]
socket = "recorder.sock"
[realm]
prefixes = ["10.10.0.0/24"]
ports = [16384, 65535]
`;

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "keyhole-"));
});
after(() => rmSync(folder, { recursive: true }));

function keyhole(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [KEYHOLE, ...args], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

function agentFile(text: string): string {
  const file = join(folder, "agent.toml");
  writeFileSync(file, text);
  return file;
}

test("help names every program and exits 0", () => {
  const { status, stdout } = keyhole("--help");
  assert.equal(status, 0);
  for (const name of ["controller", "agent", "recorder", "recordings", "device", "ca", "demo"])
    assert.match(stdout, new RegExp(`^  ${name} +\\S`, "m"));
});

test("a program that there is not is a usage fault", () => {
  const { status, stderr } = keyhole("telephone");
  assert.equal(status, 64);
  assert.match(stderr, /no program 'telephone'/);
});

for (const program of ["controller", "agent", "recorder", "recordings", "device", "ca", "demo"])
  test(`${program} --help exits 0 and says what it takes`, () => {
    const { status, stdout } = keyhole(program, "--help");
    assert.equal(status, 0);
    assert.match(stdout, /--\w+/);
  });

for (const program of ["controller", "agent", "recorder", "recordings", "device", "ca", "demo"])
  test(`${program} with an option it does not know is a usage fault`, () => {
    const { status, stderr } = keyhole(program, "--telephone");
    assert.equal(status, 64);
    assert.match(stderr, /^error: (unknown option '--telephone'|required option '--config)/m);
  });

test("a wrong file is refused with every fault, path and line, and exit code 78", () => {
  const { status, stderr } = keyhole(
    "agent",
    "--config",
    agentFile(AGENT.replace("16384", "80").replace("[ingest]", "[ingets]")),
  );
  assert.equal(status, 78);
  assert.match(stderr, /agent\.toml: ingest: /);
  assert.match(stderr, /agent\.toml:2: ingets: unknown key/);
  assert.match(stderr, /agent\.toml:6: realm\.ports/);
});

test("root without a user to become is refused in one line", () => {
  const { status, stdout, stderr } = keyhole("agent", "--config", agentFile(AGENT));
  assert.equal(status, 77);
  assert.equal(stderr, "keyhole: started as root without [process] uid and gid to become\n");
  assert.equal(stdout, "");
});

test("a store that is not there is told in one line", () => {
  const { status, stderr } = keyhole("recordings", "list", "--store", join(folder, "absent"));
  assert.equal(status, 66);
  assert.match(stderr, /^[^\n]*absent[^\n]*\n$/);
});
