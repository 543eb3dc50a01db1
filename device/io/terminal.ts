/**
 * The phone's user: events go to stdout, commands come from stdin. Touches both.
 */
import { LineSplitter } from "../../runtime/line-stream.ts";
import { type CallVerb, MAX_COMMAND_BYTES, parseCallCommand } from "../core/call-command.ts";
import { type CallEvent, describeEvent } from "../core/call-event.ts";

/** How events are written: one JSON object a line, or a sentence for a person. */
export type EventForm = "json" | "sentences";

export function createReporter(form: EventForm): (event: CallEvent) => void {
  return (event) => {
    const text = form === "json" ? JSON.stringify(event) : printable(describeEvent(event));
    process.stdout.write(`${text}\n`);
  };
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
