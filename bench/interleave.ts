/** Times competing ways of doing one thing, turn about, so that a noisy machine disturbs all alike. */

export interface Contender {
  readonly name: string;
  /** Does the thing once. */
  readonly once: () => unknown;
}

export interface Comparison {
  readonly rounds: number;
  readonly callsPerRound: number;
  /** Median over rounds of microseconds a call, by contender. */
  readonly medianMicros: Readonly<Record<string, number>>;
  /** Median over rounds of (second contender's time / first contender's): how often faster the first is. */
  readonly ratio: number;
}

/** Runs both in turns, shows progress, and compares the second with the first. */
export async function interleave(
  [ours, peer]: readonly [Contender, Contender],
  { rounds = 15, callsPerRound = 50 } = {},
): Promise<Comparison> {
  const times: Record<"ours" | "peer", number[]> = { ours: [], peer: [] };
  await timeRound(ours, callsPerRound); // warm both up outside the figures
  await timeRound(peer, callsPerRound);
  for (let round = 0; round < rounds; round += 1) {
    times.ours.push(await timeRound(ours, callsPerRound));
    times.peer.push(await timeRound(peer, callsPerRound));
    process.stderr.write(`\rround ${round + 1} of ${rounds}${round + 1 === rounds ? "\n" : ""}`);
  }
  const ratios = times.peer.map((micros, round) => micros / (times.ours[round] ?? Number.NaN));
  return {
    rounds,
    callsPerRound,
    medianMicros: {
      [ours.name]: rounded(median(times.ours)),
      [peer.name]: rounded(median(times.peer)),
    },
    ratio: rounded(median(ratios)),
  };
}

async function timeRound({ once }: Contender, calls: number): Promise<number> {
  const from = process.hrtime.bigint();
  for (let call = 0; call < calls; call += 1) await once();
  return Number(process.hrtime.bigint() - from) / 1000 / calls;
}

/** @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [
    sorted[middle - 1 + (sorted.length % 2)],
    sorted[middle],
  ];
  return (low + high) / 2;
}

/** To two places. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
