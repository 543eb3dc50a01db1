/**
 * Name constraints of an authority (RFC 5280 §4.2.1.10): which DNS names and hosts of URIs those
 * below it may hold. Another form of name in a constraint refuses everything, and so does a URI
 * without a host, such as a `sip:` URI, under a constraint of URIs. Pure.
 */
import { readSequence } from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import { isProtocolError, ProtocolError } from "../errors.ts";
import type { Certificate } from "./certificate.ts";
import { EXTENSION, extensionValue } from "./extension.ts";
import { NAME_TAG, readNameText } from "./general-name.ts";

interface Constraints {
  readonly permitted: Subtrees;
  readonly excluded: Subtrees;
}

interface Subtrees {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
}

/** Most subtrees of one authority. */
export const NAME_CONSTRAINTS_MAX_SUBTREES = 32;

const PERMITTED = contextTag(0);
const EXCLUDED = contextTag(1);
/** A host between `//` and what may follow it; no user, whom programs read differently. */
const URI_HOST = /^[a-z][a-z\d+.-]*:\/\/([a-z\d.-]+)(?::\d*)?(?:[/?#]|$)/i;
const IPV4 = /^[\d.]+$/;

/** True if the authority lets the certificates below it hold their names. */
export function permitsNames(authority: Certificate, below: readonly Certificate[]): boolean {
  try {
    const value = extensionValue(authority.extensions, EXTENSION.nameConstraints);
    if (value === undefined) return true;
    const constraints = readConstraints(value);
    return below.every((certificate) => isPermitted(certificate, constraints));
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}

function isPermitted(certificate: Certificate, { permitted, excluded }: Constraints): boolean {
  const isUriConstrained = permitted.uri.length + excluded.uri.length > 0;
  const hosts = isUriConstrained ? certificate.uris.map(hostOf) : [];
  return (
    !hosts.includes(undefined) &&
    arePermitted(hosts as readonly string[], permitted.uri, excluded.uri, isHostWithin) &&
    arePermitted(certificate.dnsNames, permitted.dns, excluded.dns, isDnsNameWithin)
  );
}

function arePermitted(
  names: readonly string[],
  permitted: readonly string[],
  excluded: readonly string[],
  isWithin: (name: string, subtree: string) => boolean,
): boolean {
  const isIn = (name: string, subtrees: readonly string[]): boolean =>
    subtrees.some((subtree) => isWithin(name.toLowerCase(), subtree.toLowerCase()));
  return names.every(
    (name) => (permitted.length === 0 || isIn(name, permitted)) && !isIn(name, excluded),
  );
}

function hostOf(uri: string): string | undefined {
  const host = URI_HOST.exec(uri)?.[1];
  return host === undefined || IPV4.test(host) ? undefined : host;
}

/** The name itself or one with labels before it. */
const isDnsNameWithin = (name: string, subtree: string): boolean =>
  subtree === "" || name === subtree || name.endsWith(withDot(subtree));

/** With a dot before it: hosts below. Without: that host alone. */
const isHostWithin = (host: string, subtree: string): boolean =>
  subtree.startsWith(".") ? host.endsWith(subtree) : host === subtree;

const withDot = (subtree: string): string => (subtree.startsWith(".") ? subtree : `.${subtree}`);

function readConstraints(value: Tlv): Constraints {
  const fields = readSequence(value);
  if (fields.some(({ tag }) => tag !== PERMITTED && tag !== EXCLUDED)) throw unknown();
  const subtreesOf = (wanted: number): Subtrees =>
    readSubtrees(fields.filter(({ tag }) => tag === wanted).flatMap(({ children }) => children));
  return { permitted: subtreesOf(PERMITTED), excluded: subtreesOf(EXCLUDED) };
}

function readSubtrees(values: readonly Tlv[]): Subtrees {
  if (values.length > NAME_CONSTRAINTS_MAX_SUBTREES) throw unknown();
  const bases = values.map((value) => {
    const [base, ...bounds] = readSequence(value);
    const isKnown = base?.tag === NAME_TAG.dns || base?.tag === NAME_TAG.uri;
    if (!isKnown || base === undefined || bounds.length > 0) throw unknown();
    return base;
  });
  const textsOf = (wanted: number): readonly string[] =>
    bases
      .filter(({ tag }) => tag === wanted)
      .map((base) => (base.content.length === 0 ? "" : readNameText(base)));
  return { dns: textsOf(NAME_TAG.dns), uri: textsOf(NAME_TAG.uri) };
}

const unknown = (): ProtocolError =>
  new ProtocolError("ERR_CERTIFICATE", "name constraints not understood");
