/**
 * What the log may hold of an error: its class, and the code of whoever failed (the system, SQLite,
 * a parser). Its message could quote what was decrypted. Pure.
 */
export function nameOfError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown };
  const parts = [error.name, code, errcode].filter((part) => part !== undefined);
  return parts.join(" ");
}
