/** The units are well formed and as closed as the rights table says, in systemd's own judgement. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

const ROOT = resolve(import.meta.dirname, "../..");
const UNITS = readdirSync(join(ROOT, "systemd")).filter((name) => name.endsWith(".service"));

/** Exposure in tenths (`systemd-analyze security`): 0 is closed, 100 is wide open. */
const EXPOSURE_LIMIT = {
  "keyhole-controller.service": 15,
  "keyhole-agent.service": 20,
  "keyhole-recorder.service": 10,
} as const;

const folder = mkdtempSync(join(tmpdir(), "keyhole-units-"));
after(() => rmSync(folder, { recursive: true }));

/** The unit as it would stand after installation, with this checkout as the place installed to. */
function installUnit(name: string, extra = ""): string {
  const text = readFileSync(join(ROOT, "systemd", name), "utf8");
  const file = join(folder, name);
  writeFileSync(
    file,
    text.replaceAll("/usr/lib/keyhole", ROOT).replace("[Service]\n", `[Service]\n${extra}`),
  );
  return file;
}

function analyze(...args: readonly string[]): { status: number | null; output: string } {
  const done = spawnSync("systemd-analyze", ["--no-pager", ...args], { encoding: "utf8" });
  return { status: done.status, output: done.stdout + done.stderr };
}

test("there is a unit for every program that runs on a gateway", () => {
  assert.deepEqual(UNITS.sort(), Object.keys(EXPOSURE_LIMIT).sort());
});

test("systemd-analyze verify finds nothing wrong in the units together", () => {
  const { status, output } = analyze(
    "verify",
    "--man=no",
    ...UNITS.map((name) => installUnit(name)),
  );
  assert.equal(output, "");
  assert.equal(status, 0);
});

test("systemd-analyze verify would have found an unknown directive", () => {
  const file = installUnit("keyhole-agent.service", "CapabilityBundingSet=CAP_NET_ADMIN\n");
  assert.match(
    analyze("verify", "--man=no", file).output,
    /Unknown key (name )?'CapabilityBundingSet/,
  );
});

for (const [name, limit] of Object.entries(EXPOSURE_LIMIT))
  test(`${name} is exposed no more than ${limit / 10}`, () => {
    const file = installUnit(name);
    const { status, output } = analyze("security", "--offline=yes", `--threshold=${limit}`, file);
    assert.match(output, /Overall exposure level for keyhole-/);
    assert.equal(status, 0, output.split("\n").at(-2) ?? "");
  });

test("only the agent's unit grants a capability, and only CAP_NET_ADMIN", () => {
  for (const name of UNITS) {
    const text = readFileSync(join(ROOT, "systemd", name), "utf8");
    const granted = [...text.matchAll(/^(?:Ambient|Bounding)?Capabilit\w+=(.*)$/gm)].map(
      (m) => m[1],
    );
    const wanted = name === "keyhole-agent.service" ? "CAP_NET_ADMIN" : "";
    assert.deepEqual(granted, [wanted, wanted], name);
  }
});

test("the users and groups of the units are the ones sysusers makes", () => {
  const made = readFileSync(join(ROOT, "systemd/keyhole.sysusers.conf"), "utf8");
  for (const name of UNITS) {
    const text = readFileSync(join(ROOT, "systemd", name), "utf8");
    const user = /^User=(.*)$/m.exec(text)?.[1];
    assert.match(made, new RegExp(`^u ${user} `, "m"));
    for (const group of /^SupplementaryGroups=(.*)$/m.exec(text)?.[1]?.split(" ") ?? [])
      assert.match(made, new RegExp(`^m ${user} +${group}$`, "m"));
  }
});
