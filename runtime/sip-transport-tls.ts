/**
 * TLS for SIP: both ends' options, who a peer proved to be, and whether a server is the one that
 * was meant (RFC 5922 §7, RFC 3261 §26.3.1). Reads no files.
 */
import { constants, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  type DetailedPeerCertificate,
  type TLSSocket,
  type PeerCertificate as TlsCertificate,
  type TlsOptions,
} from "node:tls";
import { isProtocolError } from "../protocol/errors.ts";
import type { Millis } from "../protocol/machine.ts";
import { decodeCertificate, fingerprintOf } from "../protocol/pki/certificate.ts";
import { keyIdOf } from "../protocol/pki/public-key.ts";
import type { Peer } from "../protocol/sip/flow.ts";
import { hostOfUri, isSipScheme } from "../protocol/sip/uri.ts";
import {
  allAnchors,
  MAX_INTERMEDIATES,
  nameRule,
  type TlsAnchors,
} from "./sip-transport-anchors.ts";

/**
 * `require`: a client without a verifiable certificate gets no connection. `request`: it gets one,
 * without identities. `none`: it is not asked and has none.
 */
export type ClientCertificates = "require" | "request" | "none";

export interface SipTlsSetting extends TlsAnchors {
  /** PEM: our certificate, and intermediate ones after it. */
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  /** For listeners that do not say themselves. */
  readonly clientCertificates: ClientCertificates;
}

export const HANDSHAKE_TIMEOUT_MS = 10_000;

const common = (setting: SipTlsSetting): TlsOptions & ConnectionOptions => ({
  cert: setting.certificate,
  key: setting.key,
  ca: allAnchors(setting),
  minVersion: "TLSv1.2",
  // Without tickets every connection shows its certificate anew.
  secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
});

export const tlsServerOptions = (
  setting: SipTlsSetting,
  clientCertificates: ClientCertificates,
  handshakeTimeoutMs: number,
): TlsOptions => ({
  ...common(setting),
  requestCert: clientCertificates !== "none",
  rejectUnauthorized: clientCertificates === "require",
  handshakeTimeout: handshakeTimeoutMs,
});

export const tlsClientOptions = (
  setting: SipTlsSetting,
  serverName: string,
): ConnectionOptions => ({
  ...common(setting),
  ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
  rejectUnauthorized: true,
  checkServerIdentity: (_host, shown) => serverFault(setting, serverName, shown),
});

/**
 * What keeps a certificate from being that of `serverName`, if anything: names count only in
 * subjectAltName, as a DNS name, an address, or the URI `sip:serverName` (RFC 5922 §7.1).
 */
function serverFault(
  setting: SipTlsSetting,
  serverName: string,
  shown: TlsCertificate,
): Error | undefined {
  const { raw, subjectaltname } = shown;
  const wanted = serverName.toLowerCase();
  const mayBear = nameRule(setting, new X509Certificate(raw), () => chainBehind(shown));
  if (!mayBear(wanted)) return new Error("authority of another domain");
  if (certificateUris(raw).some((uri) => uri.toLowerCase() === `sip:${wanted}`)) return undefined;
  const names = { subject: { C: "", CN: "", L: "", O: "", OU: "", ST: "" }, subjectaltname };
  return checkServerIdentity(serverName, names as Parameters<typeof checkServerIdentity>[1]);
}

export const NO_PROOF: PeerProof = { peer: { identities: [] } };

/** What a connection proved of its peer. */
export interface PeerProof {
  readonly peer: Pick<Peer, "identities" | "certificate">;
  /** When the certificate ends, if there is one. */
  readonly endsAt?: Millis;
}

/** SIP URIs of the peer's certificate, and which it is; nothing unless its chain was verified. */
export function peerProof(socket: TLSSocket, setting: SipTlsSetting): PeerProof {
  const leaf = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (leaf === undefined) return NO_PROOF;
  const mayBear = nameRule(setting, leaf, () => chainBehind(socket.getPeerCertificate(true)));
  const identities = certificateUris(leaf.raw).filter((uri) => {
    const host = hostOfUri(uri);
    return host !== undefined && mayBear(host);
  });
  const certificate = { fingerprint: fingerprintOf(leaf.raw), keyId: keyIdOf(leaf.publicKey) };
  return { peer: { identities, certificate }, endsAt: leaf.validToDate.getTime() };
}

/** What stands behind a peer's own certificate, as far as its names go. */
function chainBehind(shown: TlsCertificate | DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let last = shown;
  while ("issuerCertificate" in last && chain.length < MAX_INTERMEDIATES) {
    const issuer: DetailedPeerCertificate | undefined = last.issuerCertificate;
    if (issuer === undefined || issuer === last) break;
    chain.push(new X509Certificate(issuer.raw));
    last = issuer;
  }
  return chain;
}

/** What our own reader cannot read names nobody, even if OpenSSL accepted it. */
function certificateUris(raw: Buffer): readonly string[] {
  return readable(() => decodeCertificate(raw).uris.filter(isSipScheme)) ?? [];
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
