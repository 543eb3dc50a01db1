/** The rules of .dependency-cruiser.cjs find what they forbid, type-only imports included. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { cruiseFault } from "../../../scripts/cruise-fault.ts";

const ROOT = resolve(import.meta.dirname, "../../..");

const LAWFUL = {
  "protocol/sip/message.ts": "export interface Message { readonly body: Buffer }\n",
  "protocol/sdp/parse.ts": "export const parse = (text: string): number => text.length;\n",
  "agent/core/pinhole.ts":
    'import type { Message } from "../../protocol/sip/message.ts";\nexport type P = Message;\n',
  "agent/io/nft.ts":
    'import { spawn } from "node:child_process";\nimport type { P } from "../core/pinhole.ts";\nexport const nft = (_: P) => spawn("nft");\n',
  "controller/core/call.ts": "export const call = 1;\n",
};

const FORBIDDEN: readonly { name: string; rule: string; file: string; text: string }[] = [
  {
    name: "an import between protocol folders that stand alone",
    rule: "protocol-sip-stands-alone",
    file: "protocol/sip/bad.ts",
    text: 'import { parse } from "../sdp/parse.ts";\nexport const bad = parse;\n',
  },
  {
    name: "the same as a type-only import",
    rule: "protocol-sdp-stands-alone",
    file: "protocol/sdp/bad.ts",
    text: 'import type { Message } from "../sip/message.ts";\nexport type Bad = Message;\n',
  },
  {
    name: "a core that imports its own io",
    rule: "core-imports-protocol-and-core-only",
    file: "agent/core/bad.ts",
    text: 'import type { nft } from "../io/nft.ts";\nexport type Bad = typeof nft;\n',
  },
  {
    name: "a core that opens files",
    rule: "pure-code-uses-no-io-module",
    file: "controller/core/bad.ts",
    text: 'import { readFileSync } from "node:fs";\nexport const bad = readFileSync;\n',
  },
  {
    name: "a program that imports another",
    rule: "agent-imports-no-other-program",
    file: "agent/io/bad.ts",
    text: 'import { call } from "../../controller/core/call.ts";\nexport const bad = call;\n',
  },
];

function cruise(files: Readonly<Record<string, string>>): { status: number | null; out: string } {
  const folder = mkdtempSync(join(tmpdir(), "keyhole-rules-"));
  try {
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    for (const [file, text] of Object.entries({
      ...files,
      "tsconfig.json": '{ "extends": "./base.json" }',
      "base.json": '{ "compilerOptions": { "module": "NodeNext", "noEmit": true } }',
    })) {
      mkdirSync(join(folder, dirname(file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    const done = spawnSync(
      join(ROOT, "node_modules/.bin/depcruise"),
      ["--config", join(ROOT, ".dependency-cruiser.cjs"), "protocol", "agent", "controller"],
      { cwd: folder, encoding: "utf8" },
    );
    return { status: done.status, out: done.stdout + done.stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a lawful tree passes, and its modules are seen", () => {
  const { status, out } = cruise(LAWFUL);
  assert.equal(status, 0, out);
  assert.match(out, /no dependency violations found \((\d+) modules/);
  assert.equal(cruiseFault(out, Object.keys(LAWFUL).length), undefined);
  assert.match(cruiseFault(out, 100) ?? "", /^only \d+ modules were cruised, of 100 files$/);
});

test("a cruise that saw nothing is a fault, though it reports success", () => {
  assert.match(cruiseFault("✔ no dependency violations found (0 modules)", 1) ?? "", /^only 0 /);
  assert.match(cruiseFault("", 1) ?? "", /^only 0 /);
});

test("the types are read by a TypeScript that dependency-cruiser understands", () => {
  const { version } = JSON.parse(
    readFileSync(join(ROOT, "node_modules/typescript/package.json"), "utf8"),
  ) as { version: string };
  assert.ok(Number.parseInt(version, 10) < 7, version);
});

for (const { name, rule, file, text } of FORBIDDEN)
  test(`refused: ${name}`, () => {
    const { status, out } = cruise({ ...LAWFUL, [file]: text });
    assert.notEqual(status, 0);
    assert.match(out, new RegExp(`error ${rule}: ${file}`));
  });
