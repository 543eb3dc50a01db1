/**
 * Which packet indices were seen already (RFC 3711 §3.3.2). Pure.
 * Asking and marking are two calls: between them stands the authentication.
 */

/** Indices remembered behind the highest; the RFC asks for 64 at least. */
export const REPLAY_WINDOW_PACKETS = 1024;

export class ReplayWindow {
  #highest = -1;
  /** One octet an index, at `index % REPLAY_WINDOW_PACKETS`. */
  readonly #seen = new Uint8Array(REPLAY_WINDOW_PACKETS);

  /** The highest index marked; -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /** True if this index was neither marked nor has left the window. */
  isFresh(index: number): boolean {
    if (index > this.#highest) return true;
    if (index <= this.#highest - REPLAY_WINDOW_PACKETS) return false;
    return this.#seen[index % REPLAY_WINDOW_PACKETS] === 0;
  }

  /** Marks a fresh index, once its packet is authenticated. */
  mark(index: number): void {
    const skipped = Math.min(index - this.#highest, REPLAY_WINDOW_PACKETS);
    for (let back = 0; back < skipped; back += 1)
      this.#seen[(index - back) % REPLAY_WINDOW_PACKETS] = 0;
    this.#seen[index % REPLAY_WINDOW_PACKETS] = 1;
    this.#highest = Math.max(this.#highest, index);
  }
}
