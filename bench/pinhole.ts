/**
 * One pinhole opened and shut in the kernel: the agent's long-lived nft beside one `nft` process a
 * change. Runs in a network namespace of its own.
 */
import { execa } from "execa";
import { agentConfigSchema } from "../agent/config.ts";
import { ruleset, serializeChanges } from "../agent/core/rules.ts";
import { NftShell } from "../agent/io/nft-shell.ts";
import { createLogger } from "../runtime/logger.ts";
import { interleave } from "./interleave.ts";

const INSIDE = "KEYHOLE_BENCH_NETNS";

const CONFIG = agentConfigSchema.parse({
  socket: "unused",
  ingest: { socket: "unused" },
  realm: { prefixes: ["10.10.0.0/24"], ports: [16384, 65535] },
});

const ELEMENT = { set: "peer4", key: "10.20.0.2 . 10.10.0.2 . 40000" } as const;
const LABEL = { owner: "00000000", session: "bench", pinhole: "rtp" };

export async function benchPinhole(): Promise<object> {
  enterOwnNetwork();
  const { table } = CONFIG.nft;
  await execa("nft", ["-f", "-"], { input: ruleset(CONFIG) });
  const open = serializeChanges(table, [{ op: "add", element: ELEMENT, label: LABEL }]);
  const shut = serializeChanges(table, [{ op: "delete", element: ELEMENT }]);

  const shell = new NftShell(createLogger("bench", "silent"));
  shell.start();
  try {
    return await interleave([
      {
        name: "keyhole",
        once: async () => {
          await shell.run(open);
          await shell.run(shut);
        },
      },
      {
        name: "nft -f -",
        once: async () => {
          await execa("nft", ["-f", "-"], { input: `${open}\n` });
          await execa("nft", ["-f", "-"], { input: `${shut}\n` });
        },
      },
    ]);
  } finally {
    shell.stop();
  }
}

/** The bench changes a ruleset: never the machine's own. */
function enterOwnNetwork(): void {
  if (process.env[INSIDE] !== undefined) return;
  if (process.execve === undefined) throw new TypeError("this runtime cannot replace itself");
  const argv = ["unshare", "--net", "--", process.execPath, ...process.argv.slice(1)];
  process.execve("/usr/bin/unshare", argv, { ...process.env, [INSIDE]: "1" } as Record<
    string,
    string
  >);
}
