/** The class of an error, for the log: its message could quote what was decrypted. Pure. */
export const nameOfError = (error: unknown): string =>
  error instanceof Error ? error.name : typeof error;
