/** What a SIP transport has seen: figures instead of a log line a message. Touches nothing. */

export interface SipTransportCounters {
  /** Datagrams and messages that came in. */
  received: number;
  sent: number;
  /** Messages that could not be read. */
  malformed: number;
  /** Datagrams dropped, and connections made to wait, because one address sent too fast. */
  overRate: number;
  /** CRLF and STUN. */
  keepAlives: number;
  /** Connections closed at once because there were too many. */
  refusedConnections: number;
}

export const newCounters = (): SipTransportCounters => ({
  received: 0,
  sent: 0,
  malformed: 0,
  overRate: 0,
  keepAlives: 0,
  refusedConnections: 0,
});
