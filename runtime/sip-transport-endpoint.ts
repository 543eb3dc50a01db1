/**
 * A transport and its transaction layer, driven by real time: what a proxy or a device stands on.
 * Touches sockets and the clock.
 */
import { randomBytes } from "node:crypto";
import { DEFAULT_SIP_TIMERS, type SipTimers } from "../protocol/sip/transaction.ts";
import type { TransactionEffect, TransactionInput } from "../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../protocol/sip/transaction-layer.ts";
import { drive } from "./drive.ts";
import {
  createSipTransport,
  type SipTransportHandle,
  type SipTransportSetting,
} from "./sip-transport.ts";

/** What the user of an endpoint is told: everything but the sending. */
export type SipEvent = Exclude<TransactionEffect, { kind: "send" }>;
/** What the user of an endpoint may ask: everything but what the transport reports. */
export type SipOrder = Extract<
  TransactionInput,
  { kind: "request" | "respond" | "cancel" | "send" }
>;

export interface SipEndpointSetting extends Omit<SipTransportSetting, "onMessage" | "onClosed"> {
  readonly timers?: SipTimers;
  readonly maxTransactions?: number;
  readonly onEvent: (event: SipEvent) => void;
  /** A flow is gone; the transactions on it have failed already. */
  readonly onClosed?: (flow: string) => void;
}

export interface SipEndpoint {
  readonly transport: SipTransportHandle;
  order(order: SipOrder): void;
  close(): Promise<void>;
}

/** Opens the listeners and starts. Rejects if one of them cannot be opened. */
export async function createSipEndpoint(setting: SipEndpointSetting): Promise<SipEndpoint> {
  const { timers = DEFAULT_SIP_TIMERS, maxTransactions, onEvent, onClosed, ...rest } = setting;
  const layer = new TransactionLayer({
    timers,
    random: randomBytes,
    ...(maxTransactions === undefined ? {} : { maxTransactions }),
  });
  const driven = drive<TransactionInput, TransactionEffect>(layer, (effect) =>
    effect.kind === "send" ? send(effect) : onEvent(effect),
  );
  const opening = createSipTransport({
    ...rest,
    onMessage: (arrival) => feed({ kind: "received", ...arrival }),
    onClosed: (flow) => {
      feed({ kind: "flow-closed", flow });
      onClosed?.(flow);
    },
  });
  const transport = await opening;

  /** A message may come by the first listener while the last is still being opened. */
  function feed(input: TransactionInput): void {
    opening.then(
      () => driven.feed(input),
      () => undefined,
    );
  }

  function send({ message, to, key }: TransactionEffect & { kind: "send" }): void {
    transport.send(message, to).then(
      (flow) => key !== undefined && driven.feed({ kind: "sent", key, flow }),
      (error: Error) => {
        const level = error instanceof TypeError ? "error" : "info";
        setting.log?.[level]({ reason: error.message }, "SIP message not sent");
        if (key !== undefined) driven.feed({ kind: "transport-failed", key });
      },
    );
  }

  const close = async (): Promise<void> => {
    driven.stop();
    await transport.close();
  };
  return { transport, order: (order) => driven.feed(order), close };
}
