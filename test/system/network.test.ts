/** The lab network: hosts reach each other through the gateway only, and nothing of it is left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const NETWORK = new URL("../../lab/network.ts", import.meta.url).href;

/** A process that builds a network with one program in it, says so, and then does `last`. */
function builder(last: string): { pid: number; lines: Promise<string>; ended: Promise<unknown> } {
  const script = `
    import { createNetwork } from ${JSON.stringify(NETWORK)};
    const network = createNetwork();
    const child = network.spawn("bob", ["sleep", "60"]);
    process.stdout.write(child.pid + "\\n");
    ${last}
  `;
  const argv = ["--input-type=module-typescript", "-e", script];
  const child = spawn(process.execPath, argv, {
    stdio: ["ignore", "pipe", "ignore"],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  });
  assert(child.pid !== undefined);
  const lines = once(child.stdout, "data").then(([chunk]) => String(chunk));
  return { pid: child.pid, lines, ended: once(child, "close") };
}

const FOREVER = "await new Promise((resolve) => setTimeout(resolve, 60_000));";

const namespacesOf = (pid: number): string[] =>
  existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((name) => name.startsWith(`kh-${pid}-`))
    : [];

/** True while a process runs; a zombie does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

for (const [name, last] of [
  ["its end", "process.exit(0);"],
  ["an exception", "throw new Error('as planned');"],
] as const)
  test(`nothing is left after ${name}`, async () => {
    const { pid, lines, ended } = builder(last);
    const inner = Number(await lines);
    await ended;
    assert.deepEqual(namespacesOf(pid), []);
    assert.equal(runs(inner), false);
  });

for (const signal of ["SIGINT", "SIGTERM"] as const)
  test(`nothing is left after ${signal}, sent twice`, async () => {
    const { pid, lines, ended } = builder(FOREVER);
    const inner = Number(await lines);
    assert.equal(namespacesOf(pid).length, 4);
    process.kill(pid, signal);
    process.kill(pid, signal);
    await ended;
    assert.deepEqual(namespacesOf(pid), []);
    assert.equal(runs(inner), false);
  });

test("what a killed process left is removed at the next start of another", async () => {
  const { pid, lines, ended } = builder(FOREVER);
  const inner = Number(await lines);
  process.kill(pid, "SIGKILL");
  await ended;
  assert.equal(namespacesOf(pid).length, 4);
  assert.equal(runs(inner), true);

  const next = builder("process.exit(0);");
  await next.ended;
  assert.deepEqual(namespacesOf(pid), []);
  assert.equal(runs(inner), false);
});
