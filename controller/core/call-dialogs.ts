/**
 * The dialogs that one INVITE makes, by the To tag that each callee gave, and the sessions that
 * they hold: the first one with an answer takes over the offer's, each further one has its own.
 * Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { earliest } from "../../protocol/sip/transaction.ts";
import { type Offer, restoreAgreement } from "./agreement.ts";
import { CallLeg } from "./call-leg.ts";
import type { LegEffect } from "./call-port.ts";
import type { SavedDialog } from "./call-snapshot.ts";
import type { JudgeContext } from "./inspection.ts";
import type { LegInput } from "./leg-port.ts";
import { LegSession } from "./leg-session.ts";
import { Negotiation } from "./negotiation.ts";
import { wantedOf } from "./wanted.ts";

/** Dialogs that one INVITE may make; the responses of further ones pass, and open nothing. */
export const MAX_DIALOGS = 8;

/** The INVITE's own offer; without `offer` it passed unopened, or was `absent`. */
export interface InitialOffer {
  readonly offer: Offer | undefined;
  readonly absent: boolean;
}

interface Dialog {
  stage: "early" | "confirmed" | "ended";
  /** Its 2xx has gone on and waits for the ACK this long. */
  ackBy: Millis | undefined;
  /** Absent where nothing is opened. */
  readonly leg: CallLeg | undefined;
}

/** What the dialogs are judged by; undefined: nothing is opened. */
export type DialogsSetting = Pick<JudgeContext, "rules" | "names"> | undefined;

export class CallDialogs {
  readonly #setting: DialogsSetting;
  readonly #dialogs = new Map<string, Dialog>();
  /** The offer's session while no dialog has taken it over. */
  #unclaimed: LegSession | undefined;
  /** The dialog whose 2xx came first: it answers the call. */
  #winner: string | undefined;
  #isChanged = false;

  constructor(setting: DialogsSetting) {
    this.#setting = setting;
  }

  /** Brings back the confirmed dialogs of a call that was there before a restart. */
  restore(saved: readonly SavedDialog[]): void {
    for (const { tag, agreed, session } of saved) {
      this.#winner ??= tag;
      const { policy } = this.#setting?.rules ?? {};
      const agreement =
        agreed === null || policy === undefined ? undefined : restoreAgreement(agreed, policy);
      const negotiation = Negotiation.restore(agreement);
      const leg = this.#newLeg(tag, negotiation, session);
      this.#dialogs.set(tag, { stage: "confirmed", ackBy: undefined, leg });
    }
  }

  has(tag: string): boolean {
    return this.#dialogs.has(tag);
  }

  /** True for a dialog that may still change its media. */
  isAlive(tag: string): boolean {
    const stage = this.#dialogs.get(tag)?.stage;
    return stage === "early" || stage === "confirmed";
  }

  get anyConfirmed(): boolean {
    for (const { stage } of this.#dialogs.values()) if (stage === "confirmed") return true;
    return false;
  }

  get sessions(): readonly string[] {
    const claimed = this.#legs().flatMap(({ session }) => (session === undefined ? [] : [session]));
    return this.#unclaimed === undefined ? claimed : [...claimed, this.#unclaimed.name.session];
  }

  /** The recording that a dialog's session has, if it has one. */
  recordingOf(tag: string): string | undefined {
    return this.#dialogs.get(tag)?.leg?.recording;
  }

  /** True once after each change of what `save` says. */
  takeChange(): boolean {
    let isChanged = this.#isChanged;
    this.#isChanged = false;
    for (const { leg } of this.#dialogs.values()) if (leg?.takeChange() === true) isChanged = true;
    return isChanged;
  }

  save(): readonly SavedDialog[] {
    return [...this.#dialogs].flatMap(([tag, { stage, leg }]) => {
      if (stage !== "confirmed") return [];
      return [{ tag, ...(leg?.save() ?? { session: null, agreed: null }) }];
    });
  }

  deadline(): Millis | undefined {
    let first: Millis | undefined;
    for (const { ackBy, leg } of this.#dialogs.values())
      first = earliest(first, earliest(ackBy, leg?.deadline()));
    return first;
  }

  /** The session that the offer opens. */
  openOffer(session: LegSession): void {
    this.#unclaimed = session;
  }

  /** A response that comes after the end: its dialog is known, so that it can be left. */
  noteLate(response: SipResponse): void {
    const tag = messageTag(response, "To") ?? "";
    if (this.#dialogs.size < MAX_DIALOGS && !this.#dialogs.has(tag))
      this.#dialogs.set(tag, { stage: "ended", ackBy: undefined, leg: undefined });
  }

  /** A provisional response or a 2xx. */
  respond(response: SipResponse, initial: InitialOffer, now: Millis): readonly LegEffect[] {
    const tag = messageTag(response, "To") ?? "";
    const dialog = this.#dialogs.get(tag) ?? this.#begin(tag, initial);
    const input = { kind: "response", response } as const;
    const passes = dialog === undefined || dialog.stage === "ended";
    return (
      (passes ? undefined : dialog.leg?.handle(input, now)) ?? [
        { kind: "forward-response", response },
      ]
    );
  }

  /** Undefined: that dialog opens nothing. */
  run(tag: string, input: LegInput, now: Millis): readonly LegEffect[] | undefined {
    return this.#dialogs.get(tag)?.leg?.handle(input, now);
  }

  runSession(session: string, input: LegInput, now: Millis): readonly LegEffect[] {
    const leg = this.#legs().find((each) => each.session === session);
    return leg?.handle(input, now) ?? [];
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
    return this.#shutAll(tag, reason, now);
  }

  /** A 2xx goes on. */
  confirm(tag: string, ackBy: Millis): void {
    const dialog = this.#dialogs.get(tag);
    if (dialog?.stage !== "early") return;
    dialog.stage = "confirmed";
    dialog.ackBy = ackBy;
    this.#isChanged = true;
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
    if (dialog === undefined || dialog.stage === "ended") return [];
    dialog.stage = "ended";
    dialog.ackBy = undefined;
    this.#isChanged = true;
    return dialog.leg?.handle({ kind: "end", reason }, now) ?? [];
  }

  /** Ends every dialog, and shuts what the offer opened. */
  endAll(reason: string, now: Millis): readonly LegEffect[] {
    const effects = [...this.endUnclaimed(reason), ...this.#shutAll(undefined, reason, now)];
    for (const dialog of this.#dialogs.values()) {
      dialog.stage = "ended";
      dialog.ackBy = undefined;
    }
    return effects;
  }

  /** Shuts what the offer opened, unless a dialog has taken it over. */
  endUnclaimed(reason: string, session = this.#unclaimed?.name.session): readonly LegEffect[] {
    if (session === undefined || this.#unclaimed?.name.session !== session) return [];
    this.#unclaimed = undefined;
    return [{ kind: "close", session, reason }];
  }

  /** A loser stays a dialog: its own 2xx may still come, and its BYE with it. */
  #shutAll(kept: string | undefined, reason: string, now: Millis): readonly LegEffect[] {
    const effects: LegEffect[] = [];
    for (const [tag, { leg }] of this.#dialogs)
      if (tag !== kept && leg !== undefined)
        effects.push(...leg.handle({ kind: "end", reason }, now));
    return effects;
  }

  #begin(tag: string, initial: InitialOffer): Dialog | undefined {
    if (this.#dialogs.size >= MAX_DIALOGS) return undefined;
    const leg = this.#newLeg(tag, new Negotiation(initial), null);
    const dialog: Dialog = { stage: "early", ackBy: undefined, leg };
    this.#dialogs.set(tag, dialog);
    return dialog;
  }

  #newLeg(
    tag: string,
    negotiation: Negotiation,
    saved: SavedDialog["session"],
  ): CallLeg | undefined {
    if (this.#setting === undefined) return undefined;
    const { rules } = this.#setting;
    const claimOffered = () => this.#claimOffered();
    const claim = () => this.#claimOffered() ?? new LegSession(rules.nameSession());
    const session =
      saved === null ? undefined : LegSession.restore(saved, wantedOf(negotiation, rules));
    return new CallLeg({ ...this.#setting, tag, claim, claimOffered }, negotiation, session);
  }

  #claimOffered(): LegSession | undefined {
    const session = this.#unclaimed;
    this.#unclaimed = undefined;
    return session;
  }

  #legs(): readonly CallLeg[] {
    return [...this.#dialogs.values()].flatMap(({ leg }) => (leg === undefined ? [] : [leg]));
  }
}
