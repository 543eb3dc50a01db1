/**
 * The shape of every pure machine: inputs and time go in, effects come out. Pure.
 */

/** Milliseconds since the Unix epoch, as the driver read them from its clock. */
export type Millis = number;

export interface Machine<Input, Effect> {
  /** Takes one input; returns what is to be done, in order. Effects are never left inside. */
  handle(input: Input, now: Millis): readonly Effect[];
  /** When `handle({ kind: "tick" }, now)` wants to be called next, if ever. */
  deadline(): Millis | undefined;
}
