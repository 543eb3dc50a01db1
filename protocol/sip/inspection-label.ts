/**
 * The inspection label: which proxy is asked to open which body (`Proxy-Inspect-Body`,
 * draft-ietf-sip-e2m-sec-06 §6; `Proxy-Required-Body`, its older name; `Session-Policy`, older
 * still). Pure. One row is one label: commas stand between the Content-IDs *inside* a value, so
 * rows are never folded into a list.
 */
import { ProtocolError } from "../errors.ts";
import { isHost, isToken, splitOutside, trimLws, unquote } from "./grammar.ts";
import { headerRows, type SipMessage } from "./message.ts";

export interface InspectionLabel {
  /** The proxy's host, in lower case. */
  readonly host: string;
  /** Content-IDs, outermost first, without quotes or angle brackets; case matters. */
  readonly cids: readonly string[];
}

export const MAX_LABEL_CIDS = 16;
export const INSPECTION_LABEL_FIELDS = [
  "Proxy-Inspect-Body",
  "Proxy-Required-Body",
  "Session-Policy",
] as const;

/** dot-atom "@" dot-atom or host; the atoms as in the draft, with `_` of `\w`. */
const CONTENT_ID = /^[\w\-!%*+'`~]+(?:\.[\w\-!%*+'`~]+)*@(?:[\w\-.!%*+'`~]+|\[[\da-f:.]+\])$/i;

/**
 * Every label of a message, in order. A `Session-Policy` row that names no Content-ID is
 * somebody else's header and no label.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_LIMIT` (16 Content-IDs a row).
 */
export function inspectionLabels(message: SipMessage): InspectionLabel[] {
  return INSPECTION_LABEL_FIELDS.flatMap((field) =>
    headerRows(message, field)
      .filter(({ value }) => field !== "Session-Policy" || /;\s*cid\s*=/i.test(value))
      .map(({ value }) => parseInspectionLabel(value)),
  );
}

/**
 * Parses one row: `host;cid="a@b",cid="c@d";other=…`. Quotes round a cid may be missing, as in
 * the draft's own examples.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_LIMIT`.
 */
export function parseInspectionLabel(value: string): InspectionLabel {
  const [host = "", ...params] = splitOutside(value, ";");
  if (!isHost(host)) throw new ProtocolError("ERR_SIP_SYNTAX", "label names no host");
  const cids = params.flatMap((param) => splitOutside(param, ",")).flatMap(parseLabelParam);
  if (cids.length === 0) throw new ProtocolError("ERR_SIP_SYNTAX", "label names no Content-ID");
  if (cids.length > MAX_LABEL_CIDS) throw new ProtocolError("ERR_SIP_LIMIT", "label Content-IDs");
  return { host: host.toLowerCase(), cids };
}

function parseLabelParam(text: string): string[] {
  const [before = "", ...after] = text.split("=");
  const name = trimLws(before);
  if (!isToken(name)) throw new ProtocolError("ERR_SIP_SYNTAX", "label parameter");
  if (name.toLowerCase() !== "cid") return [];
  const cid = stripContentId(after.join("="));
  if (!CONTENT_ID.test(cid)) throw new ProtocolError("ERR_SIP_SYNTAX", "label Content-ID");
  return [cid];
}

/** A Content-ID without quotes and angle brackets, as labels and MIME parts are compared. */
export function stripContentId(text: string): string {
  const bare = unquote(trimLws(text));
  return bare.startsWith("<") && bare.endsWith(">") ? bare.slice(1, -1) : bare;
}

/**
 * Writes a label's value; Content-IDs get their quotes (draft-ietf-sip-e2m-sec-06 §6).
 * @throws TypeError unless host and Content-IDs are well formed.
 */
export function serializeInspectionLabel({ host, cids }: InspectionLabel): string {
  if (!isHost(host) || cids.length === 0 || !cids.every((cid) => CONTENT_ID.test(cid)))
    throw new TypeError("inspection label");
  return `${host};${cids.map((cid) => `cid="${cid}"`).join(",")}`;
}
