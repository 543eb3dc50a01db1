/**
 * The phone's user: events go to stdout, commands come from stdin. Touches both, and stderr.
 */
import { EXIT_USAGE } from "../../runtime/command-line.ts";
import { LineSplitter } from "../../runtime/line-stream.ts";
import { type CallVerb, MAX_COMMAND_BYTES, parseCallCommand } from "../core/call-command.ts";
import type { CallEvent } from "../core/call-event.ts";
import { describePhoneEvent, type PhoneEvent } from "../core/phone-event.ts";

/** How events are written: one JSON object a line, or a sentence for a person. */
export type EventForm = "json" | "sentences";

/** Sentences at a terminal, unless JSON is asked for. */
export const eventForm = ({ json }: { readonly json?: true }): EventForm =>
  process.stdout.isTTY && json === undefined ? "sentences" : "json";

export function createReporter(form: EventForm): (event: PhoneEvent) => void {
  return (event) => {
    const text =
      form === "json" ? JSON.stringify(event) : printable(describePhoneEvent(event, localTime));
    process.stdout.write(`${text}\n`);
  };
}

/** Says what is wrong with the command line; returns the exit code for it. */
export function refuse(message: string): number {
  process.stderr.write(`keyhole device: ${message}\n`);
  return EXIT_USAGE;
}

/** Hears commands until `stop`; a line that is none is reported. */
export function listenToUser(
  tell: (verb: CallVerb) => void,
  report: (event: CallEvent) => void,
): { stop(): void } {
  const splitter = new LineSplitter(MAX_COMMAND_BYTES);
  const onData = (chunk: Buffer): void => {
    for (const line of splitter.push(chunk)) {
      const octets = line.kind === "line" ? line.octets : Buffer.alloc(0);
      const command = parseCallCommand(octets);
      if (command.kind === "command") tell(command.verb);
      else report({ event: "command-refused", reason: command.reason });
    }
  };
  process.stdin.on("data", onData);
  return {
    stop() {
      process.stdin.off("data", onData);
      process.stdin.pause();
    },
  };
}

/** What a peer put into a reason phrase must not drive the terminal. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, "?");

/** The clock on the wall, with the date where it is not today's. */
function localTime(at: number): string {
  const [moment, today] = [new Date(at), new Date()];
  const clock = moment.toLocaleTimeString("en-GB");
  if (moment.toDateString() === today.toDateString()) return clock;
  return `${moment.toLocaleDateString("sv-SE")} ${clock}`;
}
