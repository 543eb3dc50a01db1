/**
 * Option tags: what a message asks of others, and what its sender can do (RFC 3261 §19.2, §20.32,
 * §20.37). Pure.
 */
import { headerValues, type SipMessage } from "./message.ts";

export type OptionTagField = "Supported" | "Require" | "Proxy-Require" | "Unsupported";

/** The tags of a field in lower case, each once. */
export const optionTags = (message: SipMessage, field: OptionTagField): ReadonlySet<string> =>
  new Set(headerValues(message, field).map((tag) => tag.toLowerCase()));

/** The tags of a field, as they stand, that are not among the known ones (in lower case). */
export const unknownTags = (
  message: SipMessage,
  field: OptionTagField,
  known: ReadonlySet<string>,
): readonly string[] => headerValues(message, field).filter((tag) => !known.has(tag.toLowerCase()));
