/**
 * `nft monitor destroy`: the kernel's own word on what was deleted. It is the one place where an element's last count
 * is told. Starts and restarts that process.
 */
import { execa } from "execa";
import type { Logger } from "../../runtime/logger.ts";
import type { AgentInput } from "../core/agent-effect.ts";
import { isRuleLoss, isTableLoss, parseFinalCount } from "../core/kernel-listing.ts";

const RESTART_DELAY_MS = 100;

export interface NftMonitorOptions {
  readonly table: string;
  readonly log: Logger;
  readonly onInput: (input: AgentInput) => void;
  /** Rules were deleted, by whom is not said; or may have been, since this time, while nobody listened. */
  readonly onDoubt: (sinceMs: number) => void;
}

export class NftMonitor {
  readonly #options: NftMonitorOptions;
  #process: ReturnType<typeof startMonitor> | undefined;
  #rest = "";
  #isStopped = false;
  #onLine: (() => void) | undefined;

  constructor(options: NftMonitorOptions) {
    this.#options = options;
  }

  /** The table must be there: the monitor knows only sets that it saw at its start or since. */
  start(): void {
    const monitor = startMonitor();
    this.#process = monitor;
    this.#rest = "";
    monitor.stdout.setEncoding("utf8");
    monitor.stdout.on("data", (text: string) => this.#read(text));
    void monitor.then(({ exitCode, signal }) => {
      const endedAt = Date.now();
      this.#process = undefined;
      if (this.#isStopped) return;
      this.#options.log.warn({ exitCode, signal }, "nft monitor ended, is started again");
      setTimeout(() => this.#restart(endedAt), RESTART_DELAY_MS);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#process?.kill("SIGKILL");
  }

  /** Resolves when the monitor has told anything: it listens. */
  heard(): Promise<void> {
    return new Promise((resolve) => {
      this.#onLine = resolve;
    });
  }

  #restart(endedAt: number): void {
    if (this.#isStopped) return;
    this.start();
    void this.heard().then(() => this.#options.onDoubt(endedAt));
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#take(line);
  }

  #take(line: string): void {
    const { table, onInput, onDoubt } = this.#options;
    this.#onLine?.();
    this.#onLine = undefined;
    const final = parseFinalCount(line, table);
    if (final !== undefined) onInput({ kind: "final", ...final });
    else if (isTableLoss(line, table)) onInput({ kind: "firewall-lost" });
    else if (isRuleLoss(line, table)) onDoubt(Date.now());
  }
}

function startMonitor() {
  return execa("setpriv", ["--pdeathsig", "KILL", "nft", "monitor", "destroy"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    buffer: false,
    reject: false,
  });
}
