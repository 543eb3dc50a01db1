/**
 * A second reader of sealed recordings, written from docs/recording-format.md §2 and §4 alone: it
 * shares no code with the first one. It reads sound files and throws at anything else.
 */

import { createHash, createPublicKey, verify } from "node:crypto";
import sodium from "libsodium-wrappers";

await sodium.ready;

export interface ReadBlock {
  readonly type: number;
  readonly content: Buffer;
}

const sha256 = (octets: Uint8Array) => createHash("sha256").update(octets).digest();

/** The blocks of every segment. */
export function readRecording(
  file: Buffer,
  archive: { readonly publicKey: Buffer; readonly privateKey: Buffer },
): ReadBlock[][] {
  const segments: ReadBlock[][] = [];
  let at = 0;
  let isEnded = true;
  while (at < file.length) {
    const begin = at;
    if (file.toString("hex", at, at + 8) !== "894b485245430d0a") throw new Error("magic");
    if (file.readUInt16BE(at + 8) !== 1) throw new Error("version");
    if (file.readUInt16BE(at + 10) !== segments.length) throw new Error("number");
    if (!file.subarray(12, 28).equals(file.subarray(at + 12, at + 28))) throw new Error("id");
    if (!file.subarray(at + 28, at + 60).equals(sha256(file.subarray(0, at))))
      throw new Error("hash");
    const keys = file.readUInt16BE(at + 60);
    at += 62;
    let key: Uint8Array | undefined;
    for (let n = 0; n < keys; n++, at += 96)
      if (file.subarray(at, at + 16).equals(sha256(archive.publicKey).subarray(0, 16)))
        key = sodium.crypto_box_seal_open(
          file.subarray(at + 16, at + 96),
          archive.publicKey,
          archive.privateKey,
        );
    if (key === undefined) throw new Error("key");
    const stream = sodium.crypto_secretstream_xchacha20poly1305_init_pull(
      file.subarray(at, at + 24),
      key,
    );
    at += 24;
    let additional = file.subarray(begin, begin + 60);
    const blocks: ReadBlock[] = [];
    isEnded = false;
    while (!isEnded && at < file.length && file[at] !== 0x89) {
      const head = file.subarray(at, at + 5);
      const bytes = head.readUInt32BE(1);
      const pulled = sodium.crypto_secretstream_xchacha20poly1305_pull(
        stream,
        file.subarray(at + 5, at + 5 + bytes),
        Buffer.concat([additional, head]),
      );
      if (pulled === false) throw new Error("chunk");
      isEnded = head[0] === 2;
      if (pulled.tag !== (isEnded ? 3 : 0)) throw new Error("tag");
      const [type = 0] = pulled.message;
      blocks.push({ type, content: Buffer.from(pulled.message.subarray(1)) });
      additional = Buffer.alloc(0);
      at += 5 + bytes;
    }
    segments.push(blocks);
  }
  if (!isEnded) throw new Error("no end");
  return segments;
}

/** The acts of a ledger. @param publicKey Ed25519, 32 octets. */
export function readLedger(ledger: Buffer, publicKey: Buffer): unknown[] {
  const x = publicKey.toString("base64url");
  const key = createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } });
  const text = ledger.toString("utf8");
  if (text !== "" && !text.endsWith("\n")) throw new Error("torn");
  let previous = "0".repeat(64);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line, index) => {
      const entry = JSON.parse(line);
      const signed = line.slice(0, line.lastIndexOf(',"signature":'));
      const message = Buffer.from(`keyhole ledger entry 1\0${signed}`);
      if (!verify(null, message, key, Buffer.from(entry.signature, "base64")))
        throw new Error("signature");
      if (entry.key !== sha256(publicKey).toString("hex").slice(0, 32)) throw new Error("key");
      if (entry.sequence !== index + 1 || entry.previous !== previous) throw new Error("chain");
      previous = sha256(Buffer.from(line)).toString("hex");
      return entry.act;
    });
}
