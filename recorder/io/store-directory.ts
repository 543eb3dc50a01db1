/** Where things lie in a store: one directory, 0700. Touches that directory. */

import { chmod, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";

const DIRECTORY_MODE = 0o700;
const EXTENSION = ".khr";
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** The file of a recording in a store. */
export const recordingPath = (store: string, recording: string) =>
  join(store, `${recording}${EXTENSION}`);
export const ledgerPath = (store: string) => join(store, "ledger.jsonl");

/** Ids of the recordings whose files lie in a store, sorted. */
export async function listRecordings(store: string): Promise<readonly string[]> {
  const names = await readdir(store);
  const ids = names.flatMap((name) =>
    name.endsWith(EXTENSION) ? [name.slice(0, -EXTENSION.length)] : [],
  );
  return ids.filter((id) => UUID.test(id)).sort();
}

/** Makes the directory if need be, and only its owner's. */
export async function prepareStore(store: string): Promise<void> {
  await mkdir(store, { recursive: true, mode: DIRECTORY_MODE });
  await chmod(store, DIRECTORY_MODE);
}

/** A new file's name is durable only once its directory is. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
