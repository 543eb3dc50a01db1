/**
 * P-Asserted-Identity: who somebody is, told by proxies to proxies that trust each other, and to
 * nobody whom the user does not want to know it (RFC 3325). Pure.
 *
 * | comes from          | P-Asserted-Identity                  | goes to trusted | to others          |
 * |---------------------|--------------------------------------|-----------------|--------------------|
 * | a trusted element   | stands                               | passes          | unless `id` (§7)   |
 * | a user who proved   | his own is put in place of any (§5)  | is added        | nothing            |
 * | anybody else        | is taken away (§5)                   | nothing         | nothing            |
 *
 * P-Preferred-Identity is a hint to us and goes no further (§9.2).
 */
import { isProtocolError } from "../errors.ts";
import { type HeaderRow, headerValues, type SipMessage } from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";
import { hidesIdentity, messagePrivacy } from "./privacy.ts";
import { addressOfRecord, isSipScheme } from "./uri.ts";

export type IdentitySource =
  /** Within the trust domain: what it asserts is believed. */
  | { readonly kind: "trusted" }
  /** Authenticated here; URIs that are his, the usual one first. */
  | { readonly kind: "user"; readonly uris: readonly string[] }
  | { readonly kind: "unknown" };

export interface IdentityHop {
  readonly source: IdentitySource;
  /** Whether the next element is within the trust domain. */
  readonly isTrusted: boolean;
}

/** What forwarding changes in the rows of a message. */
export interface IdentityChange {
  /** Rows to take away, by canonical name. */
  readonly isWithheld: (canonical: string) => boolean;
  /** Rows to add. */
  readonly added: readonly HeaderRow[];
}

const ASSERTED = "p-asserted-identity";
const PREFERRED = "p-preferred-identity";

/**
 * What becomes of the identity rows of a request or response on one hop (§5-7).
 * @throws ProtocolError `ERR_SIP_SYNTAX` for a Privacy row that cannot be read.
 */
export function identityChange(message: SipMessage, hop: IdentityHop): IdentityChange {
  const { source, isTrusted } = hop;
  const passes =
    source.kind === "trusted" && (isTrusted || !hidesIdentity(messagePrivacy(message)));
  return {
    isWithheld: (canonical) => canonical === PREFERRED || (canonical === ASSERTED && !passes),
    added: isTrusted && source.kind === "user" ? assertion(message, source.uris) : [],
  };
}

/** The one of his URIs that the user prefers, if it is his, else the usual one (§6). */
function assertion(message: SipMessage, uris: readonly string[]): readonly HeaderRow[] {
  const preferred = headerValues(message, PREFERRED).map(identityOf);
  const chosen = uris.find((uri) => preferred.includes(spelling(uri))) ?? uris[0];
  return chosen === undefined ? [] : [{ name: "P-Asserted-Identity", value: `<${chosen}>` }];
}

/** What a value names, in one spelling; undefined for what cannot be read, since it is a hint. */
function identityOf(value: string): string | undefined {
  try {
    return spelling(parseNameAddr(value).uri);
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}

const spelling = (uri: string): string =>
  isSipScheme(uri) ? addressOfRecord(uri) : uri.toLowerCase();
