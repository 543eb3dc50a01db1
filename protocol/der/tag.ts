/**
 * Identifier octets by name (X.690 §8.1.2). Pure.
 */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  sequence: 0x30,
  set: 0x31,
  constructedBit: 0x20,
} as const;

/** `[number]` of the context class, around or in place of a constructed value. */
export const contextTag = (number: number): number => 0xa0 | number;

/** `[number]` of the context class, in place of a primitive value. */
export const primitiveContextTag = (number: number): number => 0x80 | number;
