/**
 * Reason: why a request was sent, or a call ended (RFC 3326). Pure.
 */
import { quote } from "./grammar.ts";

export interface Reason {
  /** `SIP`, `Q.850` or another. */
  readonly protocol: string;
  readonly cause?: number;
  readonly text?: string;
}

/** A branch is cancelled because another was answered: no missed call (RFC 3326 §3.1). */
export const COMPLETED_ELSEWHERE: Reason = {
  protocol: "SIP",
  cause: 200,
  text: "Call completed elsewhere",
};

/** Writes one value; `text` is one octet a character (`octetText`). */
export function serializeReason({ protocol, cause, text }: Reason): string {
  const why = cause === undefined ? "" : ` ;cause=${cause}`;
  return `${protocol}${why}${text === undefined ? "" : ` ;text=${quote(text)}`}`;
}
