/**
 * Whom the responses to a forwarded request are for. Pure.
 */
import type { CallRecord } from "./call-table.ts";
import type { DialogSet } from "./dialog-table.ts";

export type Owner =
  /** The INVITE that began a call. */
  | { readonly kind: "invite"; readonly record: CallRecord }
  /** A request within a dialog of a call, which the callee's tag names. */
  | { readonly kind: "request"; readonly record: CallRecord; readonly tag: string }
  /** A request of no call; `dialogs` are those that it may make. */
  | { readonly kind: "relay"; readonly dialogs?: DialogSet };
