/** What the carriers of SIP, by datagrams and by connections, have in common. Touches nothing. */
import type { LookupFunction } from "node:net";
import type { FlowId, Peer } from "../protocol/sip/flow.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import type { Logger } from "./logger.ts";
import type { SipTransportCounters } from "./sip-transport-counters.ts";
import type { MessageRate } from "./sip-transport-rate.ts";

export interface CarrierSetting {
  readonly onMessage: (message: SipMessage, flow: FlowId, peer: Peer) => void;
  readonly rate: MessageRate;
  readonly counters: SipTransportCounters;
  readonly lookup: LookupFunction;
  readonly log: Logger | undefined;
}

/** Called once: with the error that kept the message here, or with the flow it took. */
export type Settle = (error: Error | undefined, flow: FlowId) => void;
