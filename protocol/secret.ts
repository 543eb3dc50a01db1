/**
 * Octets that must not be seen: every way of printing shows their length only. Pure.
 */

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

export class Secret {
  readonly #octets: Buffer;
  #wiped = false;

  /** Takes a copy; the caller may wipe his own octets. */
  constructor(octets: Uint8Array) {
    this.#octets = Buffer.from(octets);
  }

  get length(): number {
    return this.#octets.length;
  }

  get isWiped(): boolean {
    return this.#wiped;
  }

  /**
   * The octets themselves, not a copy: for the cipher that uses them, never for keeping.
   * @throws RangeError after `wipe()`.
   */
  expose(): Buffer {
    if (this.#wiped) throw new RangeError("secret was wiped");
    return this.#octets;
  }

  /** Overwrites the octets; the secret cannot be used again. */
  wipe(): void {
    this.#octets.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return `[secret ${this.#octets.length} bytes]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [INSPECT](): string {
    return this.toString();
  }
}
