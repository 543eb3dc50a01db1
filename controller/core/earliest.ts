/**
 * The first of several moments, of which some may not be. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";

export function earliest(...moments: readonly (Millis | undefined)[]): Millis | undefined {
  const known = moments.filter((each) => each !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
