/** The rows of `recordings list`. Touches the store. */

import { isProtocolError } from "../../protocol/errors.ts";
import type { LedgerEntry } from "../../protocol/ledger/ledger-entry.ts";
import type { X25519KeyPair } from "../../protocol/sealing/sodium.ts";
import type { Metadata } from "../core/metadata.ts";
import type { ListedRecording } from "../core/recording-text.ts";
import { type Archive, recordOf } from "./archive.ts";

/** All recordings, oldest first. @param key Without it, what is sealed stays unknown. */
export async function listArchive(
  archive: Archive,
  key: X25519KeyPair | undefined,
): Promise<readonly ListedRecording[]> {
  const ledger = await archive.checkLedger(undefined);
  const rows: ListedRecording[] = [];
  for (const recording of archive.knownWith(ledger))
    rows.push(await listOne(archive, ledger.entries, recording, key));
  const start = ({ startedAt = "" }: ListedRecording) => startedAt;
  return rows.toSorted((one, other) => start(one).localeCompare(start(other)));
}

async function listOne(
  archive: Archive,
  entries: readonly LedgerEntry[],
  recording: string,
  key: X25519KeyPair | undefined,
): Promise<ListedRecording> {
  const { openedAt, closed } = recordOf(entries, recording);
  const opened = await readOrFault(archive, recording, key);
  const metadata = typeof opened === "string" ? undefined : opened;
  const party = (id: string) => metadata?.participants.find((each) => each.id === id)?.nameId;
  return {
    id: recording,
    startedAt: metadata?.recording.startedAt ?? openedAt,
    durationMs: closed?.durationMs,
    from: party("caller"),
    to: party("callee"),
    callId: metadata?.session.callId,
    state: typeof opened === "string" ? opened : (closed?.verdict ?? "open"),
  };
}

/** A recording that cannot be read is listed with the reason, and hides no other. */
async function readOrFault(
  archive: Archive,
  recording: string,
  key: X25519KeyPair | undefined,
): Promise<Metadata | string | undefined> {
  if (!archive.recordings.includes(recording)) return "its file is missing";
  if (key === undefined) return undefined;
  try {
    return await archive.readBeginning(recording, key);
  } catch (error) {
    if (isProtocolError(error, "ERR_RECORDING_KEY")) return "sealed to another key";
    if (isProtocolError(error)) return error.message;
    throw error;
  }
}
