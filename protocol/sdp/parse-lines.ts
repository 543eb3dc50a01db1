/**
 * Splits SDP into its lines and checks that they stand in the order of the grammar
 * (RFC 8866 §9). Pure.
 */
import { isUtf8 } from "node:buffer";
import { ProtocolError } from "../errors.ts";

/** Largest description; a signalling body may reach 60 KB. */
export const SDP_OCTETS_MAX = 65_536;
export const SDP_LINES_MAX = 1024;
export const SDP_LINE_CHARACTERS_MAX = 4096;
export const SDP_MEDIA_MAX = 32;

export interface SdpLine {
  readonly type: string;
  readonly value: string;
}

export interface SdpSections {
  readonly session: readonly SdpLine[];
  /** One list a stream, its `m=` line first. */
  readonly media: readonly (readonly SdpLine[])[];
}

const SESSION_ORDER = "vosiuepcbtzka";
const MEDIA_ORDER = "micbka";
const ONCE = "vosiuzmk";
const BLANK: ReadonlySet<string> = new Set(["", "\r"]);
/** Lines whose fields stand apart by single spaces: one behind the last says nothing. */
const SPACED = "ocm";
const LINE = /^([a-z])=([^\0\r]*)$/;

/**
 * Lines of the session and of each stream.
 * @throws ProtocolError `ERR_SDP_LIMIT`; `ERR_SDP_SYNTAX` (charset, a malformed line, order, a
 *   line twice).
 */
export function parseLines(octets: Uint8Array): SdpSections {
  if (octets.length > SDP_OCTETS_MAX) throw new ProtocolError("ERR_SDP_LIMIT", "SDP too long");
  if (!isUtf8(octets)) throw new ProtocolError("ERR_SDP_SYNTAX", "SDP is not UTF-8");
  const lines = Buffer.from(octets).toString("utf8").split("\n");
  // Telephones end a description with no line end, or with several.
  while (BLANK.has(lines.at(-1) ?? "end")) lines.pop();
  if (lines.length > SDP_LINES_MAX) throw new ProtocolError("ERR_SDP_LIMIT", "too many lines");

  const sections: SdpLine[][] = [[]];
  for (const [at, text] of lines.entries()) {
    const line = parseLine(text, at + 1);
    if (line.type === "m") sections.push([]);
    sections.at(-1)?.push(line);
  }
  const [session = [], ...media] = sections;
  if (media.length > SDP_MEDIA_MAX) throw new ProtocolError("ERR_SDP_LIMIT", "too many streams");
  checkOrder(session, SESSION_ORDER);
  for (const stream of media) checkOrder(stream, MEDIA_ORDER);
  return { session, media };
}

/** One line without its LF; RFC 8866 §5 lets CR be missing. */
function parseLine(text: string, at: number): SdpLine {
  const bare = text.endsWith("\r") ? text.slice(0, -1) : text;
  if (bare.length > SDP_LINE_CHARACTERS_MAX)
    throw new ProtocolError("ERR_SDP_LIMIT", `line ${at} too long`);
  const [, type, value] = LINE.exec(bare) ?? [];
  if (type === undefined || value === undefined)
    throw new ProtocolError("ERR_SDP_SYNTAX", `line ${at} is not type=value`);
  return { type, value: SPACED.includes(type) ? value.trimEnd() : value };
}

function checkOrder(lines: readonly SdpLine[], order: string): void {
  let reached = 0;
  const seen = new Set<string>();
  for (const { type } of lines) {
    // `r=` belongs to the `t=` before it.
    const rank = order.indexOf(type === "r" ? "t" : type);
    if (rank < reached)
      throw new ProtocolError("ERR_SDP_SYNTAX", `${type}= unknown or out of order`);
    if (ONCE.includes(type) && seen.has(type))
      throw new ProtocolError("ERR_SDP_SYNTAX", `${type}= twice`);
    seen.add(type);
    reached = rank;
  }
}
