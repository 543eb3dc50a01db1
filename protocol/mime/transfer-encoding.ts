/**
 * Content-Transfer-Encoding base64, on input (RFC 2045 §6.8). Pure.
 */
import { ProtocolError } from "../errors.ts";

const BASE64 = /^[A-Za-z\d+/]*={0,2}$/;

/**
 * Takes the transfer encoding off a body; identity encodings never come here.
 * @throws ProtocolError `ERR_MIME_SYNTAX` (not base64, or an encoding that we do not know).
 */
export function decodeTransferEncoding(encoding: string, body: Buffer): Buffer {
  if (encoding !== "base64")
    throw new ProtocolError("ERR_MIME_SYNTAX", "unknown transfer encoding");
  const characters = body.toString("latin1").replaceAll(/[\r\n]/g, "");
  if (!BASE64.test(characters) || characters.length % 4 !== 0)
    throw new ProtocolError("ERR_MIME_SYNTAX", "not base64");
  return Buffer.from(characters, "base64");
}
