/**
 * What outlives the controller, as its shell needs it: registrations, calls and the sessions that
 * the gateway holds for them. Without a database everything is forgotten. Touches that database.
 */
import type { Logger } from "../../runtime/logger.ts";
import type { WantedSession } from "../core/agent-client-port.ts";
import type { Binding, BindingChange } from "../core/bindings.ts";
import { SAVED_CALL_VERSION, type SavedCall } from "../core/saved-call.ts";
import { StateDatabase, type StoreFault } from "./state-database.ts";

export interface RestoredState {
  readonly bindings: readonly Binding[];
  readonly calls: readonly { readonly id: string; readonly saved: SavedCall }[];
  readonly sessions: readonly WantedSession[];
}

const NOTHING: RestoredState = { bindings: [], calls: [], sessions: [] };

export class SavedState {
  readonly #database: StateDatabase | undefined;

  private constructor(database: StateDatabase | undefined) {
    this.#database = database;
  }

  /** @param file Absent: nothing is kept. @throws ConfigError for a file that cannot be used. */
  static open(file: string | undefined, log: Logger): SavedState {
    if (file === undefined) return new SavedState(undefined);
    const onFault = (fault: StoreFault) => {
      if (fault.kind === "recovered") log.info("state database takes writes again");
      else
        log.error(
          { error: fault.error.message, unwritten: fault.unwritten },
          "state database takes no writes",
        );
    };
    return new SavedState(StateDatabase.open({ file, onFault }));
  }

  /** Whether a successor will find what is here. */
  get isKept(): boolean {
    return this.#database !== undefined;
  }

  read(): RestoredState {
    const database = this.#database;
    if (database === undefined) return NOTHING;
    const calls = database.entries("call").flatMap(({ id, value }) => {
      const saved = value as SavedCall;
      return saved.version === SAVED_CALL_VERSION ? [{ id, saved }] : [];
    });
    return {
      bindings: database.bindings(Date.now()),
      calls,
      sessions: this.#sessionsOf(calls, database),
    };
  }

  /** What a call had opened that was not answered when the end came belongs to nobody now. */
  #sessionsOf(calls: RestoredState["calls"], database: StateDatabase): readonly WantedSession[] {
    const owned = new Set(calls.flatMap(({ saved }) => saved.sessions));
    return database.entries("session").flatMap(({ id, value }) => {
      if (owned.has(id)) return [value as WantedSession];
      database.delete("session", id);
      return [];
    });
  }

  /** On the disk when this returns. */
  storeBindings(changes: readonly BindingChange[]): void {
    this.#database?.applyBindings(changes);
    this.#database?.commit();
  }

  saveCall(id: string, saved: SavedCall): void {
    this.#database?.save("call", { id, value: saved, at: Date.now() });
  }

  forgetCall(id: string): void {
    this.#database?.delete("call", id);
  }

  saveSession(session: WantedSession): void {
    this.#database?.save("session", { id: session.session, value: session, at: Date.now() });
  }

  forgetSession(session: string): void {
    this.#database?.delete("session", session);
  }

  close(): void {
    this.#database?.close();
  }
}
