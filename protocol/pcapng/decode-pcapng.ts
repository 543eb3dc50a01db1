/**
 * Reads pcapng as `encode-pcapng.ts` writes it, and leniently what else a section may hold: blocks
 * of other kinds are passed over. Little-endian sections only. Pure.
 */

import { ProtocolError } from "../errors.ts";
import {
  BLOCK_CODES,
  BYTE_ORDER_MAGIC,
  LINKTYPE_RAW,
  OPTIONS,
  type PcapngPacket,
} from "./encode-pcapng.ts";

/** Octets of one block. */
export const MAX_BLOCK_BYTES = 1024 * 1024;

const BLOCK_OVERHEAD_BYTES = 12;
const PACKET_FIXED_BYTES = 20;
const MICROSECONDS = 6;

export type PcapngBlock =
  | { readonly kind: "section"; readonly raw: Buffer }
  | { readonly kind: "interface"; readonly raw: Buffer; readonly interfaceId: number }
  | { readonly kind: "packet"; readonly raw: Buffer; readonly packet: PcapngPacket }
  | { readonly kind: "other"; readonly raw: Buffer };

/**
 * The blocks in order, each with its own octets (`raw`, a view).
 * @throws ProtocolError `ERR_PCAPNG_SYNTAX` while iterating: cut short, lengths that do not fit,
 *   another byte order, a link type or time resolution other than ours.
 */
export function* decodePcapng(octets: Uint8Array): Generator<PcapngBlock, void, undefined> {
  const file = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  let interfaces: number | undefined;
  for (let at = 0; at < file.length; ) {
    const raw = cutBlock(file, at);
    at += raw.length;
    const block = decodeBlock(raw, interfaces);
    if (block.kind === "section") interfaces = 0;
    if (block.kind === "interface") interfaces = block.interfaceId + 1;
    yield block;
  }
}

function cutBlock(file: Buffer, at: number): Buffer {
  if (file.length - at < BLOCK_OVERHEAD_BYTES) throw syntax("is cut short");
  const bytes = file.readUInt32LE(at + 4);
  if (bytes < BLOCK_OVERHEAD_BYTES || bytes % 4 !== 0 || bytes > MAX_BLOCK_BYTES)
    throw syntax("has a block of no good length");
  if (file.length - at < bytes) throw syntax("is cut short");
  if (file.readUInt32LE(at + bytes - 4) !== bytes) throw syntax("has two lengths for one block");
  return file.subarray(at, at + bytes);
}

function decodeBlock(raw: Buffer, interfaces: number | undefined): PcapngBlock {
  const body = raw.subarray(8, -4);
  const code = raw.readUInt32LE(0);
  if (code === BLOCK_CODES.sectionHeader) {
    if (body.length < 16 || body.readUInt32LE(0) !== BYTE_ORDER_MAGIC)
      throw syntax("is not little-endian");
    return { kind: "section", raw };
  }
  if (interfaces === undefined) throw syntax("does not begin with a section");
  if (code === BLOCK_CODES.interfaceDescription) {
    checkInterface(body);
    return { kind: "interface", raw, interfaceId: interfaces };
  }
  if (code !== BLOCK_CODES.enhancedPacket) return { kind: "other", raw };
  const packet = decodePacket(body);
  if (packet.interfaceId >= interfaces) throw syntax("has a packet of no interface");
  return { kind: "packet", raw, packet };
}

function checkInterface(body: Buffer): void {
  if (body.length < 8 || body.readUInt16LE(0) !== LINKTYPE_RAW)
    throw syntax("has an interface of another link type");
  const resolution = findOption(body.subarray(8), OPTIONS.timestampResolution);
  if (resolution !== undefined && resolution[0] !== MICROSECONDS)
    throw syntax("has times of another resolution");
}

function decodePacket(body: Buffer): PcapngPacket {
  if (body.length < PACKET_FIXED_BYTES) throw syntax("has a packet cut in its head");
  const bytes = body.readUInt32LE(12);
  const paddedBytes = Math.ceil(bytes / 4) * 4;
  if (PACKET_FIXED_BYTES + paddedBytes > body.length) throw syntax("has a packet cut short");
  const micros = body.readUInt32LE(4) * 2 ** 32 + body.readUInt32LE(8);
  const options = body.subarray(PACKET_FIXED_BYTES + paddedBytes);
  const comment = findOption(options, OPTIONS.comment)?.toString("utf8");
  return {
    interfaceId: body.readUInt32LE(0),
    micros,
    octets: body.subarray(PACKET_FIXED_BYTES, PACKET_FIXED_BYTES + bytes),
    ...(comment === undefined ? {} : { comment }),
  };
}

function findOption(options: Buffer, wanted: number): Buffer | undefined {
  for (let at = 0; at + 4 <= options.length; ) {
    const code = options.readUInt16LE(at);
    const bytes = options.readUInt16LE(at + 2);
    if (code === OPTIONS.endOfOptions) return undefined;
    if (at + 4 + bytes > options.length) throw syntax("has an option cut short");
    if (code === wanted) return options.subarray(at + 4, at + 4 + bytes);
    at += 4 + Math.ceil(bytes / 4) * 4;
  }
  return undefined;
}

const syntax = (what: string) => new ProtocolError("ERR_PCAPNG_SYNTAX", `the pcapng ${what}`);
