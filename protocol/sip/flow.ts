/**
 * Names for where messages come from and go to; what a transport and the transaction layer say to
 * each other. Pure.
 */

export type SipTransport = "udp" | "tcp" | "tls";

/**
 * A way back to somebody, as its transport named it; means nothing to anybody else. Over TCP and
 * TLS it is one connection and ends with it. Over UDP it is a socket of ours and the far address
 * and port, begins with `udp/`, needs no memory and never ends.
 */
export type FlowId = string;

/** Where to send to; over TCP and TLS, where to find or open a connection. */
export interface Target {
  readonly transport: SipTransport;
  /** An IP address, or a host name for the system's resolver. */
  readonly address: string;
  readonly port: number;
  /** The name the server's certificate must hold (RFC 5922 §4); the address if absent. */
  readonly serverName?: string;
  /** The address of ours to send from. */
  readonly localAddress?: string;
  /** Over UDP: the port of ours to send from. */
  readonly localPort?: number;
}

/** The other end of a flow, as the transport itself saw it. */
export interface Peer {
  readonly transport: SipTransport;
  readonly address: string;
  readonly port: number;
  /**
   * Our own end: which of several listeners, or which interface, the message came to. Absent over
   * UDP where the listener takes whatever comes to any address.
   */
  readonly localAddress?: string;
  readonly localPort?: number;
  /** URIs of the peer's certificate, only if it was verified (RFC 5922 §7.1). */
  readonly identities: readonly string[];
  /** The certificate that was verified: what was true of it then may be so no more. */
  readonly certificate?: PeerCertificate;
}

/** Names a certificate and its key, as SHA-256 in hexadecimal. */
export interface PeerCertificate {
  /** Of its DER. */
  readonly fingerprint: string;
  /** Of its SubjectPublicKeyInfo. */
  readonly keyId: string;
}

const UDP_FLOW = "udp/";

/** True where nothing gets lost on the hop, so that nobody has to send twice (RFC 3261 §17). */
export const isReliableHop = (to: FlowId | Target): boolean =>
  typeof to === "string" ? !to.startsWith(UDP_FLOW) : to.transport !== "udp";
