/**
 * The session of one dialog on the gateway: what was asked for last, and the next revision. Pure.
 */
import { MAX_PINHOLES_PER_SESSION } from "../../protocol/control/messages.ts";
import { MAX_ORDER_STREAMS } from "../../protocol/ingest/order.ts";
import type { LegEffect, SessionName } from "./call-port.ts";
import type { SavedDialog } from "./call-snapshot.ts";
import {
  destinationOf,
  keyOf,
  namePinholes,
  type Opening,
  type PinholeIds,
  sameOpenings,
  withoutOverlaps,
} from "./pinholes.ts";
import { type DraftStream, sameDrafts } from "./recording-order.ts";

/** What a session is to let through and have recorded. */
export interface Wanted {
  readonly openings: readonly Opening[];
  readonly drafts: readonly DraftStream[];
}

/**
 * Ids and destinations after which a session makes room for a new one: the gateway keeps a count for
 * each to the session's end, and has room for 256.
 */
export const MAX_COUNTED = 192;

/** Revisions left out after a restart: one that was asked for may not have been kept. */
export const RESTART_REVISIONS = 16;

export class LegSession {
  readonly name: SessionName;
  #revision = 0;
  #ids: PinholeIds = new Map();
  #applied: Wanted | undefined;
  /** What the gateway counts, by id and destination. */
  readonly #counted = new Set<string>();

  constructor(name: SessionName) {
    this.name = name;
  }

  /** As it was before a restart. @param agreed What it should have by what is agreed on. */
  static restore(saved: SavedDialog["session"] & object, agreed: Wanted): LegSession {
    const { session, recording, revision } = saved;
    const ids = new Map(saved.ids);
    const isAsAgreed =
      ids.size === agreed.openings.length && agreed.openings.every((each) => ids.has(keyOf(each)));
    const restored = new LegSession({ session, recording });
    restored.#revision = revision + RESTART_REVISIONS;
    restored.#ids = ids;
    restored.#applied = isAsAgreed ? agreed : undefined;
    return restored;
  }

  save(): SavedDialog["session"] {
    return { ...this.name, revision: this.#revision, ids: [...this.#ids] };
  }

  get revision(): number {
    return this.#revision;
  }

  /** True for one that has led to too many places. */
  get isWorn(): boolean {
    return this.#counted.size > MAX_COUNTED;
  }

  /** True if that much was asked for last. */
  has({ openings, drafts }: Wanted): boolean {
    const applied = this.#applied;
    return (
      applied !== undefined &&
      sameOpenings(openings, applied.openings) &&
      sameDrafts(drafts, applied.drafts)
    );
  }

  /** Asks for it. */
  put(
    wanted: Wanted,
    { timeoutMs, required, background }: PutTerms,
  ): LegEffect & { readonly kind: "put" } {
    const { pinholes, ids } = namePinholes(wanted.openings, this.#ids);
    for (const { id, to } of pinholes) this.#counted.add(`${id} ${destinationOf({ to })}`);
    this.#revision += 1;
    this.#ids = ids;
    this.#applied = wanted;
    const revision = this.#revision;
    const streams = wanted.drafts;
    const put = { ...this.name, revision, pinholes, streams, timeoutMs, required, background };
    return { kind: "put", put };
  }
}

export interface PutTerms {
  readonly timeoutMs: number;
  readonly required: boolean;
  readonly background: boolean;
}

/** As much of it as a session may have: what media has left goes first, then what is only offered. */
export function bounded(parts: readonly Wanted[]): Wanted {
  let openings: readonly Opening[] = [];
  for (const part of parts) {
    const more = withoutOverlaps([...openings, ...part.openings]);
    if (more.length <= MAX_PINHOLES_PER_SESSION) openings = more;
  }
  const drafts = parts.flatMap((part) => part.drafts);
  return { openings, drafts: oneEachDestination(drafts).slice(0, MAX_ORDER_STREAMS) };
}

/** A stream is known by where it goes: what comes first there counts. */
function oneEachDestination(drafts: readonly DraftStream[]): readonly DraftStream[] {
  const kept = new Map<string, DraftStream>();
  for (const draft of drafts) {
    const key = destinationOf({ to: draft.destination });
    if (!kept.has(key)) kept.set(key, draft);
  }
  return [...kept.values()];
}
