/**
 * When the dialogs of calls end unless they are refreshed (RFC 4028 §8.2-8.3). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import { type TimedRequest, timeResponse } from "../../protocol/sip/session-timer.ts";
import type { CallId } from "./controller-port.ts";

/** What the end of a dialog is called whose refresh did not come. */
export const SESSION_EXPIRED = "session expired";

export interface TimedDialog {
  readonly call: CallId;
  /** The callee's tag. */
  readonly tag: string;
}

export class SessionClock {
  readonly #ends = new DeadlineQueue();

  /** The 2xx of a session request as it goes on; what it says of the session is noted. */
  pass(
    response: SipResponse,
    { call, tag }: TimedDialog,
    timed: TimedRequest | undefined,
    now: Millis,
  ): SipResponse {
    if (timed === undefined || response.status < 200) return response;
    const { response: told, isAnswer, expiresAt } = timeResponse(response, timed, now);
    if (isAnswer) this.#ends.set(`${call} ${tag}`, expiresAt);
    return told;
  }

  stop({ call, tag }: TimedDialog): void {
    this.#ends.set(`${call} ${tag}`, undefined);
  }

  deadline(): Millis | undefined {
    return this.#ends.next();
  }

  takeDue(now: Millis): TimedDialog | undefined {
    const key = this.#ends.takeDue(now);
    if (key === undefined) return undefined;
    const space = key.indexOf(" ");
    return { call: key.slice(0, space), tag: key.slice(space + 1) };
  }
}
