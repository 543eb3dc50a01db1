/**
 * Work that strangers can ask for: a few pieces at a time, sources in turn, and only so many
 * waiting, so that none keeps the others out. Pure but for the work itself.
 */

export interface FairQueueLimits {
  /** Pieces at work at one time. */
  readonly running: number;
  /** Pieces that wait, of all sources. */
  readonly waiting: number;
  /** Pieces that wait, of one source. */
  readonly waitingOfOne: number;
}

export class FairQueue {
  readonly #limits: FairQueueLimits;
  /** Who is first here is next; nobody stands here without work. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #waitingCount = 0;
  #runningCount = 0;

  constructor(limits: FairQueueLimits) {
    this.#limits = limits;
  }

  /** Pieces at work or waiting. */
  get size(): number {
    return this.#runningCount + this.#waitingCount;
  }

  /** Does the work in its turn, or returns undefined at once if there is no room for it. */
  run<T>(source: string, work: () => Promise<T>): Promise<T> | undefined {
    const { running, waiting, waitingOfOne } = this.#limits;
    if (this.#runningCount < running) return this.#start(work);
    const own = this.#waiting.get(source) ?? [];
    if (this.#waitingCount >= waiting || own.length >= waitingOfOne) return undefined;
    this.#waitingCount += 1;
    return new Promise((resolve, reject) => {
      own.push(() => void this.#start(work).then(resolve, reject));
      this.#waiting.set(source, own);
    });
  }

  async #start<T>(work: () => Promise<T>): Promise<T> {
    this.#runningCount += 1;
    try {
      return await work();
    } finally {
      this.#runningCount -= 1;
      this.#startNext();
    }
  }

  #startNext(): void {
    for (const [source, [next, ...rest]] of this.#waiting) {
      this.#waiting.delete(source);
      if (rest.length > 0) this.#waiting.set(source, rest); // behind the others
      this.#waitingCount -= 1;
      next?.();
      return;
    }
  }
}
