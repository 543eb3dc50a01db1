/**
 * Finds the line on which a value of a TOML text stands, so that a fault can name it. Pure.
 * Knows tables, arrays of tables and plain keys: what our config files use. Anything else falls
 * back to the nearest line found on the way.
 */

/** Line number from 1 of the value at `path` (as zod gives it), or of the nearest table above it. */
export function lineOfTomlPath(text: string, path: readonly PropertyKey[]): number | undefined {
  const wanted = path.map(String);
  let best: { line: number; depth: number } | undefined;
  const consider = (found: readonly string[], line: number): void => {
    const fits = found.length <= wanted.length && found.every((part, i) => part === wanted[i]);
    if (fits && found.length > (best?.depth ?? 0)) best = { line, depth: found.length };
  };

  let table: readonly string[] = [];
  const counts = new Map<string, number>();
  for (const [index, row] of text.split("\n").entries()) {
    const header = /^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$/.exec(row);
    if (header) {
      table = keyParts(header[2] ?? "");
      if (header[1] === "[[") table = [...table, String(nextIndex(counts, table.join(".")))];
      consider(table, index + 1);
      continue;
    }
    const key = /^\s*([\w".-]+)\s*=/.exec(row);
    if (key) consider([...table, ...keyParts(key[1] ?? "")], index + 1);
  }
  return best?.line;
}

function keyParts(dotted: string): readonly string[] {
  return dotted.split(".").map((part) => part.trim().replace(/^"(.*)"$/, "$1"));
}

function nextIndex(counts: Map<string, number>, name: string): number {
  const index = counts.get(name) ?? 0;
  counts.set(name, index + 1);
  return index;
}
