/** Netstrings: `5:hello,`, octets led by their count, as baresip's ctrl_tcp frames its JSON. Pure. */

/** One message, framed. */
export function netstring(text: string): Buffer {
  const octets = Buffer.from(text, "utf8");
  return Buffer.concat([Buffer.from(`${octets.length}:`), octets, Buffer.from(",")]);
}

/** Takes a stream in pieces and gives whole messages. */
export class NetstringReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws RangeError what comes is no netstring. */
  push(chunk: Buffer): readonly Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const whole: Buffer[] = [];
    for (;;) {
      const colon = this.#rest.indexOf(":");
      if (colon < 0) return whole;
      const bytes = Number(this.#rest.toString("latin1", 0, colon));
      if (!Number.isInteger(bytes)) throw new RangeError("not a netstring");
      const end = colon + 1 + bytes;
      if (this.#rest.length <= end) return whole;
      whole.push(this.#rest.subarray(colon + 1, end));
      this.#rest = this.#rest.subarray(end + 1);
    }
  }
}
