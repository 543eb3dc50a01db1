/**
 * One long-lived `nft -i`, asked line by line. Starts and restarts that process; touches the kernel's ruleset only
 * through the lines it is given.
 *
 * nft says nothing on success. Behind each line goes a question that is answered without asking the kernel, and what
 * was printed before that answer is the line's own: `2>&1` keeps both on one ordered pipe.
 */
import { execa } from "execa";
import type { Logger } from "../../runtime/logger.ts";

const MARKER = "describe meta nftrace";
const MARKER_ANSWER = "meta expression, datatype";
/** The shell dies with the agent, even if that is killed. */
const COMMAND = "exec setpriv --pdeathsig KILL nft -i 2>&1";
const RESTART_DELAY_MS = 100;

/** nft ended before it answered: the line may have been applied or not. */
export class NftDied extends Error {
  override readonly name = "NftDied";
}

/** nft refused the line; nothing of it was applied. */
export class NftRefused extends Error {
  override readonly name = "NftRefused";
}

interface Asked {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class NftShell {
  readonly #log: Logger;
  #process: ReturnType<typeof startNft> | undefined;
  #asked: Asked[] = [];
  #output = "";
  #isStopped = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  start(): void {
    const nft = startNft();
    this.#process = nft;
    this.#output = "";
    nft.stdout.setEncoding("utf8");
    nft.stdout.on("data", (text: string) => this.#read(text));
    nft.stdin.on("error", () => undefined); // its end is told by the exit
    void nft.then(({ exitCode, signal }) => this.#restart({ exitCode, signal }));
  }

  stop(): void {
    this.#isStopped = true;
    this.#process?.stdin.end();
  }

  /** @throws NftRefused with nft's first line of complaint; NftDied. */
  run(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#process === undefined) {
        reject(new NftDied("nft is not running"));
        return;
      }
      this.#asked.push({ resolve, reject });
      this.#process.stdin.write(`${line}\n${MARKER}\n`);
    });
  }

  #read(text: string): void {
    this.#output += text;
    for (;;) {
      const marker = this.#output.indexOf(MARKER_ANSWER);
      const end = marker === -1 ? -1 : this.#output.indexOf("\n", marker);
      if (end === -1) return;
      const complaint = this.#output.slice(0, marker);
      this.#output = this.#output.slice(end + 1);
      const asked = this.#asked.shift();
      if (complaint === "") asked?.resolve();
      else asked?.reject(new NftRefused(complaint.split("\n", 1)[0]));
    }
  }

  #restart(end: Readonly<Record<string, unknown>>): void {
    this.#process = undefined;
    const unanswered = this.#asked;
    this.#asked = [];
    for (const { reject } of unanswered) reject(new NftDied("nft ended before it answered"));
    if (this.#isStopped) return;
    this.#log.warn({ ...end, unanswered: unanswered.length }, "nft ended, is started again");
    setTimeout(() => this.#isStopped || this.start(), RESTART_DELAY_MS);
  }
}

function startNft() {
  return execa("/bin/sh", ["-c", COMMAND], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    buffer: false,
    reject: false,
  });
}
