/** Everything that can be wrong with a recording and with the ledger, found and named. Touches the store. */

import { isProtocolError } from "../../protocol/errors.ts";
import type { LedgerCheck } from "../../protocol/ledger/verify-ledger.ts";
import type { X25519KeyPair } from "../../protocol/sealing/sodium.ts";
import { findContradictions, verdictText } from "../core/completeness.ts";
import type { RecordingContents } from "../core/recording-contents.ts";
import { findMiscounts } from "../core/recount.ts";
import { type Archive, ArchiveError, type FileState, recordOf } from "./archive.ts";

export interface Finding {
  readonly what: string;
  readonly isGood: boolean;
  readonly detail: string;
}

export interface RecordingCheck {
  readonly recording: string;
  readonly isGood: boolean;
  readonly verdict: string | undefined;
  readonly findings: readonly Finding[];
}

/** The ledger as a finding. @param isSigned False: no key to check signatures with was given. */
export function ledgerFinding(check: LedgerCheck, isSigned: boolean): Finding {
  const what = "ledger";
  if (check.kind === "broken")
    return { what, isGood: false, detail: `line ${check.line} ${check.fault}` };
  const { sequence, sha256 } = check.head;
  const signatures = isSigned ? "chain and signatures good" : "chain good, signatures not checked";
  const end = check.isEndProven ? "end proven" : "end not provable without a head";
  return { what, isGood: true, detail: `${signatures}, ${end}; head ${sequence}:${sha256}` };
}

/** Checks one recording: its file, its place in the ledger, its counts. */
export async function verifyRecording(
  archive: Archive,
  recording: string,
  key: X25519KeyPair,
  ledger: LedgerCheck,
): Promise<RecordingCheck> {
  const findings: Finding[] = [];
  const say = (what: string, isGood: boolean, detail: string) =>
    findings.push({ what, isGood, detail });
  const read = await readOrFault(archive, recording, key);
  if ("fault" in read) say("container", false, read.fault);
  else say("container", true, "complete and unaltered");
  const file =
    "fault" in read ? await archive.measure(recording).catch(() => undefined) : read.file;
  if (file !== undefined) findings.push(inLedger(ledger, recording, file));
  if ("contents" in read) findings.push(counts(read.contents));
  const verdict = "contents" in read ? verdictText(read.contents.completeness.verdict) : undefined;
  return { recording, isGood: findings.every(({ isGood }) => isGood), verdict, findings };
}

async function readOrFault(
  archive: Archive,
  recording: string,
  key: X25519KeyPair,
): Promise<{ contents: RecordingContents; file: FileState } | { fault: string }> {
  try {
    return await archive.read(recording, key);
  } catch (error) {
    if (isProtocolError(error, "ERR_RECORDING_KEY")) throw error;
    if (isProtocolError(error) || error instanceof ArchiveError) return { fault: error.message };
    throw error;
  }
}

function inLedger(ledger: LedgerCheck, recording: string, file: FileState): Finding {
  const what = "file in ledger";
  const { openedAt, closed } = recordOf(ledger.entries, recording);
  const bad = (detail: string): Finding => ({ what, isGood: false, detail });
  if (openedAt === undefined) return bad("the ledger does not know it");
  if (closed === undefined) return bad("not closed: still being recorded, or interrupted");
  if (closed.bytes !== file.bytes)
    return bad(`${file.bytes} octets, the ledger says ${closed.bytes}`);
  if (closed.sha256 !== file.sha256) return bad("another SHA-256 than the ledger's");
  return { what, isGood: true, detail: `${file.bytes} octets, SHA-256 ${file.sha256}` };
}

function counts(contents: RecordingContents): Finding {
  const faults = [...findContradictions(contents.completeness), ...findMiscounts(contents)];
  const what = "counts";
  if (faults.length > 0) return { what, isGood: false, detail: faults.join("; ") };
  const isCounted = contents.completeness.streams.length > 0;
  const detail = isCounted ? "add up, and are those of the file" : "lost with an interruption";
  return { what, isGood: true, detail };
}
