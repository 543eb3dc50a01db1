/**
 * The response context of one forwarded request (RFC 3261 §16.7): its branches, who is asked next,
 * what goes upstream, who is cancelled. INVITE or not; forking in groups (§16.6: those of one q
 * together, the next q when all have refused) and, within a branch, failover to the next server
 * (RFC 3263 §4.3) or to another flow of the same phone (RFC 5626 §7). Pure.
 *
 * ```text
 *  groups [[[a1, a2], [b]], [[c]]]:  a1 and b at once; a2 if a1 is dead; c when both have refused
 * ```
 *
 * Upstream go every 1xx but 100 until a final response has gone, every 2xx of an INVITE at once
 * and always, and once the best of all other final responses. Timer C, and the rule that CANCEL
 * waits for a provisional response, are the client transaction's.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { BestResponse, type OwnResponse, parseRetryAfter } from "./best-response.ts";
import type { SipResponse } from "./message.ts";
import type { FailureReason } from "./transaction.ts";

export interface ResponseContextSetting {
  /** Of the request; CANCEL is for INVITE only (§9.1). */
  readonly method: string;
  /** 64*T1: how long a 2xx may come again (RFC 6026 §7.2, Timer M). */
  readonly acceptedMs: number;
  /** How long a group but the last may ring before the next is asked; as long as it likes if absent. */
  readonly groupMs?: number;
}

/** The servers for one target, in the order of RFC 3263 §4; never empty. */
export type Alternatives<T> = readonly T[];

export type ResponseContextInput<T> =
  /** First of all and once. */
  | { readonly kind: "start"; readonly groups: readonly (readonly Alternatives<T>[])[] }
  /** A response without our Via; 100 as well, since it tells that the server lives. */
  | { readonly kind: "response"; readonly branch: number; readonly response: SipResponse }
  /** The branch's client transaction ended without final response, or could not begin. */
  | { readonly kind: "failed"; readonly branch: number; readonly reason: FailureReason }
  /** The caller's CANCEL, or his disappearance. */
  | { readonly kind: "cancel" }
  | { readonly kind: "tick" };

/** Why a branch is cancelled; the CANCEL may say it (RFC 3326 §2). */
export type CancelCause = "answered-elsewhere" | "declined-elsewhere" | "cancelled" | "no-answer";

export type ResponseContextEffect<T> =
  /** A client transaction of its own each time, also where the branch has had one before. */
  | { readonly kind: "forward"; readonly branch: number; readonly target: T }
  | { readonly kind: "cancel-branch"; readonly branch: number; readonly cause: CancelCause }
  | { readonly kind: "respond"; readonly response: SipResponse | OwnResponse }
  /** A server that is dead or asks for rest: better not asked first by the next request. */
  | { readonly kind: "target-failed"; readonly target: T; readonly retryAfterS?: number }
  /** Nothing more will come: the context can be forgotten. */
  | { readonly kind: "done" };

interface Branch<T> {
  readonly alternatives: Alternatives<T>;
  /** Which of them is asked now. */
  at: number;
  state: "trying" | "proceeding" | "ringing" | "accepted" | "ended";
  isCancelled: boolean;
}

type Phase =
  | { readonly kind: "searching"; readonly groupEndsAt: Millis | undefined }
  /** Nobody else is asked, since a 6xx or a CANCEL came: the last word of each branch is awaited. */
  | { readonly kind: "closing"; readonly endAt: Millis }
  /** An INVITE has its 2xx; more of them may come, the last time a new one at `acceptedAt`. */
  | { readonly kind: "answered"; readonly acceptedAt: Millis }
  | { readonly kind: "done" };

/** A CANCEL waits 64*T1 at most for its provisional response, and as long for the final one. */
const LINGER_FACTOR = 3;
const UNAVAILABLE = 503;
const FLOW_FAILED = 430;

export class ResponseContext<T>
  implements Machine<ResponseContextInput<T>, ResponseContextEffect<T>>
{
  readonly #setting: ResponseContextSetting;
  readonly #branches: Branch<T>[] = [];
  readonly #best = new BestResponse();
  #groups: readonly (readonly Alternatives<T>[])[] = [];
  #groupsBegun = 0;
  #phase: Phase = { kind: "searching", groupEndsAt: undefined };
  #isCancelled = false;
  #pending = 0;

  constructor(setting: ResponseContextSetting) {
    this.#setting = setting;
  }

  /** Branches without final response. */
  get pendingCount(): number {
    return this.#pending;
  }

  /** @throws RangeError for a branch that this context did not make, or one without target. */
  handle(input: ResponseContextInput<T>, now: Millis): readonly ResponseContextEffect<T>[] {
    if (this.#phase.kind === "done") return [];
    switch (input.kind) {
      case "start":
        this.#groups = input.groups.filter((group) => group.length > 0);
        return this.#beginGroup(now);
      case "response":
        return this.#receive(input.branch, input.response, now);
      case "failed":
        return this.#fail(input.branch, input.reason, now);
      case "cancel":
        return this.#cancel(now);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const phase = this.#phase;
    switch (phase.kind) {
      case "searching":
        return phase.groupEndsAt;
      case "closing":
        return phase.endAt;
      case "answered": {
        const { acceptedMs } = this.#setting;
        return phase.acceptedAt + (this.#pending === 0 ? acceptedMs : acceptedMs * LINGER_FACTOR);
      }
      case "done":
        return undefined;
      default:
        return assertNever(phase);
    }
  }

  get #isInvite(): boolean {
    return this.#setting.method === "INVITE";
  }

  #beginGroup(now: Millis): readonly ResponseContextEffect<T>[] {
    const group = this.#groups[this.#groupsBegun];
    if (group === undefined) return this.#finish();
    this.#groupsBegun += 1;
    const { groupMs } = this.#setting;
    const isTimed =
      groupMs !== undefined && this.#isInvite && this.#groupsBegun < this.#groups.length;
    this.#phase = { kind: "searching", groupEndsAt: isTimed ? now + groupMs : undefined };
    return group.map((alternatives) => this.#addBranch(alternatives));
  }

  #addBranch(alternatives: Alternatives<T>): ResponseContextEffect<T> {
    const branch = this.#branches.length;
    const target = targetOf(alternatives, 0);
    this.#branches.push({ alternatives, at: 0, state: "trying", isCancelled: false });
    this.#pending += 1;
    return { kind: "forward", branch, target };
  }

  #receive(index: number, response: SipResponse, now: Millis): readonly ResponseContextEffect<T>[] {
    const branch = this.#branch(index);
    const { status } = response;
    if (status >= 200 && status < 300) return this.#succeed(branch, response, now);
    if (!isPending(branch)) return [];
    if (status < 200) return this.#proceed(branch, response);
    const rests = status === UNAVAILABLE ? this.#noteRest(branch, response) : [];
    if ((status === UNAVAILABLE || status === FLOW_FAILED) && mayFailOver(branch))
      return [...rests, this.#failOver(branch, index)];
    this.#best.add(response);
    return [...rests, ...this.#end(branch, status >= 600, now)];
  }

  /** §16.7 item 5: passed on at once until a final response has gone. */
  #proceed(branch: Branch<T>, response: SipResponse): readonly ResponseContextEffect<T>[] {
    if (response.status === 100) {
      if (branch.state === "trying") branch.state = "proceeding";
      return [];
    }
    branch.state = "ringing";
    return this.#phase.kind === "answered" ? [] : [{ kind: "respond", response }];
  }

  #succeed(
    branch: Branch<T>,
    response: SipResponse,
    now: Millis,
  ): readonly ResponseContextEffect<T>[] {
    const passed: ResponseContextEffect<T> = { kind: "respond", response };
    if (!this.#isInvite) {
      this.#phase = { kind: "done" };
      return [passed, { kind: "done" }];
    }
    if (branch.state === "accepted") return [passed];
    if (isPending(branch)) this.#pending -= 1;
    branch.state = "accepted";
    const others = this.#pending === 0 ? [] : this.#cancelPending("answered-elsewhere");
    this.#phase = { kind: "answered", acceptedAt: now };
    return others.length === 0 ? [passed] : [passed, ...others];
  }

  /** §16.7 item 10; each branch once. */
  #cancelPending(cause: CancelCause): ResponseContextEffect<T>[] {
    const effects: ResponseContextEffect<T>[] = [];
    for (const [index, branch] of this.#branches.entries()) {
      if (!isPending(branch) || branch.isCancelled) continue;
      branch.isCancelled = true;
      if (this.#isInvite) effects.push({ kind: "cancel-branch", branch: index, cause });
    }
    return effects;
  }

  #fail(index: number, reason: FailureReason, now: Millis): readonly ResponseContextEffect<T>[] {
    const branch = this.#branch(index);
    if (!isPending(branch)) return [];
    const isDead = reason === "transport" || branch.state === "trying";
    const target = targetOf(branch.alternatives, branch.at);
    const failed: ResponseContextEffect<T>[] = isDead ? [{ kind: "target-failed", target }] : [];
    if (isDead && mayFailOver(branch)) return [...failed, this.#failOver(branch, index)];
    this.#best.addFailure(reason);
    return [...failed, ...this.#end(branch, false, now)];
  }

  /** 503 with Retry-After asks to be left alone (§21.5.4). */
  #noteRest(branch: Branch<T>, response: SipResponse): readonly ResponseContextEffect<T>[] {
    const retryAfterS = parseRetryAfter(response);
    if (retryAfterS === undefined) return [];
    const target = targetOf(branch.alternatives, branch.at);
    return [{ kind: "target-failed", target, retryAfterS }];
  }

  #failOver(branch: Branch<T>, index: number): ResponseContextEffect<T> {
    branch.at += 1;
    branch.state = "trying";
    return { kind: "forward", branch: index, target: targetOf(branch.alternatives, branch.at) };
  }

  #end(branch: Branch<T>, isLastWord: boolean, now: Millis): readonly ResponseContextEffect<T>[] {
    branch.state = "ended";
    this.#pending -= 1;
    const closed =
      isLastWord && this.#phase.kind === "searching" ? this.#close("declined-elsewhere", now) : [];
    switch (this.#phase.kind) {
      case "searching":
        return this.#isGroupOver() ? this.#beginGroup(now) : [];
      case "closing":
        return this.#pending === 0 ? this.#finish() : closed;
      case "answered":
      case "done":
        return [];
      default:
        return assertNever(this.#phase);
    }
  }

  /** With a group to come, nobody waits for the last words of those already cancelled. */
  #isGroupOver(): boolean {
    if (this.#pending === 0) return true;
    const isAsked = (branch: Branch<T>): boolean => isPending(branch) && !branch.isCancelled;
    return this.#groupsBegun < this.#groups.length && !this.#branches.some(isAsked);
  }

  #cancel(now: Millis): readonly ResponseContextEffect<T>[] {
    if (!this.#isInvite || this.#phase.kind !== "searching") return [];
    this.#isCancelled = true;
    const closed = this.#close("cancelled", now);
    return this.#pending === 0 ? this.#finish() : closed;
  }

  #close(cause: CancelCause, now: Millis): readonly ResponseContextEffect<T>[] {
    this.#phase = { kind: "closing", endAt: now + this.#setting.acceptedMs * LINGER_FACTOR };
    return this.#cancelPending(cause);
  }

  #tick(now: Millis): readonly ResponseContextEffect<T>[] {
    if ((this.deadline() ?? Number.POSITIVE_INFINITY) > now) return [];
    switch (this.#phase.kind) {
      case "searching":
        return [...this.#cancelPending("no-answer"), ...this.#beginGroup(now)];
      case "closing":
        return this.#finish();
      case "answered":
      case "done":
        this.#phase = { kind: "done" };
        return [{ kind: "done" }];
      default:
        return assertNever(this.#phase);
    }
  }

  #finish(): readonly ResponseContextEffect<T>[] {
    this.#phase = { kind: "done" };
    return [{ kind: "respond", response: this.#best.choose(this.#isCancelled) }, { kind: "done" }];
  }

  #branch(index: number): Branch<T> {
    const branch = this.#branches[index];
    if (branch === undefined) throw new RangeError("no such branch");
    return branch;
  }
}

const isPending = <T>({ state }: Branch<T>): boolean => state !== "accepted" && state !== "ended";

/** Never once it rang there: the same phone must not ring twice. */
const mayFailOver = <T>({ state, isCancelled, at, alternatives }: Branch<T>): boolean =>
  !isCancelled && state !== "ringing" && at + 1 < alternatives.length;

function targetOf<T>(alternatives: Alternatives<T>, at: number): T {
  const target = alternatives[at];
  if (target === undefined) throw new RangeError("a branch without target");
  return target;
}
