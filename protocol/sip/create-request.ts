/**
 * Requests made here (RFC 3261 §8.1.1). Pure.
 */
import type { HeaderRow, SipRequest } from "./message.ts";
import { type NameAddr, serializeNameAddr } from "./name-addr.ts";
import { MAGIC_COOKIE, serializeVia, type Via } from "./via.ts";

export const DEFAULT_MAX_FORWARDS = 70;
const BRANCH_BYTES = 12;

export interface RequestParts {
  readonly method: string;
  readonly uri: string;
  /** With its branch (see `newBranch`). */
  readonly via: Via;
  /** Route values, topmost first. */
  readonly route?: readonly string[];
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly callId: string;
  readonly cseq: number;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
}

/** A request with the fields that every request must have, in the usual order. */
export function createRequest(parts: RequestParts): SipRequest {
  const row = (name: string, value: string): HeaderRow => ({ name, value });
  return {
    kind: "request",
    method: parts.method,
    uri: parts.uri,
    headers: [
      row("Via", serializeVia(parts.via)),
      row("Max-Forwards", String(DEFAULT_MAX_FORWARDS)),
      ...(parts.route ?? []).map((value) => row("Route", value)),
      row("From", serializeNameAddr(parts.from)),
      row("To", serializeNameAddr(parts.to)),
      row("Call-ID", parts.callId),
      row("CSeq", `${parts.cseq} ${parts.method}`),
      ...(parts.headers ?? []).map(([name, value]) => row(name, value)),
    ],
    body: Buffer.from(parts.body ?? []),
  };
}

/** A branch nobody can guess (§8.1.1.7). */
export const newBranch = (random: (size: number) => Buffer): string =>
  `${MAGIC_COOKIE}${random(BRANCH_BYTES).toString("hex")}`;

/** The Via of an element that sends from here and is answered here. */
export const ownVia = (
  transport: string,
  host: string,
  port: number | undefined,
  branch: string,
): Via => {
  const via = {
    transport: transport.toUpperCase(),
    host,
    params: [{ name: "branch", value: branch }, { name: "rport" }],
  };
  return port === undefined ? via : { ...via, port };
};
