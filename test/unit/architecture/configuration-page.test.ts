/** Every file on the configuration page is one that its program takes, and shows every required key. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import type { z } from "zod";
import { agentConfigSchema } from "../../../agent/config.ts";
import { controllerSchema } from "../../../controller/config.ts";
import { deviceSchema } from "../../../device/config.ts";
import { recorderConfigSchema } from "../../../recorder/config.ts";
import { parseConfig } from "../../../runtime/config-file.ts";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../../docs/configuration.md"), "utf8");

const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  "agent.toml": agentConfigSchema,
  "controller.toml": controllerSchema,
  "device.toml": deviceSchema,
  "recorder.toml": recorderConfigSchema,
};

const files = [...PAGE.matchAll(/^## (\S+\.toml)\n\n```toml\n(.*?)```/gms)].map(
  ([, name = "", text = ""]) => ({ name, text }),
);

const common = /^```toml\n(.*?)```/ms.exec(PAGE)?.[1] ?? "";

for (const name of ["agent.toml", "controller.toml", "recorder.toml"])
  test(`the tables that the gateway's programs share are taken in ${name}`, () => {
    const schema = SCHEMAS[name];
    const own = files.find((file) => file.name === name)?.text ?? "";
    assert.ok(schema !== undefined && common.includes("[process]") && common.includes("[log]"));
    assert.doesNotThrow(() => parseConfig(`${own}${common}`, schema, name));
  });

test("the page has a file for each program that has one", () => {
  assert.deepEqual(files.map(({ name }) => name).sort(), Object.keys(SCHEMAS));
});

for (const { name, text } of files) {
  const schema = SCHEMAS[name];
  test(`${name} is taken as it stands`, () => {
    assert.ok(schema !== undefined);
    assert.doesNotThrow(() => parseConfig(text, schema, name));
  });

  test(`${name} with a key it does not know is refused`, () => {
    assert.ok(schema !== undefined);
    assert.throws(() => parseConfig(`colour = "red"\n${text}`, schema, name), /:1: colour: /);
  });
}
