/**
 * A running program of the lab: its output line by line, kept and searchable, and its end.
 * Touches the child's pipes, and a log file if one is named.
 */
import type { ChildProcess } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { createInterface } from "node:readline";

export type JsonObject = Readonly<Record<string, unknown>>;
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Waiter {
  readonly matches: (line: string) => boolean;
  readonly settle: (line: string | Error) => void;
}

const STOP_TIMEOUT_MS = 20_000;
/** Only what is broken waits so long. */
const LINE_TIMEOUT_MS = 30_000;

export class LabProcess {
  readonly name: string;
  readonly pid: number;
  /** Every line of stdout and stderr so far. */
  readonly lines: string[] = [];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #waiters = new Set<Waiter>();
  readonly #log: WriteStream | undefined;
  #exit: Exit | undefined;

  /** Takes over a child started with piped output. @throws Error if it could not be started. */
  constructor(name: string, child: ChildProcess, logFile?: string) {
    if (child.pid === undefined) throw new Error(`${name}: could not be started`);
    this.name = name;
    this.pid = child.pid;
    this.#child = child;
    this.#log = logFile === undefined ? undefined : createWriteStream(logFile, { flags: "a" });
    for (const stream of [child.stdout, child.stderr])
      if (stream) createInterface({ input: stream }).on("line", (line) => this.#take(line));
    child.stdin?.on("error", () => {});
    this.exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#exit = { code, signal };
        this.#log?.end();
        const error = new Error(`${name} ended (${code ?? signal}): ${this.tail()}`);
        for (const waiter of this.#waiters) waiter.settle(error);
        resolve(this.#exit);
      });
    });
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** The first line, past or future, that matches. @throws Error at the timeout or the program's end. */
  async line(
    what: string,
    matches: (line: string) => boolean,
    timeoutMs = LINE_TIMEOUT_MS,
    fromLine = 0,
  ): Promise<string> {
    const found = this.lines.slice(fromLine).find(matches);
    if (found !== undefined) return found;
    if (this.#exit) throw new Error(`${this.name} ended without ${what}: ${this.tail()}`);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        matches,
        settle: (line) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          if (typeof line === "string") resolve(line);
          else reject(line);
        },
      };
      const timer = setTimeout(
        () =>
          waiter.settle(new Error(`${this.name}: no ${what} in ${timeoutMs} ms: ${this.tail()}`)),
        timeoutMs,
      );
      this.#waiters.add(waiter);
    });
  }

  /** As `line`, of JSON lines: the first object with these members. */
  async event(members: JsonObject, timeoutMs?: number, fromLine?: number): Promise<JsonObject> {
    const matches = (line: string): boolean => hasMembers(parseObject(line), members);
    return (
      parseObject(await this.line(JSON.stringify(members), matches, timeoutMs, fromLine)) ?? {}
    );
  }

  /** All JSON objects printed so far with these members. */
  events(members: JsonObject): JsonObject[] {
    return this.lines
      .map(parseObject)
      .filter((object): object is JsonObject => hasMembers(object, members));
  }

  /** Writes one JSON line to its stdin. */
  send(command: JsonObject): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal);
  }

  /** Asks it to end, insists after a while, and tells how it ended. */
  async stop(signal: NodeJS.Signals = "SIGTERM", timeoutMs = STOP_TIMEOUT_MS): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  tail(count = 5): string {
    return this.lines.slice(-count).join(" | ");
  }

  #take(line: string): void {
    this.lines.push(line);
    this.#log?.write(`${line}\n`);
    for (const waiter of this.#waiters) if (waiter.matches(line)) waiter.settle(line);
  }
}

function parseObject(line: string): JsonObject | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as JsonObject;
  } catch {
    return undefined;
  }
}

function hasMembers(object: JsonObject | undefined, members: JsonObject): boolean {
  if (object === undefined) return false;
  return Object.entries(members).every(([name, value]) => object[name] === value);
}
