/** Key files: PEM, of the one kind that each place wants. Touches those files only. */

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";

export type KeyKind = "ed25519" | "x25519";

/** A key file cannot be used; the message names the file and says why. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
  readonly code = "ERR_KEY_FILE";
}

/** @throws KeyFileError */
export function readPrivateKey(path: string, kind: KeyKind): KeyObject {
  return readKey(path, kind, "private", createPrivateKey);
}

/** A public key, from its own file or from that of the private one. @throws KeyFileError */
export function readPublicKey(path: string, kind: KeyKind): KeyObject {
  return readKey(path, kind, "public", createPublicKey);
}

function readKey(
  path: string,
  kind: KeyKind,
  half: string,
  create: (pem: Buffer) => KeyObject,
): KeyObject {
  const key = parseKey(path, half, create);
  if (key.asymmetricKeyType !== kind)
    throw new KeyFileError(`${path}: ${key.asymmetricKeyType} key, not ${kind}`);
  return key;
}

function parseKey(path: string, half: string, create: (pem: Buffer) => KeyObject): KeyObject {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new KeyFileError(`${path}: cannot be read (${code})`, { cause });
  }
  try {
    return create(pem);
  } catch {
    throw new KeyFileError(`${path}: no ${half} key in PEM`);
  } finally {
    pem.fill(0);
  }
}
