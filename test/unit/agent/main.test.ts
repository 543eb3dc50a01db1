import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const KEYHOLE = fileURLToPath(new URL("../../../bin/keyhole.ts", import.meta.url));
const GOOD = `
socket = "agent.sock"
[ingest]
socket = "ingest.sock"
[realm]
prefixes = ["10.10.0.0/24"]
ports = [16384, 65535]
`;
let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), "kh-"));
});
after(() => rmSync(directory, { recursive: true }));

function agent(config: string, ...args: string[]) {
  const file = join(directory, "agent.toml");
  writeFileSync(file, config);
  const argv = [KEYHOLE, "agent", "--config", file, ...args];
  return spawnSync(process.execPath, argv, { encoding: "utf8" });
}

test("--print-rules prints the table and touches nothing", () => {
  const { status, stdout } = agent(GOOD, "--print-rules");
  assert.equal(status, 0);
  assert.match(stdout, /^add table inet keyhole\n/);
  assert.match(stdout, /ip daddr 10\.10\.0\.0\/24 udp dport 16384-65535 counter name refused drop/);
});

test("a faulty configuration ends with code 78 and names every fault with its line", () => {
  const { status, stderr } = agent(GOOD.replace("[16384", "[80").replace("10.10.0.0", "10.10.0.1"));
  assert.equal(status, 78);
  assert.match(stderr, /agent\.toml:6: realm\.prefixes\[0\]: /);
  assert.match(stderr, /agent\.toml:7: realm\.ports\[0\]: /);
});
