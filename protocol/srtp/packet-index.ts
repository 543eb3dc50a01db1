/**
 * The 48-bit index of an SRTP packet: rollover counter and sequence number
 * (RFC 3711 §3.3.1 and appendix A). Pure.
 */

const SEQUENCE_NUMBERS = 2 ** 16;
const HALF = 2 ** 15;
export const ROLLOVER_COUNTER_MAX = 2 ** 32 - 1;

export const packetIndex = (rolloverCounter: number, sequenceNumber: number): number =>
  rolloverCounter * SEQUENCE_NUMBERS + sequenceNumber;

export const rolloverCounterOf = (index: number): number => Math.floor(index / SEQUENCE_NUMBERS);

/**
 * The index nearest to the highest one authenticated so far that has this sequence number.
 * Never negative: a packet that would belong before the first rollover counter is taken
 * as a later one, and fails authentication.
 */
export function estimateIndex(highestIndex: number, sequenceNumber: number): number {
  const rolloverCounter = rolloverCounterOf(highestIndex);
  const distance = sequenceNumber - (highestIndex % SEQUENCE_NUMBERS);
  if (distance > HALF && rolloverCounter > 0)
    return packetIndex(rolloverCounter - 1, sequenceNumber);
  if (distance < -HALF && rolloverCounter < ROLLOVER_COUNTER_MAX)
    return packetIndex(rolloverCounter + 1, sequenceNumber);
  return packetIndex(rolloverCounter, sequenceNumber);
}
