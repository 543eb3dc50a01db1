/**
 * One sealed recording on disk while it grows: append only, 0600, with its running SHA-256.
 * Touches one file.
 */

import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { type BlockType, scanContainer } from "../../protocol/sealing/container-format.ts";
import { ContainerWriter } from "../../protocol/sealing/container-writer.ts";
import type { Sodium } from "../../protocol/sealing/sodium.ts";

const FILE_MODE = 0o600;

export interface SealedFileState {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export class SealedFile {
  readonly #file: FileHandle;
  readonly #writer: ContainerWriter;
  readonly #hash: Hash;
  #bytes: number;

  private constructor(file: FileHandle, writer: ContainerWriter, hash: Hash, bytes: number) {
    this.#file = file;
    this.#writer = writer;
    this.#hash = hash;
    this.#bytes = bytes;
  }

  /** Creates the file and writes its first segment's header; leaves no file if it fails. @throws EEXIST. */
  static async create(
    path: string,
    recording: string,
    archiveKeys: readonly Buffer[],
    sodium: Sodium,
  ): Promise<SealedFile> {
    const file = await open(path, "ax", FILE_MODE);
    try {
      return await closedOnFault(file, () =>
        SealedFile.#begin(file, recording, 0, Buffer.alloc(0), archiveKeys, sodium),
      );
    } catch (error) {
      await unlink(path);
      throw error;
    }
  }

  /**
   * Goes on with a file that was left without an end: cuts what a crash left half written, and
   * begins a new segment.
   * @throws ProtocolError `ERR_RECORDING_SYNTAX` if it is no recording at all; ENOENT.
   */
  static async resume(
    path: string,
    recording: string,
    archiveKeys: readonly Buffer[],
    sodium: Sodium,
  ): Promise<SealedFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_APPEND);
    return closedOnFault(handle, async () => {
      const octets = await handle.readFile();
      const { segments, wholeBytes, tornBytes } = scanContainer(octets);
      if (tornBytes > 0) await handle.truncate(wholeBytes);
      const before = octets.subarray(0, wholeBytes);
      const number = segments.length;
      return SealedFile.#begin(handle, recording, number, before, archiveKeys, sodium);
    });
  }

  static async #begin(
    file: FileHandle,
    recording: string,
    number: number,
    before: Buffer,
    archiveKeys: readonly Buffer[],
    sodium: Sodium,
  ): Promise<SealedFile> {
    const hash = createHash("sha256").update(before);
    const previousSha256 = hash.copy().digest();
    const writer = new ContainerWriter({ recording, number, previousSha256 }, archiveKeys, sodium);
    const sealed = new SealedFile(file, writer, hash, before.length);
    await sealed.#append(writer.header);
    return sealed;
  }

  /** Seals and writes blocks; they are in the kernel's hands when this resolves. */
  async write(blocks: readonly { type: BlockType; octets: Uint8Array }[]): Promise<void> {
    if (blocks.length === 0) return;
    await this.#append(
      Buffer.concat(blocks.map(({ type, octets }) => this.#writer.seal(type, octets))),
    );
  }

  /** What was written is on the disk when this resolves. */
  sync(): Promise<void> {
    return this.#file.datasync();
  }

  /** Seals the last block, makes the file durable and closes it. */
  async end(type: BlockType, octets: Uint8Array): Promise<SealedFileState> {
    await this.#append(this.#writer.sealLast(type, octets));
    await this.#file.sync();
    await this.#file.close();
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Closes the file without an end, as a crash would. */
  async abandon(): Promise<void> {
    this.#writer.abandon();
    await this.#file.close();
  }

  async #append(octets: Buffer): Promise<void> {
    await this.#file.appendFile(octets);
    this.#hash.update(octets);
    this.#bytes += octets.length;
  }
}

async function closedOnFault<T>(file: FileHandle, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    await file.close();
    throw error;
  }
}
