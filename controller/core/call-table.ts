/**
 * The calls now known, found by dialog, by transaction, by session and by the name that the
 * shells use. Pure. A call is forgotten a while after it has ended, and only then.
 */
import type { Peer } from "../../protocol/sip/flow.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { Call } from "./call.ts";
import type { CallId, OrderHead } from "./controller-port.ts";
import type { Placing } from "./placing.ts";

export interface CallRecord {
  readonly id: CallId;
  /** As `log` shows it. */
  readonly label: string;
  readonly call: Call;
  readonly callerTag: string;
  readonly invite: SipRequest;
  /** Server transaction of the INVITE. */
  readonly serverKey: string;
  /** Its client transaction, once it has gone on. */
  clientKey: string | undefined;
  readonly sessions: Set<string>;
  readonly callerAor: string;
  /** The connection that the caller used last, authenticated. */
  callerFlow: string;
  callerPeer: Peer;
  /** Canonical addresses of the callees' Contacts, by tag: where a dialog's requests may come from. */
  readonly contacts: Map<string, string>;
  /** What it was placed with: the request without our Route, and where it goes. */
  readonly placing: Placing;
  readonly order: OrderHead;
}

/** Which party of a call sent a request of one of its dialogs. */
export interface DialogSide {
  readonly record: CallRecord;
  readonly side: "caller" | "callee";
  /** The callee's tag, which names the dialog within the call. */
  readonly tag: string;
}

export class CallTable {
  readonly #byId = new Map<CallId, CallRecord>();
  readonly #byDialog = new Map<string, CallRecord>();
  readonly #byTransaction = new Map<string, CallRecord>();
  readonly #bySession = new Map<string, CallRecord>();

  get size(): number {
    return this.#byId.size;
  }

  add(record: CallRecord): void {
    this.#byId.set(record.id, record);
    this.#byDialog.set(dialogKey(callIdOf(record.invite), record.callerTag), record);
    this.#byTransaction.set(record.serverKey, record);
  }

  addClient(record: CallRecord, clientKey: string): void {
    record.clientKey = clientKey;
    this.#byTransaction.set(clientKey, record);
  }

  addSession(record: CallRecord, session: string): void {
    record.sessions.add(session);
    this.#bySession.set(session, record);
  }

  get(id: CallId): CallRecord | undefined {
    return this.#byId.get(id);
  }

  ofTransaction(key: string): CallRecord | undefined {
    return this.#byTransaction.get(key);
  }

  ofSession(session: string): CallRecord | undefined {
    return this.#bySession.get(session);
  }

  /** The call that this caller made with this Call-ID. */
  ofCaller(message: SipMessage): CallRecord | undefined {
    return this.#byDialog.get(dialogKey(callIdOf(message), messageTag(message, "From") ?? ""));
  }

  /** The call and side of a request with both tags, if they name a dialog of ours. */
  ofDialog(request: SipRequest): DialogSide | undefined {
    const [from, to] = [messageTag(request, "From") ?? "", messageTag(request, "To") ?? ""];
    const callId = callIdOf(request);
    const made = this.#byDialog.get(dialogKey(callId, from));
    if (made?.call.hasDialog(to) === true) return { record: made, side: "caller", tag: to };
    const taken = this.#byDialog.get(dialogKey(callId, to));
    return taken?.call.hasDialog(from) === true
      ? { record: taken, side: "callee", tag: from }
      : undefined;
  }

  forget(record: CallRecord): void {
    this.#byId.delete(record.id);
    const dialog = dialogKey(callIdOf(record.invite), record.callerTag);
    // The caller may have used the same Call-ID for a new call meanwhile.
    if (this.#byDialog.get(dialog) === record) this.#byDialog.delete(dialog);
    this.#byTransaction.delete(record.serverKey);
    if (record.clientKey !== undefined) this.#byTransaction.delete(record.clientKey);
    for (const session of record.sessions) this.#bySession.delete(session);
  }
}

const callIdOf = (message: SipMessage): string => headerValue(message, "Call-ID") ?? "";
const dialogKey = (callId: string, tag: string): string => JSON.stringify([callId, tag]);
