/** Why something could not be done, for a person. Touches nothing. */
import { isProtocolError } from "../../protocol/errors.ts";

/**
 * What went wrong in the world or with a peer, with the code that the system gave it.
 * Rethrows what is no Error.
 */
export function reasonOf(error: unknown): string {
  if (isProtocolError(error)) return error.message;
  if (!(error instanceof Error)) throw error;
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return cause?.code === undefined ? error.message : `${error.message} (${cause.code})`;
}
