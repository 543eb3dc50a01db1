/**
 * The kernel's side of the agent: its table, its sets, its dead-man element. Runs nft, and nothing else changes
 * the ruleset. Batches that wait are applied in one transaction; each is answered for itself.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { execa } from "execa";
import { Subject, type Subscription } from "rxjs";
import type { Millis } from "../../protocol/machine.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { AgentInput } from "../core/agent-effect.ts";
import { elementName } from "../core/element.ts";
import { parseTableListing, type TableListing } from "../core/kernel-listing.ts";
import {
  type Change,
  DEAD_MAN_RENEWAL_MS,
  probe,
  type RuleConfig,
  rebuilding,
  renewal,
  ruleCounts,
  ruleset,
  serializeChanges,
} from "../core/rules.ts";
import type { Gap } from "./capture.ts";
import { coalesceMap } from "./coalesce.ts";
import { NftMonitor } from "./nft-monitor.ts";
import { NftDied, NftRefused, NftShell } from "./nft-shell.ts";

/** Changes in one transaction of the shell. */
const MAX_COALESCED_CHANGES = 500;
/** Elements in one file for nft: more can exceed an unprivileged socket's buffer. */
const REBUILD_CHUNK = 1000;
const RETRY_DELAY_MS = 200;
const MONITOR_PROBE_MS = 50;
const MONITOR_TIMEOUT_MS = 3_000;
const SETTLE_ATTEMPTS = 20;
const MAX_LISTING_CHARS = 100_000_000;
const ABSENT = "No such file or directory";

interface Batch {
  readonly kind: "batch";
  readonly batch: number;
  readonly changes: readonly Change[];
}
type Work =
  | Batch
  | { readonly kind: "rebuild"; readonly changes: readonly Change[] }
  | { readonly kind: "renew" }
  | { readonly kind: "check" };

export interface FirewallOptions {
  readonly config: RuleConfig;
  readonly log: Logger;
  readonly onInput: (input: AgentInput) => void;
  /** Rules were missing: packets may have passed uncounted and uncopied. */
  readonly onGap: (gap: Gap) => void;
}

export class Firewall {
  readonly #options: FirewallOptions;
  readonly #table: string;
  readonly #shell: NftShell;
  readonly #monitor: NftMonitor;
  readonly #work = new Subject<Work>();
  #subscription: Subscription | undefined;
  #renewals: NodeJS.Timeout | undefined;
  #isReady = false;
  /** Since when rules may be missing; undefined: nobody says so. */
  #doubtSince: Millis | undefined;
  /** Since when the table is missing; undefined: it is there. */
  #lostSince: Millis | undefined;
  #renewedAt: Millis = 0;

  constructor(options: FirewallOptions) {
    this.#options = options;
    this.#table = options.config.nft.table;
    this.#shell = new NftShell(options.log);
    this.#monitor = new NftMonitor({
      table: this.#table,
      log: options.log,
      onInput: (input) => {
        if (input.kind === "firewall-lost") this.#lostSince ??= Date.now();
        options.onInput(input);
      },
      onDoubt: (since) => this.#doubt(since),
    });
  }

  /**
   * Makes the table, or keeps the one that an earlier agent left, with all its elements; opens nothing.
   * @throws Error if nft cannot do it, with nft's complaint.
   */
  async start(): Promise<TableListing> {
    const listing = await listTable(this.#table);
    await runFile(ruleset(this.#options.config, listing.priority));
    this.#shell.start();
    this.#subscription = this.#work
      .pipe(coalesceMap((work) => this.#run(work)))
      .subscribe({ error: (error) => this.#options.log.fatal(error, "firewall queue ended") });
    return listing;
  }

  /**
   * Opens what the table holds when all given before is applied, and keeps it open. Resolves when the kernel's
   * last counts are heard.
   * @throws Error if they are not.
   */
  async live(): Promise<void> {
    this.#work.next({ kind: "renew" });
    this.#renewals = setInterval(() => {
      // What this process slept through is closed before the dead-man element could open it again.
      this.#options.onInput({ kind: "tick" });
      this.#work.next({ kind: "renew" });
    }, DEAD_MAN_RENEWAL_MS);
    this.#monitor.start();
    await this.#awaitMonitor();
  }

  apply(batch: number, changes: readonly Change[]): void {
    this.#work.next({ kind: "batch", batch, changes });
  }

  rebuild(changes: readonly Change[]): void {
    this.#work.next({ kind: "rebuild", changes });
  }

  /** Leaves the table as it is: the next agent adopts it, or the dead-man element shuts it. */
  stop(): void {
    clearInterval(this.#renewals);
    this.#subscription?.unsubscribe();
    this.#shell.stop();
    this.#monitor.stop();
  }

  async #run(work: readonly Work[]): Promise<void> {
    let batches: Batch[] = [];
    for (const item of work) {
      if (item.kind === "batch") batches.push(item);
      const changes = batches.reduce((sum, batch) => sum + batch.changes.length, 0);
      if (item.kind === "batch" && changes < MAX_COALESCED_CHANGES) continue;
      await this.#applyAll(batches);
      batches = [];
      if (item.kind === "rebuild") await this.#rebuild(item.changes);
      if (item.kind === "renew") await this.#renew();
      if (item.kind === "check") await this.#check();
    }
    await this.#applyAll(batches);
  }

  async #applyAll(batches: readonly Batch[]): Promise<void> {
    if (batches.length === 0) return;
    const changes = batches.flatMap((batch) => batch.changes);
    try {
      await this.#shell.run(serializeChanges(this.#table, changes));
      for (const { batch } of batches) this.#options.onInput({ kind: "applied", batch });
    } catch (error) {
      const [only, ...others] = batches;
      if (error instanceof NftDied) for (const batch of batches) await this.#settle(batch);
      else if (others.length > 0) for (const batch of batches) await this.#applyAll([batch]);
      else if (only !== undefined) this.#fail(only, error);
    }
  }

  /** nft died over this batch: asks the kernel whether it was applied, and tries again if not. */
  async #settle(batch: Batch): Promise<void> {
    for (let attempt = 1; attempt <= SETTLE_ATTEMPTS; attempt += 1) {
      await sleep(RETRY_DELAY_MS);
      try {
        if (!isApplied(batch.changes, await listTable(this.#table)))
          await this.#shell.run(serializeChanges(this.#table, batch.changes));
        this.#options.onInput({ kind: "applied", batch: batch.batch });
        return;
      } catch (error) {
        if (attempt === SETTLE_ATTEMPTS || error instanceof NftRefused) {
          this.#fail(batch, error);
          return;
        }
      }
    }
  }

  #fail({ batch }: Batch, error: unknown): void {
    this.#options.onInput({ kind: "apply-failed", batch, reason: messageOf(error) });
  }

  async #renew(): Promise<void> {
    try {
      await this.#shell.run(renewal(this.#table));
      this.#renewedAt = Date.now();
      this.#tellReady(true);
    } catch (error) {
      this.#tellReady(false);
      this.#options.log.error({ reason: messageOf(error) }, "dead-man element not renewed");
      if (!messageOf(error).includes(ABSENT)) return;
      this.#lostSince ??= this.#renewedAt;
      this.#options.onInput({ kind: "firewall-lost" });
    }
  }

  #doubt(since: Millis): void {
    if (this.#doubtSince === undefined) this.#work.next({ kind: "check" });
    this.#doubtSince = Math.min(since, this.#doubtSince ?? since);
  }

  /** Rules that someone else took are put back, around the elements and their counters. */
  async #check(): Promise<void> {
    const { config, onInput } = this.#options;
    const since = this.#doubtSince ?? Date.now();
    this.#doubtSince = undefined;
    try {
      const { rules, priority } = await listTable(this.#table);
      // No table at all: that is told by itself.
      if (rules === undefined || isDeepStrictEqual(rules, ruleCounts(config))) return;
      await runFile(ruleset(config, priority));
    } catch (error) {
      this.#options.log.error({ reason: messageOf(error) }, "rules not made, is tried again");
      await sleep(RETRY_DELAY_MS);
      this.#doubt(since);
      return;
    }
    onInput({ kind: "rules-lost" });
    this.#tellGap(since);
  }

  #tellGap(since: Millis): void {
    const [fromMicros, toMicros] = [since * 1000, Date.now() * 1000];
    this.#options.onGap({ reason: "firewall rules were missing", fromMicros, toMicros });
  }

  /** Does not give up, and renews nothing meanwhile: the kernel stays shut until the table is right. */
  async #rebuild(changes: readonly Change[]): Promise<void> {
    const chunks = [rebuilding(this.#options.config)];
    for (let at = 0; at < changes.length; at += REBUILD_CHUNK)
      chunks.push(
        changes
          .slice(at, at + REBUILD_CHUNK)
          .map((change) => serializeChanges(this.#table, [change]))
          .join("\n"),
      );
    for (;;) {
      try {
        for (const chunk of chunks) await runFile(`${chunk}\n`);
        break;
      } catch (error) {
        this.#tellReady(false);
        this.#options.log.error({ reason: messageOf(error) }, "table not made, is tried again");
        await sleep(RETRY_DELAY_MS);
      }
    }
    await this.#renew();
    const since = this.#lostSince;
    this.#lostSince = undefined;
    if (since !== undefined) this.#tellGap(since);
  }

  #tellReady(ready: boolean): void {
    if (this.#isReady !== ready) this.#options.onInput({ kind: "firewall", ready });
    this.#isReady = ready;
  }

  async #awaitMonitor(): Promise<void> {
    const heard = this.#monitor.heard().then(() => true);
    for (let waitedMs = 0; waitedMs < MONITOR_TIMEOUT_MS; waitedMs += MONITOR_PROBE_MS) {
      await this.#shell.run(probe(this.#table)).catch(() => undefined);
      if (await Promise.race([heard, sleep(MONITOR_PROBE_MS, false)])) return;
    }
    throw new Error("nft monitor tells nothing");
  }
}

function isApplied(changes: readonly Change[], { elements, strays }: TableListing): boolean {
  const present = new Set([...elements.map(({ element }) => element), ...strays].map(elementName));
  const added = new Set(
    changes.flatMap(({ op, element }) => (op === "add" ? elementName(element) : [])),
  );
  return changes.every(({ element }) => {
    const name = elementName(element);
    return present.has(name) === added.has(name);
  });
}

async function listTable(table: string): Promise<TableListing> {
  const { stdout, stderr, exitCode } = await execa("nft", ["-j", "list", "table", "inet", table], {
    reject: false,
    maxBuffer: MAX_LISTING_CHARS,
  });
  if (exitCode === 0) return parseTableListing(stdout);
  if (stderr.includes(ABSENT)) return { alive: false, elements: [], strays: [] };
  throw new Error(`nft list table: ${stderr.split("\n", 1)[0]}`);
}

async function runFile(text: string): Promise<void> {
  const { stderr, exitCode } = await execa("nft", ["-f", "-"], { input: text, reject: false });
  if (exitCode !== 0) throw new Error(`nft -f: ${stderr.split("\n", 1)[0]}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
