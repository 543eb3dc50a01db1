/**
 * Entities and sealed bodies that our own code never writes.
 */
import assert from "node:assert/strict";
import { randomBytes as random } from "node:crypto";
import fc from "fast-check";
import { type SipfragRows, serializeSipfrag } from "../../../protocol/body/sipfrag.ts";
import type { ContentCipher } from "../../../protocol/cms/algorithms.ts";
import { type Recipient, sealEnvelope } from "../../../protocol/cms/seal-message.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import { serializeEntity } from "../../../protocol/mime/entity.ts";
import { serializeMultipart } from "../../../protocol/mime/multipart.ts";
import { type Identity, signDetached } from "../../../protocol/pki/signed-data.ts";

export const ROWS = [
  ["From", "Alice <sip:alice@atlanta.example.com>;tag=a73kszlfl"],
  ["To", "Alice <sip:alice@atlanta.example.com>"],
  ["Call-ID", "reg-1j9FpLxk3uxtm8tn@192.0.2.101"],
  ["CSeq", "2 REGISTER"],
  ["Date", "Sat, 01 Jun 2030 00:00:00 GMT"],
  ["Contact", "<sip:alice@192.0.2.101:5061;transport=tls>"],
  ["Expires", "3600"],
] as const satisfies SipfragRows;

export const SEALED_TYPE = "application/pkcs7-mime";
const SIGNED_TYPE = 'multipart/signed;protocol="application/pkcs7-signature"';

export const fails =
  (code: ProtocolErrorCode) =>
  (error: unknown): boolean =>
    isProtocolError(error, code);

/** Code and words: nothing else may tell one failure from another. */
export const failsToDecrypt = (error: unknown): boolean =>
  isProtocolError(error, "ERR_CMS_DECRYPT") &&
  error.message === "message cannot be decrypted" &&
  error.cause === undefined;

/** Any text of Latin characters, controls included. */
export const anyText = fc
  .uint8Array({ maxLength: 60 })
  .map((octets) => Buffer.from(octets).toString("latin1"));

/** These octets with one to four of them changed. */
export const alteredOctets = (octets: Buffer): fc.Arbitrary<Buffer> =>
  fc
    .array(fc.tuple(fc.nat(octets.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const copy = Buffer.from(octets);
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    });

/** These octets with one bit flipped. */
export function withFlippedBit(octets: Buffer, bit: number): Buffer {
  const copy = Buffer.from(octets);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

export const part = (type: string, octets: Uint8Array, disposition?: string): Buffer =>
  serializeEntity(
    [
      ["Content-Type", type],
      ...(disposition === undefined ? [] : [["Content-Disposition", disposition] as const]),
    ],
    octets,
  );

export const fragment = (rows: SipfragRows = ROWS): Buffer =>
  part("message/sipfrag", serializeSipfrag(rows));

export const multipart = (type: string, parts: readonly Buffer[]): Buffer => {
  const { body, boundary } = serializeMultipart(parts, random);
  return serializeEntity([["Content-Type", `${type};boundary=${boundary}`]], body);
};

export const mixed = (...parts: readonly Buffer[]): Buffer => multipart("multipart/mixed", parts);

/** The content, signed by this identity; `overOther`: the signature covers other octets. */
export async function signed(content: Buffer, signer: Identity, overOther = content) {
  const signature = part("application/pkcs7-signature", await signDetached(overOther, signer));
  return multipart(SIGNED_TYPE, [content, signature]);
}

/** An entity as a SIP message carries it: its Content-Type among the headers. */
export function asMessage(entity: Buffer): { body: Buffer; contentType: string } {
  const end = entity.indexOf("\r\n\r\n");
  const prefix = "Content-Type: ";
  const head = entity.subarray(0, end).toString();
  assert.ok(head.startsWith(prefix) && !head.includes("\r\n"));
  return { body: entity.subarray(end + 4), contentType: head.slice(prefix.length) };
}

/** The content sealed for this recipient, by AES-256-GCM unless told otherwise. */
export const sealed = (
  content: Buffer,
  recipient: Recipient,
  cipher: ContentCipher = "aes-256-gcm",
): Buffer => sealEnvelope({ content, cipher, recipients: [recipient], random }).message;
