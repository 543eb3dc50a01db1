/**
 * The two ways in which opening fails: nothing there is for us, as anybody can see, or the one that
 * tells an observer nothing (RFC 3218). Pure.
 */
import { ProtocolError } from "../errors.ts";

/** The same code and the same words, whichever step failed. */
export const decryptFailure = (): ProtocolError =>
  new ProtocolError("ERR_CMS_DECRYPT", "message cannot be decrypted");

/** No entry, or none that names a key of ours. */
export const notForHolder = (): ProtocolError =>
  new ProtocolError("ERR_CMS_NO_RECIPIENT", "message is not for this holder");
