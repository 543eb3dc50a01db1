/**
 * Cuts a stream of octets into lines ended by LF. Holds at most `maxLineBytes`.
 */

/** One line without its LF, or the fact that a longer one was skipped to its end. */
export type Line =
  | { readonly kind: "line"; readonly octets: Buffer }
  | { readonly kind: "too-long" };

export class LineSplitter {
  readonly #maxLineBytes: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #skipping = false;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Takes what arrived and returns the lines it completes. A long line is reported once, at its end. */
  push(chunk: Uint8Array): readonly Line[] {
    const octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: Line[] = [];
    let start = 0;
    for (let end = octets.indexOf(10); end !== -1; end = octets.indexOf(10, start)) {
      this.#hold(octets.subarray(start, end));
      lines.push(this.#take());
      start = end + 1;
    }
    this.#hold(octets.subarray(start));
    return lines;
  }

  #hold(part: Buffer): void {
    if (this.#skipping) return;
    this.#heldBytes += part.length;
    if (this.#heldBytes > this.#maxLineBytes) {
      this.#skipping = true;
      this.#held = [];
    } else if (part.length > 0) {
      // A copy: the part lies in a socket's read buffer.
      this.#held.push(Buffer.from(part));
    }
  }

  #take(): Line {
    const line: Line = this.#skipping
      ? { kind: "too-long" }
      : { kind: "line", octets: Buffer.concat(this.#held) };
    this.#held = [];
    this.#heldBytes = 0;
    this.#skipping = false;
    return line;
  }
}
