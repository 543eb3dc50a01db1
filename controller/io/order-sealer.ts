/**
 * Makes the recording order of a session and seals it past the agent, to the recorder. Uses
 * libsodium, whose WebAssembly must be ready.
 */
import sodium from "libsodium-wrappers";
import { MAX_ORDER_TEXT, type RecordingOrder } from "../../protocol/ingest/order.ts";
import { sealOrder } from "../../protocol/sealing/order.ts";
import type { WantedSession } from "../core/agent-client-port.ts";
import type { SessionRequest } from "../core/call-port.ts";
import type { OrderHead } from "../core/order-head.ts";
import type { DraftProtection } from "../core/recording-order.ts";
import type { OrderKeys } from "./credentials.ts";

/** How long the gateway keeps a session that nobody renews. */
export const LEASE_MS = 30_000;

export class OrderSealer {
  readonly #keys: OrderKeys | undefined;

  private constructor(keys: OrderKeys | undefined) {
    this.#keys = keys;
  }

  /** @param keys Absent: nothing is recorded. */
  static async create(keys: OrderKeys | undefined): Promise<OrderSealer> {
    await sodium.ready;
    return new OrderSealer(keys);
  }

  /** The session as the agent is to be told. @throws ProtocolError `ERR_ORDER`. */
  seal(put: SessionRequest, head: OrderHead): WantedSession {
    const { session, revision, pinholes } = put;
    const wanted = { session, revision, leaseMs: LEASE_MS, pinholes: [...pinholes] };
    if (this.#keys === undefined) return wanted;
    const { signingKey, recorderKey } = this.#keys;
    const sealed = sealOrder(orderOf(put, head), signingKey, recorderKey, sodium);
    const { recording, required } = put;
    const sealedOrder = sealed.toString("base64");
    return { ...wanted, recording: { recording, sealedOrder, required } };
  }
}

function orderOf(put: SessionRequest, head: OrderHead): RecordingOrder {
  const { session, recording, revision, streams } = put;
  const { callId, from, to, startedAt, linked } = head;
  return {
    version: 1,
    recording,
    session,
    revision,
    callId: callId.slice(0, MAX_ORDER_TEXT),
    from: from.slice(0, MAX_ORDER_TEXT),
    to: to.slice(0, MAX_ORDER_TEXT),
    startedAt: new Date(startedAt).toISOString(),
    ...(linked === undefined ? {} : { linked }),
    policy: "decrypted",
    streams: streams.map(({ protection, payloads, ...stream }) => ({
      ...stream,
      payloads: [...payloads],
      protection: protectionOf(protection),
    })),
  };
}

function protectionOf(
  protection: DraftProtection,
): RecordingOrder["streams"][number]["protection"] {
  if (protection.kind !== "srtp") return protection;
  const { suite, masterKeySalt } = protection.crypto;
  return { kind: "srtp", suite, masterKeySalt: masterKeySalt.expose().toString("base64") };
}
