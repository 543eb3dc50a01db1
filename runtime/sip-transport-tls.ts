/**
 * TLS for SIP: both ends' options, who a peer proved to be, and whether a server is the one that
 * was meant (RFC 5922 §7, RFC 3261 §26.3.1). Reads no files.
 */
import { constants } from "node:crypto";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { isProtocolError } from "../protocol/errors.ts";
import { decodeCertificate } from "../protocol/pki/certificate.ts";

/**
 * `require`: a client without a verifiable certificate gets no connection. `request`: it gets one,
 * without identities. `none`: it is not asked and has none.
 */
export type ClientCertificates = "require" | "request" | "none";

export interface SipTlsSetting {
  /** PEM: our certificate, and intermediate ones after it. */
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  /** PEM: whom we trust; the system's own list never counts. */
  readonly anchors: readonly (string | Buffer)[];
  /** For listeners that do not say themselves. */
  readonly clientCertificates: ClientCertificates;
}

export const HANDSHAKE_TIMEOUT_MS = 10_000;

const common = ({ certificate, key, anchors }: SipTlsSetting): TlsOptions & ConnectionOptions => ({
  cert: certificate,
  key,
  ca: [...anchors],
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
  checkServerIdentity: (_host, { raw, subjectaltname }) =>
    serverFault(serverName, raw, subjectaltname),
});

/**
 * What keeps a certificate from being that of `serverName`, if anything: names count only in
 * subjectAltName, as a DNS name, an address, or the URI `sip:serverName` (RFC 5922 §7.1).
 */
function serverFault(
  serverName: string,
  raw: Buffer,
  subjectaltname: string | undefined,
): Error | undefined {
  const wanted = serverName.toLowerCase();
  if (certificateUris(raw).some((uri) => uri.toLowerCase() === `sip:${wanted}`)) return undefined;
  const names = { subject: { C: "", CN: "", L: "", O: "", OU: "", ST: "" }, subjectaltname };
  return checkServerIdentity(serverName, names as Parameters<typeof checkServerIdentity>[1]);
}

/** SIP URIs of the peer's certificate; none unless its chain was verified. */
export function peerIdentities(socket: TLSSocket): readonly string[] {
  if (!socket.authorized) return [];
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? [] : certificateUris(certificate.raw);
}

/** What our own reader cannot read names nobody, even if OpenSSL accepted it. */
function certificateUris(raw: Buffer): readonly string[] {
  try {
    return decodeCertificate(raw).uris.filter((uri) => /^sips?:/i.test(uri));
  } catch (error) {
    if (isProtocolError(error)) return [];
    throw error;
  }
}
