/** The IP address in a message, taken in its one canonical form, so that equal ones are equal text. Pure. */

import { z } from "zod";
import { isProtocolError } from "../errors.ts";
import { parseAddress } from "../net/address.ts";

const MAX_ADDRESS_CHARS = 45;

export const addressField = z
  .string()
  .max(MAX_ADDRESS_CHARS)
  .transform((text, context) => {
    try {
      return parseAddress(text).text;
    } catch (error) {
      if (!isProtocolError(error, "ERR_ADDRESS")) throw error;
      context.addIssue({ code: "custom", message: "not an IPv4 or IPv6 address" });
      return z.NEVER;
    }
  });
