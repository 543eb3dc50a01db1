/**
 * What the agent client is told and what it asks for. Pure.
 */
import type {
  AgentMessage,
  ControlEvent,
  ControlRequest,
  Counters,
  OrderOutcome,
  SessionPut,
} from "../../protocol/control/messages.ts";
import type { GatewayVerdict } from "./verdict.ts";

/** A session as it should be. */
export type WantedSession = Omit<SessionPut, "kind" | "id">;

export type PutResult =
  | { readonly kind: "applied"; readonly recording?: OrderOutcome }
  | { readonly kind: "failed"; readonly verdict: GatewayVerdict; readonly code?: string };

export type AgentClientInput =
  /** Begins, with what the agent holds from before a restart. */
  | { readonly kind: "resume"; readonly sessions: readonly WantedSession[] }
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  | { readonly kind: "message"; readonly message: AgentMessage }
  | {
      readonly kind: "put";
      readonly session: WantedSession;
      readonly timeoutMs: number;
      /** Nobody waits for it, and it only narrows: it is done as soon as it can be. */
      readonly background?: boolean;
    }
  | { readonly kind: "close"; readonly session: string; readonly reason: string }
  /** Closes every session. */
  | { readonly kind: "close-all"; readonly reason: string }
  | { readonly kind: "tick" };

export type AgentClientEffect =
  | { readonly kind: "connect" }
  | { readonly kind: "disconnect"; readonly reason: string }
  | { readonly kind: "send"; readonly request: ControlRequest }
  /** The gateway serves, or no longer does. */
  | { readonly kind: "availability"; readonly up: boolean }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  | {
      readonly kind: "closed";
      readonly session: string;
      readonly counters: Counters;
      readonly exact: boolean;
    }
  /** The agent no longer holds what it had applied. */
  | { readonly kind: "session-lost"; readonly session: string; readonly code: string }
  | { readonly kind: "event"; readonly event: ControlEvent };
