/**
 * What was recorded of a call, by way of the commands that a user has: `keyhole recordings`. The
 * exported sound is laid beside the octets that the phones put on the wire.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeWav } from "../protocol/audio/wav.ts";
import type { CallReport } from "./call.ts";
import { matchSpeech, type SpeechMatch } from "./samples.ts";
import { runKeyhole, type Site } from "./site.ts";

/** The counts of one stream's RTP, as the recording states them. */
export interface StreamCounts {
  readonly admitted: number | null;
  readonly captured: number;
  readonly authenticated: number;
  readonly stored: number;
  readonly keptApart: number;
  readonly rejected: Readonly<Record<string, number>>;
}

export interface Recorded {
  readonly id: string;
  readonly verdict: string;
  /** False: `recordings verify` found a fault. */
  readonly verified: boolean;
  readonly wav: string;
  readonly pcapng: string;
  readonly durationMs: number;
  /** The left channel is what alice said, the right one what bob said. */
  readonly alice: SpeechMatch;
  readonly bob: SpeechMatch;
  readonly samplesEqual: boolean;
  readonly streams: Readonly<Record<"caller" | "callee", StreamCounts>>;
}

interface ListRow {
  readonly id: string;
  readonly callId?: string;
  /** `open` until the recording has its verdict. */
  readonly state: string;
}

interface Shown {
  readonly completeness: {
    readonly verdict: { readonly kind: string; readonly gaps?: readonly string[] };
    readonly streams: readonly {
      readonly label: "caller" | "callee";
      readonly rtp: StreamCounts;
    }[];
  };
}

/** Only what is broken takes so long. */
const CLOSE_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/** Waits until the call's recording is closed, then exports and verifies it. */
export async function readRecording(
  site: Pick<Site, "store" | "keys">,
  call: CallReport,
  results: string,
): Promise<Recorded> {
  const { id, shown } = await closedRecording(site, call.callId);
  const { wav, pcapng, sampleRateHz, left, right } = exportSound(site, id, results);
  const alice = matchSpeech(left, readFileSync(call.phones.alice.wireFile));
  const bob = matchSpeech(right, readFileSync(call.phones.bob.wireFile));
  return {
    ...{ id, wav, pcapng, alice, bob },
    verdict: shown.verdict.kind,
    verified: isVerified(site, id),
    durationMs: Math.round((left.length * 1000) / sampleRateHz),
    samplesEqual: alice.kind === "equal" && bob.kind === "equal",
    streams: { caller: countsOf(shown, "caller"), callee: countsOf(shown, "callee") },
  };
}

/** What each party said, as the store has it. */
export interface RecordedSound {
  /** Why the recording is not complete; empty if it is. */
  readonly gaps: readonly string[];
  readonly verified: boolean;
  readonly caller: Int16Array;
  readonly callee: Int16Array;
}

/** As `readRecording`, for phones that keep no account of their own. */
export async function readRecordedSound(
  site: Pick<Site, "store" | "keys">,
  callId: string,
  results: string,
): Promise<RecordedSound> {
  const { id, shown } = await closedRecording(site, callId);
  const { left, right } = exportSound(site, id, results);
  const verified = isVerified(site, id);
  return { gaps: shown.verdict.gaps ?? [], verified, caller: left, callee: right };
}

function exportSound(site: Pick<Site, "store" | "keys">, id: string, results: string) {
  mkdirSync(results, { recursive: true });
  const [wav, pcapng] = [join(results, "call.wav"), join(results, "call.pcapng")];
  runKeyhole(["recordings", "export", id, "--wav", wav, "--pcapng", pcapng, ...access(site)]);
  const { sampleRateHz, channels } = decodeWav(readFileSync(wav));
  const [left = new Int16Array(), right = new Int16Array()] = channels;
  return { wav, pcapng, sampleRateHz, left, right };
}

/** Every recording that the store holds, oldest first. */
export function listRecordings(site: Pick<Site, "store" | "keys">): readonly ListRow[] {
  return JSON.parse(
    runKeyhole(["recordings", "list", "--json", ...access(site)]),
  ) as readonly ListRow[];
}

type Completeness = Shown["completeness"];

async function closedRecording(
  site: Pick<Site, "store" | "keys">,
  callId: string,
): Promise<{ id: string; shown: Completeness }> {
  const deadline = performance.now() + CLOSE_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const row = listRecordings(site).find((each) => each.callId === callId);
    if (row !== undefined && row.state !== "open") {
      const shown = runKeyhole(["recordings", "show", row.id, "--json", ...access(site)]);
      return { id: row.id, shown: (JSON.parse(shown) as Shown).completeness };
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error("the call's recording was not closed in time");
}

function isVerified(site: Pick<Site, "store" | "keys">, id: string): boolean {
  try {
    const ledgerKey = join(site.keys, "ledger.pub");
    runKeyhole(["recordings", "verify", id, "--ledger-key", ledgerKey, ...access(site)]);
    return true;
  } catch {
    return false;
  }
}

function countsOf({ streams }: Completeness, label: "caller" | "callee"): StreamCounts {
  const counts = streams.find((stream) => stream.label === label)?.rtp;
  if (counts === undefined) throw new Error(`the recording has no stream of the ${label}`);
  return counts;
}

const access = ({ store, keys }: Pick<Site, "store" | "keys">): readonly string[] => [
  "--store",
  store,
  "--key",
  join(keys, "archive.key"),
];
