/**
 * What has to go into a table yet: of each entry only the last word, so that a store that cannot be
 * written for a while costs no more memory than the entries themselves. Rows are numbered in the
 * order of their making: neighbours in time are neighbours on the disk. Pure.
 */

/** `value` undefined: the row is to go. */
export interface PendingWrite<T> {
  readonly row: number;
  readonly value: T | undefined;
}

export class PendingWrites<T> {
  /** Row numbers of what the table holds. */
  readonly #stored: Map<string, number>;
  readonly #pending = new Map<string, PendingWrite<T>>();
  #lastRow: number;

  /** @param stored names and rows of what the table holds already */
  constructor(stored: Iterable<readonly [name: string, row: number]>) {
    this.#stored = new Map(stored);
    this.#lastRow = [...this.#stored.values()].reduce((last, row) => Math.max(last, row), 0);
  }

  get size(): number {
    return this.#pending.size;
  }

  put(name: string, value: T): void {
    const row = this.#pending.get(name)?.row ?? this.#stored.get(name) ?? this.#newRow();
    this.#pending.set(name, { row, value });
  }

  /** What never came into the table needs not be taken out of it. */
  delete(name: string): void {
    const row = this.#stored.get(name);
    if (row === undefined) this.#pending.delete(name);
    else this.#pending.set(name, { row, value: undefined });
  }

  /** In the order in which they were first named. */
  writes(): Iterable<readonly [name: string, write: PendingWrite<T>]> {
    return this.#pending;
  }

  /** All of `writes` is in the table now. */
  written(): void {
    for (const [name, { row, value }] of this.#pending)
      if (value === undefined) this.#stored.delete(name);
      else this.#stored.set(name, row);
    this.#pending.clear();
  }

  #newRow(): number {
    this.#lastRow += 1;
    return this.#lastRow;
  }
}
