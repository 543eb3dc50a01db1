/**
 * What a dialog of a call hears and stands on, and its limits. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { PutResult } from "./agent-client-port.ts";
import type { Agreement } from "./agreement.ts";
import type { Inspection } from "./call-port.ts";
import type { Carrier, MessageInput } from "./carrier.ts";
import type { JudgeContext } from "./inspection.ts";
import type { LegGateSetting } from "./leg-gate.ts";
import type { Role } from "./negotiation.ts";

/** From an answer's arrival to its forwarding, opened and applied or not. */
export const ANSWER_TIMEOUT_MS = 500;
/** How long the opening of an offer may take. */
export const INSPECTION_TIMEOUT_MS = 2_000;
export type LegInput =
  | MessageInput
  | { readonly kind: "inspected"; readonly ref: string; readonly inspection: Inspection }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  /** A request that has not gone on is not to. */
  | { readonly kind: "withdrawn"; readonly ref: string }
  | { readonly kind: "session-lost" }
  /** Nothing more is let through for this dialog. */
  | { readonly kind: "end"; readonly reason: string }
  | { readonly kind: "tick" };

export interface LegSetting extends LegGateSetting {
  /** The callee's. */
  readonly tag: string;
  readonly names: JudgeContext["names"];
  readonly rules: JudgeContext["rules"];
}

/** A message that waits for its turn. */
export interface Task {
  readonly carrier: Carrier;
  /** What cannot be refused goes on by then. */
  readonly deadline: Millis;
}

/** A message that brings an offer or an answer. */
export interface Matter extends Task {
  readonly role: Role & { readonly kind: "offer" | "answer" };
}

/** What a dialog is at. */
export type Work =
  | { readonly kind: "idle" }
  | {
      readonly kind: "inspecting";
      readonly matter: Matter;
      readonly ref: string;
      readonly until: Millis;
    }
  | {
      readonly kind: "opening";
      readonly matter: Matter;
      readonly agreement: Agreement | undefined;
      readonly until: Millis;
    };

/** An answer cannot be refused, nor can an offer in a response. */
export const isRefusable = ({ role, carrier }: Matter): boolean =>
  role.kind === "offer" && carrier.kind === "request";
