/**
 * What one dialog asks of the gateway: its session, taken over or made when it is first needed. Pure.
 */
import type { PutResult } from "./agent-client-port.ts";
import type { CallRules, LegEffect } from "./call-port.ts";
import type { SavedDialog } from "./call-snapshot.ts";
import type { LegSession, Wanted } from "./leg-session.ts";

export interface LegGateSetting {
  readonly rules: Pick<CallRules, "applyTimeoutMs" | "mustRecord">;
  /** Gives the dialog its session, the first time it is needed. */
  readonly claim: () => LegSession;
  /** The offer's session, if no dialog has claimed it. */
  readonly claimOffered: () => LegSession | undefined;
}

export class LegGate {
  readonly #setting: LegGateSetting;
  #session: LegSession | undefined;
  #isChanged = false;

  /** @param session Of a dialog that was there before a restart. */
  constructor(setting: LegGateSetting, session: LegSession | undefined) {
    this.#setting = setting;
    this.#session = session;
  }

  /** The session it has claimed, if any. */
  get session(): string | undefined {
    return this.#session?.name.session;
  }

  get recording(): string | undefined {
    return this.#session?.name.recording;
  }

  save(): SavedDialog["session"] {
    return this.#session?.save() ?? null;
  }

  /** True once after each change of what `save` says. */
  takeChange(): boolean {
    const isChanged = this.#isChanged;
    this.#isChanged = false;
    return isChanged;
  }

  /** True if nothing has to be asked for to have that much. */
  has(wanted: Wanted): boolean {
    return this.#session?.has(wanted) ?? wanted.openings.length === 0;
  }

  /** True for what was asked for last. */
  isLatest(session: string, revision: number): boolean {
    return session === this.session && revision === this.#session?.revision;
  }

  /** Asks for what somebody waits for, in another session if this one has led to too many places. */
  put(wanted: Wanted, timeoutMs: number): readonly LegEffect[] {
    const closed = this.#session?.isWorn === true ? this.close("too many changes") : [];
    this.#session ??= this.#setting.claim();
    this.#isChanged = true;
    const required = this.#setting.rules.mustRecord;
    return [...closed, this.#session.put(wanted, { timeoutMs, required, background: false })];
  }

  /** Asks for less, for which nobody waits. */
  narrow(wanted: Wanted): readonly LegEffect[] {
    if (this.#session === undefined || this.#session.has(wanted)) return [];
    this.#isChanged = true;
    const { applyTimeoutMs: timeoutMs, mustRecord: required } = this.#setting.rules;
    return [this.#session.put(wanted, { timeoutMs, required, background: true })];
  }

  /** Takes over what the offer has opened, so that it is closed with the rest. */
  adoptOffered(): void {
    this.#session ??= this.#setting.claimOffered();
  }

  close(reason: string): readonly LegEffect[] {
    const { session } = this;
    this.#session = undefined;
    this.#isChanged = true;
    return session === undefined ? [] : [{ kind: "close", session, reason }];
  }
}

/** Holes without the recorder's consent are worth nothing where recording is required. */
export function withRecording(result: PutResult, mustRecord: boolean): PutResult {
  if (result.kind === "failed" || !mustRecord) return result;
  return result.recording === "accepted" ? result : { kind: "failed", verdict: "not-recorded" };
}
