/**
 * What a phone tells its user about a call: one JSON object a line, or a plain sentence. Pure.
 * No event holds a key or a session description.
 */
import { assertNever } from "../../protocol/errors.ts";

/** Packets of one call, both ways. */
export interface MediaCounts {
  readonly sent: number;
  readonly sentRtcp: number;
  /** What reached our ports, of any kind and from anyone. */
  readonly received: number;
  readonly authenticated: number;
  readonly rejected: number;
}

export type CallEvent =
  | {
      readonly event: "listening";
      readonly transport: string;
      readonly address: string;
      readonly port: number;
    }
  | {
      readonly event: "calling";
      readonly callId: string;
      readonly sealed: boolean;
      /** SHA-256 of the offer's body as put on the wire, in hex. */
      readonly bodySha256: string;
    }
  | {
      readonly event: "incoming";
      readonly callId: string;
      readonly from: string;
      readonly sealed: boolean;
      /** SHA-256 of the offer's body as it arrived, in hex. */
      readonly bodySha256: string;
    }
  | {
      readonly event: "refused";
      readonly status: number;
      readonly reason: string;
      readonly bodySha256: string;
    }
  | { readonly event: "ringing" }
  | { readonly event: "answered"; readonly sealed: boolean }
  | { readonly event: "media-started" }
  | { readonly event: "played"; readonly sent: number }
  | ({ readonly event: "media-ended" } & MediaCounts)
  | { readonly event: "ended"; readonly reason: EndReason; readonly status: number }
  | {
      readonly event: "failed";
      readonly reason: string;
      /** The SIP status that ended it, if one did: the other side's, or our own. */
      readonly status?: number;
      /** The other side's Warning row. */
      readonly warning?: string;
    }
  | { readonly event: "command-refused"; readonly reason: string };

/** How a call that was up came to its end. */
export type EndReason = "hung-up" | "peer-hung-up";

/** The event as a sentence for a person at a terminal. */
export function describeEvent(event: CallEvent): string {
  switch (event.event) {
    case "listening":
      return `Waiting for a call on ${event.transport} ${event.address} port ${event.port}.`;
    case "calling":
      return `Calling, ${seal(event.sealed)}.`;
    case "incoming":
      return `${event.from} is calling, ${seal(event.sealed)}.`;
    case "refused":
      return `A call was refused with ${event.status}: ${event.reason}.`;
    case "ringing":
      return "It rings.";
    case "answered":
      return `Answered, ${seal(event.sealed)}.`;
    case "media-started":
      return "Sound is on its way.";
    case "played":
      return `All was played: ${event.sent} packets.`;
    case "media-ended":
      return (
        `Sound ended: ${event.sent} packets sent, ${event.received} received, ` +
        `${event.authenticated} of them genuine.`
      );
    case "ended":
      return event.reason === "hung-up" ? "We hung up." : "The other side hung up.";
    case "failed":
      return `The call failed${status(event.status)}: ${event.reason}${warning(event.warning)}.`;
    case "command-refused":
      return `Not done: ${event.reason}.`;
    default:
      return assertNever(event);
  }
}

const seal = (sealed: boolean): string => (sealed ? "sealed" : "not sealed");
const status = (code: number | undefined): string => (code === undefined ? "" : ` with ${code}`);
const warning = (text: string | undefined): string => (text === undefined ? "" : ` (${text})`);
