import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import {
  ConfigError,
  parseConfig,
  readConfig,
  resolveConfigPath,
} from "../../../runtime/config-file.ts";

const schema = z.strictObject({
  name: z.string(),
  tls: z.strictObject({ key: z.string() }),
  listen: z.array(z.strictObject({ transport: z.enum(["tcp", "tls"]), port: z.int().max(65535) })),
});

const GOOD = `name = "ss1"
[tls]
key = "ss1.key"
[[listen]]
transport = "tcp"
port = 5060
[[listen]]
transport = "tls"
port = 5061
`;

function faultsOf(text: string): readonly { path: string; line?: number }[] {
  try {
    parseConfig(text, schema);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.faults.map(({ path, line }) => (line === undefined ? { path } : { path, line }));
  }
  return [];
}

test("a right config is returned as written", () => {
  assert.equal(parseConfig(GOOD, schema).listen[1]?.port, 5061);
});

test("all faults are reported at once, each with path and line", () => {
  const text = GOOD.replace('name = "ss1"', "name = 1")
    .replace("port = 5061", "port = 99999")
    .replace('key = "ss1.key"', 'key = "ss1.key"\ncolour = "red"');
  assert.deepEqual(faultsOf(text), [
    { path: "name", line: 1 },
    { path: "tls.colour", line: 4 },
    { path: "listen[1].port", line: 10 },
  ]);
});

test("a missing value names the nearest table's line", () => {
  assert.deepEqual(faultsOf(GOOD.replace('transport = "tls"\n', "")), [
    { path: "listen[1].transport", line: 7 },
  ]);
});

test("what is not TOML is one fault with its line", () => {
  assert.deepEqual(faultsOf('name = "a\n'), [{ path: "", line: 1 }]);
});

test("a file that is not there is a fault that names it", () => {
  const folder = mkdtempSync(join(tmpdir(), "keyhole-"));
  try {
    const file = join(folder, "a.toml");
    assert.throws(() => readConfig(file, schema), /a\.toml: cannot be read: ENOENT/);
    writeFileSync(file, GOOD);
    assert.equal(readConfig(file, schema).name, "ss1");
    assert.equal(resolveConfigPath(file, "ss1.key"), join(folder, "ss1.key"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a fault prints as file:line: path: message", () => {
  assert.throws(
    () => parseConfig(GOOD.replace("5060", '"x"'), schema, "controller.toml"),
    /^ConfigError: controller\.toml:6: listen\[0\]\.port: /,
  );
});
