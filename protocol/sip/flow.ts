/**
 * Names for where messages come from and go to; what a transport and the transaction layer say to
 * each other. Pure.
 */

export type SipTransport = "tcp" | "tls";

/** One connection, as its transport named it; means nothing to anybody else. */
export type FlowId = string;

/** Where to find or open a connection. */
export interface Target {
  readonly transport: SipTransport;
  /** An IP address, or a host name for the resolver. */
  readonly address: string;
  readonly port: number;
  /** The name the server's certificate must hold (RFC 5922 §4); the address if absent. */
  readonly serverName?: string;
}

/** The other end of a flow, as the transport itself saw it. */
export interface Peer {
  readonly transport: SipTransport;
  readonly address: string;
  readonly port: number;
  /** Our own end: which of several listeners, or which interface, the message came to. */
  readonly localAddress?: string;
  /** URIs of the peer's certificate, only if it was verified (RFC 5922 §7.1). */
  readonly identities: readonly string[];
}
