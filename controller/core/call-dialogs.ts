/**
 * The dialogs that one INVITE makes, by the To tag that each callee gave, and the sessions that
 * they hold: the first one with an answer takes over the offer's, each further one has its own.
 * Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { LegEffect, SessionName } from "./call-effect.ts";
import { CallLeg, type LegInput } from "./call-leg.ts";
import type { Offer } from "./inspection.ts";
import type { MediaPolicy } from "./media-policy.ts";

/** Dialogs that one INVITE may make; the responses of further ones pass, and open nothing. */
export const MAX_DIALOGS = 8;

export interface DialogsSetting {
  readonly policy: MediaPolicy;
  readonly nameSession: () => SessionName;
}

interface Dialog {
  stage: "early" | "confirmed" | "ended";
  /** Its 2xx has gone on and waits for the ACK this long. */
  ackBy: Millis | undefined;
  /** Absent in a call that passes unopened. */
  readonly leg: CallLeg | undefined;
}

export class CallDialogs {
  readonly #setting: DialogsSetting;
  readonly #dialogs = new Map<string, Dialog>();
  /** The offer's session while no dialog has taken it over. */
  #unclaimed: SessionName | undefined;
  /** The dialog whose 2xx came first: it answers the call. */
  #winner: string | undefined;

  constructor(setting: DialogsSetting) {
    this.#setting = setting;
  }

  has(tag: string): boolean {
    return this.#dialogs.has(tag);
  }

  get anyConfirmed(): boolean {
    return [...this.#dialogs.values()].some(({ stage }) => stage === "confirmed");
  }

  deadlines(): readonly (Millis | undefined)[] {
    const acks = [...this.#dialogs.values()].map(({ ackBy }) => ackBy);
    return [...this.#legs().map((leg) => leg.deadline()), ...acks];
  }

  /** Names the session that the offer opens. */
  nameOffer(): SessionName {
    this.#unclaimed = this.#setting.nameSession();
    return this.#unclaimed;
  }

  /** A provisional response or a 2xx. @param offer The sealed offer it answers, if any. */
  respond(response: SipResponse, offer: Offer | undefined, now: Millis): readonly LegEffect[] {
    const tag = messageTag(response, "To") ?? "";
    const dialog = this.#dialogs.get(tag) ?? this.#begin(tag, offer);
    return (
      dialog?.leg?.handle({ kind: "response", response }, now) ?? [
        { kind: "forward-response", response },
      ]
    );
  }

  run(tag: string, input: LegInput, now: Millis): readonly LegEffect[] {
    return this.#dialogs.get(tag)?.leg?.handle(input, now) ?? [];
  }

  runSession(session: string, input: LegInput, now: Millis): readonly LegEffect[] {
    return (
      this.#legs()
        .find((leg) => leg.session === session)
        ?.handle(input, now) ?? []
    );
  }

  tick(now: Millis): readonly LegEffect[] {
    return this.#legs().flatMap((leg) => leg.handle({ kind: "tick" }, now));
  }

  /**
   * A 2xx came: if it is the first, every other dialog is shut, so that none stands in the way of
   * what this one opens. What the offer opened stays until the 2xx goes on.
   */
  elect(tag: string, reason: string, now: Millis): readonly LegEffect[] {
    if (this.#winner !== undefined) return [];
    this.#winner = tag;
    return this.#endOthers(tag, reason, now);
  }

  /** A 2xx goes on. */
  confirm(tag: string, ackBy: Millis): void {
    const dialog = this.#dialogs.get(tag);
    if (dialog?.stage !== "early") return;
    dialog.stage = "confirmed";
    dialog.ackBy = ackBy;
  }

  acknowledge(tag: string): void {
    const dialog = this.#dialogs.get(tag);
    if (dialog !== undefined) dialog.ackBy = undefined;
  }

  /** Ends the dialogs whose ACK did not come in time. */
  endUnacknowledged(reason: string, now: Millis): readonly LegEffect[] {
    const late = [...this.#dialogs].filter(([, { ackBy }]) => ackBy !== undefined && ackBy <= now);
    return late.flatMap(([tag]) => this.end(tag, reason, now));
  }

  /** One dialog is over. */
  end(tag: string, reason: string, now: Millis): readonly LegEffect[] {
    const dialog = this.#dialogs.get(tag);
    if (dialog !== undefined) dialog.stage = "ended";
    this.acknowledge(tag);
    return this.run(tag, { kind: "end", reason }, now);
  }

  /** Shuts every dialog, and what the offer opened. */
  endAll(reason: string, now: Millis): readonly LegEffect[] {
    for (const tag of this.#dialogs.keys()) this.acknowledge(tag);
    return [...this.endUnclaimed(reason), ...this.#endOthers(undefined, reason, now)];
  }

  /** Shuts what the offer opened, unless a dialog has taken it over. */
  endUnclaimed(reason: string, session = this.#unclaimed?.session): readonly LegEffect[] {
    if (session === undefined || this.#unclaimed?.session !== session) return [];
    this.#unclaimed = undefined;
    return [{ kind: "close", session, reason }];
  }

  #endOthers(kept: string | undefined, reason: string, now: Millis): readonly LegEffect[] {
    const others = [...this.#dialogs].filter(([tag]) => tag !== kept);
    return others.flatMap(([, { leg }]) => leg?.handle({ kind: "end", reason }, now) ?? []);
  }

  #begin(toTag: string, offer: Offer | undefined): Dialog | undefined {
    if (this.#dialogs.size >= MAX_DIALOGS) return undefined;
    const { policy } = this.#setting;
    const claim = () => this.#claim();
    const leg = offer === undefined ? undefined : new CallLeg({ toTag, offer, policy, claim });
    const dialog: Dialog = { stage: "early", ackBy: undefined, leg };
    this.#dialogs.set(toTag, dialog);
    return dialog;
  }

  #claim(): SessionName & { readonly revision: number } {
    const name = this.#unclaimed;
    this.#unclaimed = undefined;
    return name === undefined
      ? { ...this.#setting.nameSession(), revision: 0 }
      : { ...name, revision: 1 };
  }

  #legs(): readonly CallLeg[] {
    return [...this.#dialogs.values()].flatMap(({ leg }) => (leg === undefined ? [] : [leg]));
  }
}
