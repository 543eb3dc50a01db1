/**
 * Flow tokens: a flow as the user part of our own Path or Record-Route URI (RFC 5626 §5.2-5.3), so
 * that what comes back by that URI goes down the same flow. Pure. A token says nothing to anybody
 * else and cannot be made by anybody else:
 *
 * ```text
 *   tag   = HMAC-SHA-256(key, "tag" || flow), 16 octets
 *   token = base64url(tag || AES-256-CTR(HMAC-SHA-256(key, "text"), tag, flow))
 * ```
 */
import { createCipheriv, createHmac, timingSafeEqual } from "node:crypto";
import { Secret } from "../../protocol/secret.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";

const TAG_BYTES = 16;
/** A user part longer than this is none of ours. */
export const MAX_TOKEN_CHARS = 512;
const TOKEN = /^[\w-]+$/;

export class FlowTokens {
  readonly #key: Secret;
  readonly #textKey: Secret;

  /** @param key 32 octets; new at each start if wished, since connections do not outlive one either */
  constructor(key: Secret) {
    this.#key = key;
    this.#textKey = new Secret(createHmac("sha256", key.expose()).update("text").digest());
  }

  /** The same for the same flow: that Record-Route values are equal shows that hops are. */
  mint(flow: FlowId): string {
    const text = Buffer.from(flow, "latin1");
    const tag = this.#tag(text);
    return Buffer.concat([tag, this.#crypt(tag, text)]).toString("base64url");
  }

  /** The flow of a token of ours; whether it lives is for the transport to say (430). */
  open(token: string): FlowId | undefined {
    if (token.length > MAX_TOKEN_CHARS || !TOKEN.test(token)) return undefined;
    const octets = Buffer.from(token, "base64url");
    if (octets.length <= TAG_BYTES || octets.toString("base64url") !== token) return undefined;
    const tag = octets.subarray(0, TAG_BYTES);
    const text = this.#crypt(tag, octets.subarray(TAG_BYTES));
    return timingSafeEqual(tag, this.#tag(text)) ? text.toString("latin1") : undefined;
  }

  #tag(text: Buffer): Buffer {
    const hmac = createHmac("sha256", this.#key.expose());
    return hmac.update("tag").update(text).digest().subarray(0, TAG_BYTES);
  }

  #crypt(tag: Uint8Array, text: Uint8Array): Buffer {
    return createCipheriv("aes-256-ctr", this.#textKey.expose(), tag).update(text);
  }
}
