/** What the commands of `keyhole ca` have in common. */

/** Where a command speaks. */
export interface Terminal {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

// Exit codes of sysexits.h.
export const EXIT_DATA = 65;
export const EXIT_CANNOT_CREATE = 73;
/** There is no such certificate. */
export const EXIT_NOT_FOUND = 1;
