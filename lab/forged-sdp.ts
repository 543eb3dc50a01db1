/** Session descriptions of the lab's own making, good ones and bad ones. Pure. */
import { randomBytes } from "node:crypto";
import { MEDIA_PORTS } from "./site-config.ts";
import { LEAVES } from "./topology.ts";

export interface SdpParts {
  readonly address: string;
  readonly port: number;
  /** More lines after those of the media. */
  readonly extra?: readonly string[];
}

const KEY_AND_SALT_BYTES = 30;

/** PCMU over SRTP with a fresh key, at alice's own address and port unless told otherwise. */
export function forgeSdp({
  address = LEAVES.alice.address,
  port = MEDIA_PORTS.alice,
  extra = [],
}: Partial<SdpParts> = {}): Buffer {
  const key = randomBytes(KEY_AND_SALT_BYTES).toString("base64");
  const lines = [
    "v=0",
    `o=- ${Date.now()} 1 IN IP4 ${address}`,
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    `m=audio ${port} RTP/SAVP 0`,
    "a=rtpmap:0 PCMU/8000",
    `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key}`,
    ...extra,
  ];
  return Buffer.from(lines.map((line) => `${line}\r\n`).join(""));
}
