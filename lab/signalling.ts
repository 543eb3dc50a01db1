/** SIP messages out of captured TCP, with the time at which each began to pass. Pure. */
import type { SipMessage } from "../protocol/sip/message.ts";
import { StreamFramer } from "../protocol/sip/stream-framer.ts";
import type { TcpStream } from "./tcp-streams.ts";

export interface PassedMessage {
  readonly from: string;
  readonly to: string;
  /** When its last part had passed, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly message: SipMessage;
}

/** Every SIP message that went over these streams in clear, in order of time. */
export function readSignalling(streams: readonly TcpStream[]): readonly PassedMessage[] {
  return streams.flatMap(readStream).sort((a, b) => a.atMs - b.atMs);
}

function readStream({ from, to, octets, marks }: TcpStream): PassedMessage[] {
  const framer = new StreamFramer();
  return marks.flatMap(({ offset, atMs }, index) =>
    framer
      .push(octets.subarray(offset, marks[index + 1]?.offset))
      .flatMap((item) =>
        item.kind === "request" || item.kind === "response"
          ? [{ from, to, atMs, message: item }]
          : [],
      ),
  );
}
