/**
 * Random octets by the handful without a call into the operating system for each: they are drawn
 * from a block that is filled at once. Each octet is handed out once.
 */
import { randomFillSync } from "node:crypto";

/** Octets drawn at one time. */
export const BLOCK_BYTES = 8192;

/** Makes a source of its own; more than a block at once is drawn by itself. */
export function createRandomPool(
  fill: (octets: Buffer) => void = (octets) => void randomFillSync(octets),
): (size: number) => Buffer {
  let block = Buffer.alloc(0);
  let used = 0;
  return (size) => {
    if (size > BLOCK_BYTES) {
      const own = Buffer.alloc(size);
      fill(own);
      return own;
    }
    if (used + size > block.length) {
      block = Buffer.alloc(BLOCK_BYTES);
      fill(block);
      used = 0;
    }
    used += size;
    return block.subarray(used - size, used);
  };
}
