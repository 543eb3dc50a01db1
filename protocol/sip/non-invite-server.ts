/**
 * Server transaction of every method but INVITE and ACK (RFC 3261 §17.2.2, figure 8). Pure.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import type { SipResponse } from "./message.ts";
import {
  isFinal,
  type ServerEffect,
  type ServerInput,
  type TransactionSetting,
  waitMs,
} from "./transaction.ts";

type State =
  | { kind: "pending"; last: SipResponse | undefined }
  | { kind: "completed"; last: SipResponse; endAt: Millis }
  | { kind: "terminated" };

export class NonInviteServer implements Machine<ServerInput, ServerEffect> {
  readonly #setting: TransactionSetting;
  #state: State = { kind: "pending", last: undefined };

  constructor(setting: TransactionSetting) {
    this.#setting = setting;
  }

  /** True until a final response was given. */
  get isPending(): boolean {
    return this.#state.kind === "pending";
  }

  handle(input: ServerInput, now: Millis): readonly ServerEffect[] {
    switch (input.kind) {
      case "request":
        return this.#absorbRetransmission();
      case "respond":
        return this.#respond(input.response, now);
      case "tick":
        return this.#state.kind === "completed" && this.#state.endAt <= now ? this.#end() : [];
      case "transport-failed":
        return this.#lose();
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    return this.#state.kind === "completed" ? this.#state.endAt : undefined;
  }

  /** A datagram that did not leave is as good as lost, and sent again when asked for. */
  #lose(): readonly ServerEffect[] {
    if (!this.#setting.reliable) return [];
    return this.#state.kind === "pending"
      ? [{ kind: "failed", reason: "transport" }, ...this.#end()]
      : this.#end();
  }

  #absorbRetransmission(): readonly ServerEffect[] {
    const last = this.#state.kind === "terminated" ? undefined : this.#state.last;
    return last === undefined ? [] : [{ kind: "send", message: last }];
  }

  #respond(response: SipResponse, now: Millis): readonly ServerEffect[] {
    if (this.#state.kind !== "pending") return [];
    const send: ServerEffect = { kind: "send", message: response };
    if (!isFinal(response)) {
      this.#state = { kind: "pending", last: response };
      return [send];
    }
    if (this.#setting.reliable) return [send, ...this.#end()];
    const endAt = now + waitMs(this.#setting.timers); // Timer J
    this.#state = { kind: "completed", last: response, endAt };
    return [send];
  }

  #end(): readonly ServerEffect[] {
    if (this.#state.kind === "terminated") return [];
    this.#state = { kind: "terminated" };
    return [{ kind: "ended" }];
  }
}
