/**
 * Those who sent datagrams a moment ago, each named once and not with every datagram. Touches
 * nothing. A table with one place for many: who is not in it any more is named anew.
 */
import type { FlowId, Peer } from "../protocol/sip/flow.ts";

/** A power of two. */
export const REMEMBERED_PEERS = 256;

/** Where a datagram came from, as others are told. */
export interface Correspondent {
  readonly flow: FlowId;
  readonly peer: Peer;
}

interface Known extends Correspondent {
  /** As the socket gave it, with its zone. */
  readonly address: string;
  readonly port: number;
}

export class RecentPeers {
  readonly #describe: (address: string, port: number) => Correspondent;
  readonly #known = new Array<Known | undefined>(REMEMBERED_PEERS).fill(undefined);

  constructor(describe: (address: string, port: number) => Correspondent) {
    this.#describe = describe;
  }

  at(address: string, port: number): Correspondent {
    const last = address.charCodeAt(address.length - 1);
    const place = (port + last * 31 + address.length) & (REMEMBERED_PEERS - 1);
    const known = this.#known[place];
    if (known !== undefined && known.port === port && known.address === address) return known;
    const { flow, peer } = this.#describe(address, port);
    const made: Known = { flow, peer, address, port };
    this.#known[place] = made;
    return made;
  }
}
