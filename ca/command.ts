/** What the commands of `keyhole ca` have in common. Pure. */
import { InvalidArgumentError } from "commander";

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

/** Reads an option of so many days at most. */
export const daysUpTo =
  (maxDays: number) =>
  (text: string): number => {
    const days = Number(text);
    if (!Number.isInteger(days) || days < 1 || days > maxDays)
      throw new InvalidArgumentError(`a whole number from 1 to ${maxDays} expected`);
    return days;
  };
