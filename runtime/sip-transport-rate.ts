/**
 * How many messages one address may send: a token bucket for each, for a bounded number of
 * addresses. Touches nothing; the clock is an argument.
 */

export interface RateLimits {
  /** Messages a second from one address, in the long run. */
  readonly messagesPerSecond: number;
  /** How many of them may come at once. */
  readonly messageBurst: number;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/**
 * Addresses remembered. Whoever can send from more than these has as many buckets as he likes
 * anyway; the oldest makes room.
 */
export const MAX_RATED_ADDRESSES = 16_384;
const MS_PER_SECOND = 1_000;

export class MessageRate {
  readonly #limits: RateLimits;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: RateLimits) {
    this.#limits = limits;
  }

  /** False where everybody may send as he likes: nobody need be asked. */
  get isLimited(): boolean {
    return this.#limits.messagesPerSecond !== Number.POSITIVE_INFINITY;
  }

  /** Addresses remembered now. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes the token of one message; false when there is none: the message is to be dropped. */
  admit(address: string, nowMs: number): boolean {
    if (!this.isLimited) return true;
    const bucket = this.#bucketOf(address, nowMs);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Takes tokens for messages already read; returns the milliseconds until they are earned. */
  charge(address: string, messages: number, nowMs: number): number {
    if (!this.isLimited) return 0;
    const { messagesPerSecond } = this.#limits;
    const bucket = this.#bucketOf(address, nowMs);
    bucket.tokens -= messages;
    return bucket.tokens >= 0 ? 0 : (-bucket.tokens / messagesPerSecond) * MS_PER_SECOND;
  }

  #bucketOf(address: string, nowMs: number): Bucket {
    const { messagesPerSecond, messageBurst } = this.#limits;
    const known = this.#buckets.get(address);
    if (known !== undefined) {
      const earned = ((nowMs - known.filledAt) / MS_PER_SECOND) * messagesPerSecond;
      known.tokens = Math.min(messageBurst, known.tokens + earned);
      known.filledAt = nowMs;
      return known;
    }
    if (this.#buckets.size >= MAX_RATED_ADDRESSES) this.#forgetOldest();
    const bucket = { tokens: messageBurst, filledAt: nowMs };
    this.#buckets.set(address, bucket);
    return bucket;
  }

  #forgetOldest(): void {
    for (const address of this.#buckets.keys()) {
      this.#buckets.delete(address);
      return;
    }
  }
}
