/**
 * For whom a TLS peer's authority may speak: an anchor of one domain proves names of that domain
 * and below it, any other anchor proves any name (RFC 5922 §7). Reads no files.
 */
import { X509Certificate } from "node:crypto";
import { domainToASCII } from "node:url";

/** Whom we trust, and for what. */
export interface TlsAnchors {
  /** PEM: for any name; the system's own list never counts. */
  readonly anchors: readonly (string | Buffer)[];
  /** DER, by domain in lower case: for its own names only. */
  readonly anchorsByDomain?: ReadonlyMap<string, readonly Buffer[]>;
}

interface Parsed {
  readonly general: readonly X509Certificate[];
  readonly byDomain: readonly (readonly [domain: string, anchors: readonly X509Certificate[]])[];
}

/** Of what comes with a peer's certificate, as much is looked at. */
export const MAX_INTERMEDIATES = 8;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const parsedAnchors = new WeakMap<TlsAnchors, Parsed>();

/**
 * Whether a peer, whose chain TLS has verified, may bear a host name; asked name by name.
 * @param sentWith What came with the peer's certificate, in any order: anything may be among it.
 */
export function nameRule(
  setting: TlsAnchors,
  leaf: X509Certificate,
  sentWith: () => readonly X509Certificate[],
): (host: string) => boolean {
  if ((setting.anchorsByDomain?.size ?? 0) === 0) return () => true;
  const { general, byDomain } = parsedOf(setting);
  const sent = sentWith();
  if (leadsTo(general, leaf, sent)) return () => true;
  const domains = byDomain
    .filter(([, anchors]) => leadsTo(anchors, leaf, sent))
    .map(([domain]) => domain);
  return (host) => domains.some((domain) => isWithin(host, domain));
}

/** All anchors as TLS wants them. */
export const allAnchors = (setting: TlsAnchors): (string | Buffer)[] => [
  ...setting.anchors,
  ...parsedOf(setting).byDomain.flatMap(([, anchors]) => anchors.map((each) => each.toString())),
];

function isWithin(host: string, domain: string): boolean {
  const name = domainToASCII(host.replace(/\.$/, ""));
  return name === domain || name.endsWith(`.${domain}`);
}

function parsedOf(setting: TlsAnchors): Parsed {
  const known = parsedAnchors.get(setting);
  if (known !== undefined) return known;
  const { anchors, anchorsByDomain = new Map<string, readonly Buffer[]>() } = setting;
  const parsed: Parsed = {
    general: anchors
      .flatMap((pem) => pem.toString("latin1").match(PEM_CERTIFICATE) ?? [])
      .map((pem) => new X509Certificate(pem)),
    byDomain: [...anchorsByDomain].map(([domain, each]) => [
      domain,
      each.map((der) => new X509Certificate(der)),
    ]),
  };
  parsedAnchors.set(setting, parsed);
  return parsed;
}

/**
 * Whether signatures lead from a certificate to one of these anchors. Names alone do not: a peer
 * sends what it likes beside its own certificate.
 */
function leadsTo(
  anchors: readonly X509Certificate[],
  certificate: X509Certificate,
  sent: readonly X509Certificate[],
): boolean {
  let unseen = sent.slice(0, MAX_INTERMEDIATES).filter(({ ca }) => ca);
  let reached: readonly X509Certificate[] = [certificate];
  while (reached.length > 0) {
    const subjects = reached;
    const isIssuer = (each: X509Certificate) => subjects.some((one) => isIssuedBy(one, each));
    if (anchors.some(isIssuer)) return true;
    reached = unseen.filter(isIssuer);
    unseen = unseen.filter((each) => !reached.includes(each));
  }
  return false;
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
