/**
 * What goes into the agent's machine and what comes out of it. Pure.
 */
import type {
  AgentMessage,
  ControlRequest,
  OrderOutcome,
} from "../../protocol/control/messages.ts";
import type { Count, Element } from "./element.ts";
import type { Change } from "./rules.ts";

/** A connection of the control socket, numbered by the server. */
export type ConnectionId = number;

/** Addresses as canonical text. */
export interface PacketEnds {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export type AgentInput =
  | {
      readonly kind: "request";
      readonly connection: ConnectionId;
      readonly request: ControlRequest;
    }
  | { readonly kind: "disconnected"; readonly connection: ConnectionId }
  /** The kernel has all changes of a batch, or none. */
  | { readonly kind: "applied"; readonly batch: number }
  | { readonly kind: "apply-failed"; readonly batch: number; readonly reason: string }
  /** The last count of an element that was deleted, from the kernel's own event. */
  | ({ readonly kind: "final"; readonly element: Element } & Count)
  /** Someone else deleted our table. */
  | { readonly kind: "firewall-lost" }
  /** Someone else took rules from our table; they are there again, and so are all elements. */
  | { readonly kind: "rules-lost" }
  | { readonly kind: "firewall"; readonly ready: boolean }
  | { readonly kind: "order-reply"; readonly order: string; readonly result: OrderOutcome }
  | {
      readonly kind: "recording-closed";
      readonly session: string;
      readonly recording: string;
      readonly completeness: unknown;
    }
  | { readonly kind: "capture"; readonly ready: boolean }
  | { readonly kind: "recorder"; readonly connected: boolean }
  | {
      readonly kind: "gap";
      readonly reason: string;
      readonly fromMicros: number;
      readonly toMicros: number;
    }
  /** The first copied packet to a watched destination. */
  | { readonly kind: "seen"; readonly packet: PacketEnds }
  | { readonly kind: "tick" };

export interface ClosedCount extends Count {
  readonly to: { readonly address: string; readonly port: number };
}

export type LogLevel = "debug" | "info" | "warn" | "error";

export type AgentEffect =
  | {
      readonly kind: "send";
      readonly connection: ConnectionId;
      readonly message: AgentMessage;
    }
  /** One transaction: all changes or none. Batches are applied in the order in which they were emitted. */
  | { readonly kind: "apply"; readonly batch: number; readonly changes: readonly Change[] }
  /** The table anew, then these elements. */
  | { readonly kind: "rebuild"; readonly changes: readonly Change[] }
  | {
      readonly kind: "relay-order";
      readonly order: string;
      readonly session: string;
      readonly recording: string;
      readonly sealedOrder: string;
    }
  | {
      readonly kind: "relay-close";
      readonly session: string;
      readonly reason: string;
      readonly counters: Readonly<Record<string, ClosedCount>>;
      /** False: the counts may be low. */
      readonly exact: boolean;
    }
  /** Report the next packet to this destination as `seen`, once. */
  | { readonly kind: "watch"; readonly address: string; readonly port: number }
  | { readonly kind: "unwatch"; readonly address: string; readonly port: number }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number | boolean>>;
    };
