/**
 * Makes the machine ready for a task, then runs it on the pinned Node.
 * Runs itself on any Node from 18 on, with nothing installed: `node scripts/setup.mjs TASK [args]`.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DEBIAN_PACKAGES } from "./debian-packages.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_PACKAGE = `node-linux-${process.arch}`;
const NODE = join(ROOT, "node_modules/.bin/node");
const STAMP = join(ROOT, "node_modules/.keyhole-setup");
const LOG = join(ROOT, "out/setup.log");

const TASKS = {
  demo: ["bin/keyhole.ts", "demo"],
  test: ["scripts/test.mjs"],
  check: ["scripts/check.mjs"],
  bench: ["bench/bench.ts"],
  fuzz: ["scripts/fuzz.mjs"],
  keyhole: ["bin/keyhole.ts"],
};

const [task = "", ...args] = process.argv.slice(2);
if (!Object.hasOwn(TASKS, task))
  fail(`usage: setup.mjs ${Object.keys(TASKS).join("|")} [arguments]`);

const startedAt = Date.now();
const environment = withPinnedNode();
installDebianPackages(DEBIAN_PACKAGES[task] ?? {});
installNpmPackages();
run([...TASKS[task], ...args]);

function installDebianPackages(wanted) {
  if (Object.keys(wanted).length === 0) return;
  const installed = installedDebianPackages(Object.keys(wanted));
  const missing = Object.keys(wanted).filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  if (process.getuid() !== 0)
    fail(`run as root, or install first: apt-get install ${missing.join(" ")}`);
  say(`Debian packages to install (apt-get), log in out/setup.log:`);
  for (const name of missing) say(`  ${name.padEnd(28)}${wanted[name]}`);
  step("apt-get update", ["apt-get", "update", "-qq"]);
  step("apt-get install", ["apt-get", "install", "-y", "--no-install-recommends", ...missing]);
}

/** Names and states in one query; a package dpkg never heard of is simply not in the answer. */
function installedDebianPackages(names) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
  const format = "-f=${Package} ${db:Status-Status}\n";
  const query = spawnSync("dpkg-query", ["-W", format, ...names], { encoding: "utf8" });
  return new Set(
    (query.stdout ?? "")
      .split("\n")
      .map((row) => row.split(" "))
      .filter(([, state]) => state === "installed")
      .map(([name]) => name),
  );
}

function installNpmPackages() {
  const wanted = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .update(readFileSync(join(ROOT, "package.json")))
    .digest("hex");
  if (stamp() === wanted) return;
  say("npm packages to install (package-lock.json), among them the pinned Node runtime:");
  step("npm install", ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]);
  // Some versions of npm do not link a program that two optional packages offer.
  if (!existsSync(NODE)) symlinkSync(`../${NODE_PACKAGE}/bin/node`, NODE);
  // cap links against libpcap: the checks do without it, everything that runs needs it.
  if (task !== "check" && task !== "fuzz") {
    step("npm rebuild cap", ["npm", "rebuild", "cap"]);
    writeFileSync(STAMP, wanted);
  }
}

function stamp() {
  try {
    return readFileSync(STAMP, "utf8");
  } catch {
    return undefined;
  }
}

/** The pinned Node first on PATH, its own headers for native parts. */
function withPinnedNode() {
  const bin = join(ROOT, "node_modules/.bin");
  return {
    ...process.env,
    PATH: `${bin}:${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
    npm_config_nodedir: join(ROOT, "node_modules", NODE_PACKAGE),
    DEBIAN_FRONTEND: "noninteractive",
  };
}

function step(title, [command, ...rest]) {
  process.stdout.write(`  ${title} … `);
  const from = Date.now();
  mkdirSync(dirname(LOG), { recursive: true });
  const log = openSync(LOG, "a");
  const done = spawnSync(command, rest, {
    cwd: ROOT,
    env: environment,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  if (done.status === 0) return say(`${((Date.now() - from) / 1000).toFixed(1)} s`);
  say("failed");
  const tail = readFileSync(LOG, "utf8").trimEnd().split("\n").slice(-20).join("\n");
  fail(`${title} failed (${done.error?.message ?? `exit ${done.status}`}):\n${tail}`);
}

function run(argv) {
  const child = spawn(NODE, argv, {
    cwd: task === "keyhole" ? process.cwd() : ROOT,
    env: { ...environment, KEYHOLE_SETUP_MS: String(Date.now() - startedAt) },
    stdio: "inherit",
  });
  // The terminal sends Ctrl-C to the child as well; it cleans up and its exit code is ours.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  child.on("error", (error) => fail(`the pinned Node does not start: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === "SIGINT" ? 130 : 1);
  });
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
