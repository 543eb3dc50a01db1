/** Whether dependency-cruiser saw the code. One that could not read TypeScript sees nothing, and reports success. Pure. */

/** What is wrong with a cruise of so many files; undefined if it saw them all. */
export function cruiseFault(output: string, files: number): string | undefined {
  const cruised = Number(/(\d+) modules/.exec(output)?.[1] ?? 0);
  return cruised < files ? `only ${cruised} modules were cruised, of ${files} files` : undefined;
}
