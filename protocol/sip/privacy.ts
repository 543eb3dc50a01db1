/**
 * Privacy: what a caller wants hidden (RFC 3323 §4.2), and what of it this proxy can do (§5). Pure.
 *
 * | value      | asks to hide                               | here                                   |
 * |------------|--------------------------------------------|----------------------------------------|
 * | `id`       | the asserted identity (RFC 3325 §9.3)      | done, see `asserted-identity.ts`       |
 * | `none`     | nothing, whatever is usual                 | done: nothing is withheld              |
 * | `header`   | Via, Record-Route, Contact                 | no: a proxy that did would be a B2BUA  |
 * | `session`  | the addresses in SDP                       | no: bodies pass as they are            |
 * | `user`     | From and other fields the phone can change | no: From belongs to its sender         |
 * | `critical` | refuse rather than do less                 | 500 for the three above (§5)           |
 */
import { ProtocolError } from "../errors.ts";
import { isToken, splitOutside } from "./grammar.ts";
import { headerRows, type SipMessage } from "./message.ts";

/** Values in lower case; unknown ones are kept. */
export type Privacy = ReadonlySet<string>;

const DONE: ReadonlySet<string> = new Set(["id", "none", "critical"]);

/**
 * The privacy that a message asks for; empty without a Privacy row.
 * @throws ProtocolError `ERR_SIP_SYNTAX` for a row that cannot be read, since guessing would tell.
 */
export function messagePrivacy(message: SipMessage): Privacy {
  const values = headerRows(message, "Privacy").flatMap(({ value }) => splitOutside(value, ";"));
  if (!values.every(isToken)) throw new ProtocolError("ERR_SIP_SYNTAX", "Privacy");
  return new Set(values.map((value) => value.toLowerCase()));
}

/** Whether the asserted identity is for the trust domain only; `none` beside it changes nothing. */
export const hidesIdentity = (privacy: Privacy): boolean => privacy.has("id");

/**
 * What is asked for as critical and not done here: the request is refused with 500 (§5), these
 * values in its reason phrase.
 */
export const unmetPrivacy = (privacy: Privacy): readonly string[] =>
  privacy.has("critical") ? [...privacy].filter((value) => !DONE.has(value)) : [];
