/**
 * One machine as an operator has it, for running commands as a manual writes them: own mounts, with
 * `/etc` a copy and `/var/lib` empty, own network with the addresses of the manual, own processes;
 * `keyhole` is installed, the units' users are there, `systemctl` knows the controller's unit, `scp`
 * finds that the other machine is this one. Needs root. Touches nothing outside its folder, and
 * everything in it dies with this process.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { REPOSITORY } from "./site.ts";

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface OperatorHost {
  /** Runs one command line in the operator's folder. `input` is what is typed. */
  run(command: string, input?: string): Ran;
  /** Writes a file, or adds to it; relative paths are of the operator's folder. */
  write(path: string, text: string, how?: "new" | "more"): void;
  /** What the controller logged. */
  log(): string;
  close(): Promise<void>;
}

/** Where the project is for programs whose user could not reach it where it lies. */
const MOUNTED = "/mnt";
const COMMAND_TIMEOUT_MS = 60_000;
const CONTROLLER_ID = 6101;

/** Stands in for systemd(1) with what keyhole-controller.service says that matters here. */
const SYSTEMCTL = `#!/bin/sh
set -e
log=/run/keyhole-controller.log pid=/run/keyhole-controller.pid
told() { for n in $(seq 600); do [ "$(grep -c "$1" $log)" -gt "$2" ] && exit 0; kill -0 $(cat $pid); sleep 0.05; done; exit 1; }
[ "$2" = keyhole-controller ]
case $1 in
start)
  cd /
  setpriv --reuid=keyhole-controller --regid=keyhole-controller --clear-groups --inh-caps=-all \\
    --bounding-set=-all --no-new-privs keyhole controller --config /etc/keyhole/controller.toml >$log 2>&1 </dev/null &
  echo $! >$pid
  told '"msg":"ready"' 0 ;;
reload)
  before=$(grep -c '"msg":"configuration read again"' $log || true)
  kill -HUP $(cat $pid)
  told '"msg":"configuration read again"' $before ;;
*) exit 1 ;;
esac
`;

/** The other machine is this one. */
const SCP = `#!/bin/sh
for last; do :; done
for file; do [ "$file" = "$last" ] || cp "\${file#*:}" "$last"; done
`;

const SETUP = `set -e
work=$1 repository=$2
shift 2
cp -a /etc "$work/etc"
printf 'keyhole-controller:x:${CONTROLLER_ID}:${CONTROLLER_ID}::/:/usr/sbin/nologin\\n' >>"$work/etc/passwd"
printf 'keyhole-controller:x:${CONTROLLER_ID}:\\n' >>"$work/etc/group"
mount --bind "$work/etc" /etc
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /run
mount --bind "$repository" ${MOUNTED}
mkdir -p /var/lib/keyhole /etc/keyhole
install -d -m 0700 -o keyhole-controller -g keyhole-controller /var/lib/keyhole/controller
ip link set lo up
for address; do ip address add "$address/32" dev lo; done
echo ready
exec cat
`;

/** @throws Error without root, or if its parts cannot be set up. */
export async function openOperatorHost(addresses: readonly string[]): Promise<OperatorHost> {
  const folder = mkdtempSync(join(tmpdir(), `kh-${process.pid}-`));
  chmodSync(folder, 0o755);
  const home = join(folder, "home");
  mkdirSync(home);
  writeTools(join(folder, "bin"));
  const isolation = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const setup = ["sh", "-c", SETUP, "sh", folder, REPOSITORY, ...addresses];
  const holder = spawn("unshare", [...isolation, ...setup], { stdio: ["pipe", "pipe", "pipe"] });
  const close = async (): Promise<void> => {
    if (holder.exitCode === null && holder.signalCode === null) {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilReady(holder);
    const inside = enter(holder.pid ?? 0, join(folder, "bin"), home);
    return { ...operations(inside), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function writeTools(bin: string): void {
  mkdirSync(bin);
  const keyhole = `#!/bin/sh\nexec ${MOUNTED}/node_modules/.bin/node ${MOUNTED}/bin/keyhole.ts "$@"\n`;
  for (const [name, text] of Object.entries({ keyhole, systemctl: SYSTEMCTL, scp: SCP }))
    writeFileSync(join(bin, name), text, { mode: 0o755 });
}

async function untilReady(holder: ChildProcess): Promise<void> {
  let said = "";
  holder.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const { stdout } = holder;
  if (stdout === null) throw new TypeError("its output is piped");
  for await (const line of createInterface({ input: stdout })) if (line === "ready") return;
  throw new Error(`no operator's host: ${said.trim()}`);
}

type Enter = (command: string, input?: string) => Ran;

/** Runs shell commands where the holder is. */
function enter(holder: number, bin: string, home: string): Enter {
  const inner = readFileSync(`/proc/${holder}/task/${holder}/children`, "latin1").trim();
  const path = `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const into = ["--target", inner, "--mount", "--net", "--pid", `--wd=${home}`];
  return (command, input = "") => {
    // A pipe, since what comes by a socket cannot be opened as /dev/stdin.
    const shell = ["env", "-i", `PATH=${path}`, "sh", "-c", 'cat | sh -c "$1"', "sh", command];
    const { status, stdout, stderr } = spawnSync("nsenter", [...into, ...shell], {
      encoding: "utf8",
      input,
      timeout: COMMAND_TIMEOUT_MS,
    });
    return { code: status, stdout, stderr };
  };
}

function operations(run: Enter): Pick<OperatorHost, "run" | "write" | "log"> {
  return {
    run,
    write(path, text, how = "new") {
      const { code, stderr } = run(`cat ${how === "new" ? ">" : ">>"}'${path}'`, text);
      if (code !== 0) throw new Error(`${path}: ${stderr}`);
    },
    log: () => run("cat /run/keyhole-controller.log").stdout,
  };
}
