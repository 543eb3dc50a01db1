/**
 * The hostile side of `biloxi`: stands between Kamailio and bob, reads every SIP message that passes
 * and does with it what it is told. It has no key of anybody's. Touches two TCP connections.
 */
import type { Socket } from "node:net";
import type { SipMessage } from "../protocol/sip/message.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../protocol/sip/stream-framer.ts";
import { type InnerSockets, openInnerSockets } from "./inner-sockets.ts";
import type { Network } from "./network.ts";
import { LEAVES } from "./topology.ts";

export type Passer = "kamailio" | "bob";

/** What becomes of a message: it goes on, perhaps altered, or the sender gets an answer to it. */
export type Fate =
  | { readonly kind: "forward"; readonly message: SipMessage }
  | { readonly kind: "answer"; readonly message: SipMessage }
  | { readonly kind: "drop" };

export type Tamper = (message: SipMessage, from: Passer) => Fate | Promise<Fate>;

export interface HostileHop {
  /** Where Kamailio is to send what is meant for bob. */
  readonly nextHop: { readonly address: string; readonly port: number };
  /** Every message that came by, before anything was done to it. */
  readonly seen: { readonly message: SipMessage; readonly from: Passer }[];
  close(): Promise<void>;
}

const HOP_PORT = 5070;
const BOB_PORT = 5060;

export async function openHostileHop(network: Network, tamper: Tamper): Promise<HostileHop> {
  const sockets = await openInnerSockets(network, "biloxi");
  const nextHop = { address: LEAVES.biloxi.address, port: HOP_PORT };
  const seen: HostileHop["seen"] = [];
  const watch: Tamper = (message, from) => {
    seen.push({ message, from });
    return tamper(message, from);
  };
  await sockets.listen(nextHop, (kamailio) => void join(sockets, kamailio, watch));
  return { nextHop, seen, close: () => sockets.close() };
}

async function join(sockets: InnerSockets, kamailio: Socket, tamper: Tamper): Promise<void> {
  kamailio.on("error", () => kamailio.destroy());
  kamailio.pause();
  const bob = await sockets.connect({ address: LEAVES.bob.address, port: BOB_PORT });
  bob.on("error", () => bob.destroy());
  kamailio.on("close", () => bob.destroy());
  bob.on("close", () => kamailio.destroy());
  relay(kamailio, bob, (message) => tamper(message, "kamailio"));
  kamailio.resume();
  relay(bob, kamailio, (message) => tamper(message, "bob"));
}

/** Messages keep their order, however long a decision takes. */
function relay(
  from: Socket,
  to: Socket,
  decide: (message: SipMessage) => Fate | Promise<Fate>,
): void {
  const framer = new StreamFramer();
  let before = Promise.resolve();
  from.on("data", (chunk: Buffer) => {
    for (const item of framer.push(chunk)) {
      if (item.kind === "keepalive" || item.kind === "malformed") continue;
      before = before.then(async () => {
        const fate = await decide(item);
        if (fate.kind === "forward") to.write(serializeMessage(fate.message));
        if (fate.kind === "answer") from.write(serializeMessage(fate.message));
      });
    }
  });
}
