/**
 * CSeq: which request of its sender this is (RFC 3261 §20.16). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { isToken } from "./grammar.ts";
import { headerValue, type SipMessage } from "./message.ts";
import { remembering } from "./remember.ts";

export interface CSeq {
  /** Below 2^31 (§8.1.1.5). */
  readonly number: number;
  readonly method: string;
}

const CSEQ = /^(\d+)[ \t]+(\S+)$/;
const MAX_CSEQ = 2 ** 31 - 1;

/**
 * Parses a CSeq value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for a number of 2^31 or more.
 */
export const parseCSeq: (text: string) => CSeq = remembering(readCSeq);

function readCSeq(text: string): CSeq {
  const [, digits = "", method = ""] = CSEQ.exec(text) ?? [];
  const number = Number(digits);
  if (digits === "" || number > MAX_CSEQ || !isToken(method))
    throw new ProtocolError("ERR_SIP_SYNTAX", "CSeq");
  return { number, method };
}

export const serializeCSeq = ({ number, method }: CSeq): string => `${number} ${method}`;

/**
 * The message's CSeq.
 * @throws ProtocolError `ERR_SIP_SYNTAX` when it is absent or unreadable.
 */
export function messageCSeq(message: SipMessage): CSeq {
  return parseCSeq(headerValue(message, "CSeq") ?? "");
}
