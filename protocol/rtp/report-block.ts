/**
 * RTCP report blocks: how one source is received (RFC 3550 §6.4.1). Pure.
 */

export interface ReportBlock {
  readonly ssrc: number;
  /** Since the last report, in 1/256. */
  readonly fractionLost: number;
  /** Signed, 24 bits: duplicates make it negative. */
  readonly packetsLost: number;
  /** Rollovers in the upper, sequence number in the lower 16 bits. */
  readonly highestSequenceNumber: number;
  /** In units of the RTP clock. */
  readonly jitter: number;
  /** Middle 32 bits of the NTP time of the last sender report; 0 before the first. */
  readonly lastSenderReport: number;
  /** In 1/65536 s. */
  readonly delaySinceLastSenderReport: number;
}

const BLOCK_BYTES = 24;

/** Reads `count` blocks; what follows them belongs to a profile. @throws RangeError if cut off. */
export function readReportBlocks(octets: Buffer, count: number): readonly ReportBlock[] {
  return Array.from({ length: count }, (_, nth) => {
    const at = nth * BLOCK_BYTES;
    return {
      ssrc: octets.readUInt32BE(at),
      fractionLost: octets.readUInt8(at + 4),
      packetsLost: octets.readIntBE(at + 5, 3),
      highestSequenceNumber: octets.readUInt32BE(at + 8),
      jitter: octets.readUInt32BE(at + 12),
      lastSenderReport: octets.readUInt32BE(at + 16),
      delaySinceLastSenderReport: octets.readUInt32BE(at + 20),
    };
  });
}

export function writeReportBlocks(reports: readonly ReportBlock[]): Buffer[] {
  return reports.map((report) => {
    const block = Buffer.alloc(BLOCK_BYTES);
    block.writeUInt32BE(report.ssrc, 0);
    block.writeUInt8(report.fractionLost, 4);
    block.writeIntBE(report.packetsLost, 5, 3);
    block.writeUInt32BE(report.highestSequenceNumber, 8);
    block.writeUInt32BE(report.jitter, 12);
    block.writeUInt32BE(report.lastSenderReport, 16);
    block.writeUInt32BE(report.delaySinceLastSenderReport, 20);
    return block;
  });
}
