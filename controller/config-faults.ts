/**
 * How one table of `controller.toml` is told to contradict another. Pure.
 */

export interface Contradiction {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export type Tables = Readonly<Record<string, unknown>>;

export const fault = (
  isWrong: boolean,
  path: Contradiction["path"],
  message: string,
): readonly Contradiction[] => (isWrong ? [{ path, message }] : []);

export function where<Row>(
  rows: readonly Row[],
  isWrong: (row: Row) => boolean,
  { path: [table, key], message }: { path: readonly [string, string]; message: string },
): readonly Contradiction[] {
  return rows.flatMap((row, index) =>
    isWrong(row) ? [{ path: [table, index, key], message }] : [],
  );
}

export function repeated<Row>(
  rows: readonly Row[],
  table: string,
  identify: (row: Row) => string,
): readonly Contradiction[] {
  const seen = new Set<string>();
  return rows.flatMap((row, index) => {
    const identity = identify(row);
    if (seen.has(identity)) return [{ path: [table, index], message: "stands there twice" }];
    seen.add(identity);
    return [];
  });
}

/** A field of what may be no table at all. */
export const fieldOf = (table: unknown, field: string): unknown =>
  typeof table === "object" && table !== null ? (table as Tables)[field] : undefined;
