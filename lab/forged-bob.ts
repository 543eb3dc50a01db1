/** A called phone held by a test: takes TCP connections in bob and answers INVITEs as it is told. */
import { headerValue, type SipRequest, type SipResponse } from "../protocol/sip/message.ts";
import { openInnerSockets } from "./inner-sockets.ts";
import type { Network } from "./network.ts";
import { holdConnection, type SipPeer } from "./sip-peer.ts";
import { LEAVES } from "./topology.ts";

export interface ForgedBob {
  /** Every INVITE that came. */
  readonly invites: readonly SipRequest[];
  /** How the next INVITEs are answered; undefined leaves them without an answer. */
  answer: (invite: SipRequest) => Promise<SipResponse | undefined>;
  /** The INVITE of a call, if it came. */
  inviteOf(request: SipRequest): SipRequest | undefined;
  close(): Promise<void>;
}

const BOB_PORT = 5060;

export async function openForgedBob(network: Network): Promise<ForgedBob> {
  const sockets = await openInnerSockets(network, "bob");
  const invites: SipRequest[] = [];
  const bob: ForgedBob = {
    invites,
    answer: async () => undefined,
    inviteOf: (request) =>
      invites.find((each) => headerValue(each, "Call-ID") === headerValue(request, "Call-ID")),
    close: () => sockets.close(),
  };
  await sockets.listen({ address: LEAVES.bob.address, port: BOB_PORT }, (socket) => {
    const peer: SipPeer = holdConnection(socket, async (message) => {
      if (message.kind !== "request" || message.method !== "INVITE") return;
      invites.push(message);
      const response = await bob.answer(message);
      if (response !== undefined) peer.send(response);
    });
  });
  return bob;
}
