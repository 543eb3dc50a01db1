/** What a SIP transport has seen: figures instead of a log line a message. Touches nothing. */

export interface SipTransportCounters {
  /** Datagrams, also those that other figures count; over connections, messages that were read. */
  received: number;
  /** What could not be read as a message, and datagrams from port 0, which no answer reaches. */
  malformed: number;
  /** Datagrams dropped unread, and pauses made in reading a connection: one address sent too fast. */
  overRate: number;
  /** CRLF by either way, and STUN datagrams, answered or not. */
  keepAlives: number;
  /** Connections closed at once because there were too many, in all or from their address. */
  refusedConnections: number;
}

export const newCounters = (): SipTransportCounters => ({
  received: 0,
  malformed: 0,
  overRate: 0,
  keepAlives: 0,
  refusedConnections: 0,
});
