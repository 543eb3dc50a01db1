/**
 * The one way in which opening fails (RFC 3218): an observer learns nothing from it. Pure.
 */
import { ProtocolError } from "../errors.ts";

/** The same code and the same words, whichever step failed. */
export const decryptFailure = (): ProtocolError =>
  new ProtocolError("ERR_CMS_DECRYPT", "message cannot be decrypted");
