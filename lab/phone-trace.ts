/** What a baresip said of its media, read from the SIP messages that it prints. Pure. */
import { parseCryptoAttribute } from "../protocol/sdp/crypto-attribute.ts";
import type { MasterKey } from "../protocol/srtp/packet-keys.ts";
import type { Baresip } from "./baresip.ts";

export interface OwnMedia {
  readonly address: string;
  readonly rtpPort: number;
  /** Absent: RTP in clear. */
  readonly key?: MasterKey;
}

const DESCRIPTION = /^v=0\r?\n(?:[a-z]=.*\r?\n)+/gm;

/** By its latest session description. @throws RangeError it has sent none. */
export function ownMedia({ address, trace }: Pick<Baresip, "address" | "trace">): OwnMedia {
  const own = [...trace().matchAll(DESCRIPTION)]
    .map(([text]) => text)
    .filter((text) => text.includes(`c=IN IP4 ${address}`))
    .at(-1);
  const rtpPort = Number(/^m=audio (\d+) /m.exec(own ?? "")?.[1]);
  if (own === undefined || Number.isNaN(rtpPort)) throw new RangeError("no own description");
  const crypto = /^a=crypto:(.*?)\r?$/m.exec(own)?.[1];
  if (crypto === undefined) return { address, rtpPort };
  return { address, rtpPort, key: parseCryptoAttribute(crypto) };
}
