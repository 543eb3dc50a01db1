/** A SIP connection held by a test: sends messages as they are, keeps all that comes. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import {
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../protocol/sip/message.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../protocol/sip/stream-framer.ts";
import type { InnerSockets } from "./inner-sockets.ts";
import { CONTROLLER_NAME } from "./site-config.ts";
import { LEAVES } from "./topology.ts";

export interface SipPeer {
  readonly received: readonly SipMessage[];
  send(message: SipMessage): void;
  /** The final response to a request, past or future. */
  final(request: SipRequest, timeoutMs?: number): Promise<SipResponse>;
  close(): void;
}

const FINAL_TIMEOUT_MS = 30_000;
const CONTROLLER_TLS_PORT = 5061;

/**
 * Connects to the controller as a phone does; without `identity`, without a client certificate.
 * `identityKeys` is another folder to take it from.
 */
export async function connectToController(
  alice: InnerSockets,
  keys: string,
  identity?: string,
  identityKeys = keys,
): Promise<SipPeer> {
  const socket = await alice.connect({
    address: LEAVES.alice.router,
    port: CONTROLLER_TLS_PORT,
  });
  const read = (folder: string, name: string): Buffer => readFileSync(join(folder, name));
  const own =
    identity === undefined
      ? {}
      : { cert: read(identityKeys, `${identity}.pem`), key: read(identityKeys, `${identity}.key`) };
  const secured = tlsConnect({
    socket,
    ca: read(keys, "ca.pem"),
    servername: CONTROLLER_NAME,
    ...own,
  });
  await new Promise<void>((resolve, reject) => {
    secured.once("secureConnect", resolve);
    secured.once("error", reject);
  });
  return holdConnection(secured);
}

/** Takes over a connection that stands. */
export function holdConnection(
  socket: Socket,
  onMessage: (message: SipMessage) => void = () => {},
): SipPeer {
  const framer = new StreamFramer();
  const received: SipMessage[] = [];
  const waiting = new Set<() => void>();
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    for (const item of framer.push(chunk)) {
      if (item.kind !== "request" && item.kind !== "response") continue;
      received.push(item);
      onMessage(item);
    }
    for (const wake of waiting) wake();
  });
  return {
    received,
    send: (message) => void socket.write(serializeMessage(message)),
    final(request, timeoutMs = FINAL_TIMEOUT_MS) {
      const found = (): SipResponse | undefined => received.find(isFinalTo(request));
      return new Promise((resolve, reject) => {
        const settle = (): void => {
          const response = found();
          if (response === undefined) return;
          clearTimeout(timer);
          waiting.delete(settle);
          resolve(response);
        };
        const timer = setTimeout(() => {
          waiting.delete(settle);
          reject(new Error(`no final response in ${timeoutMs} ms`));
        }, timeoutMs);
        waiting.add(settle);
        settle();
      });
    },
    close: () => socket.destroy(),
  };
}

const isFinalTo =
  (request: SipRequest) =>
  (message: SipMessage): message is SipResponse =>
    message.kind === "response" &&
    message.status >= 200 &&
    headerValue(message, "Call-ID") === headerValue(request, "Call-ID") &&
    headerValue(message, "CSeq") === headerValue(request, "CSeq");
