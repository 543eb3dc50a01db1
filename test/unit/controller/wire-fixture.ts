/**
 * The core and the transaction layer as one box: messages in, messages out, as a neighbour on the
 * wire sees them. A plain proxy without gateway; alice calls from the trunk pbx.example, bob is our
 * user, the carrier is another trunk.
 */
import assert from "node:assert/strict";
import type { Binding } from "../../../controller/core/bindings.ts";
import { Controller } from "../../../controller/core/controller.ts";
import type {
  ControllerEffect,
  ControllerInput,
} from "../../../controller/core/controller-port.ts";
import type { SipPolicy, Trunk } from "../../../controller/core/sip-policy.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { FlowId, Peer, Target } from "../../../protocol/sip/flow.ts";
import {
  firstValue,
  headerRows,
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../../protocol/sip/message.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import type { Arrival, TransactionEffect } from "../../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";

export const NOW = 1_000_000;
const trunk = (domain: string, address: string, to: readonly string[]): Trunk => ({
  domain,
  transport: "udp",
  place: { kind: "address", address, port: 5060 },
  from: [],
  identities: [],
  to: new Set(to),
  trusted: false,
});

export const POLICY: SipPolicy = {
  name: "proxy.example.com",
  domains: ["example.com"],
  listeners: [
    { transport: "udp", address: "10.0.0.1", port: 5060 },
    { transport: "tcp", address: "10.0.0.1", port: 5060 },
    { transport: "tls", address: "10.0.0.1", port: 5061 },
    { transport: "udp", address: "192.0.2.1", port: 5060 },
  ],
  trunks: [
    trunk("pbx.example", "10.0.0.20", ["users", "carrier.example", "named.example"]),
    trunk("carrier.example", "192.0.2.20", ["users"]),
    {
      ...trunk("named.example", "", ["users"]),
      place: { kind: "name", host: "sip.named.example" },
    },
  ],
  users: {
    find: (aor) =>
      aor === "sip:bob@example.com" || aor === "sip:carol@example.com"
        ? { aor, addresses: [], requireSealed: false, mustRecord: false }
        : undefined,
  },
  digest: { algorithms: ["SHA-256"], nonceLifetimeMs: 60_000 },
  sessionTimer: { minSeS: 90 },
  anyDomain: false,
};

const udpFrom = (address: string, localAddress: string, port = 5060): Arrival => {
  const here = { localAddress, localPort: 5060 };
  const peer: Peer = { transport: "udp", address, port, ...here, identities: [] };
  return { flow: `udp/${localAddress}/${address}/${port}`, peer };
};
export const FROM_PBX = udpFrom("10.0.0.20", "10.0.0.1");
export const FROM_CARRIER = udpFrom("192.0.2.20", "192.0.2.1");

/** Carol, a user of ours, over TLS with her certificate. */
export const FROM_CAROL: Arrival = {
  flow: "flow-carol",
  peer: {
    transport: "tls",
    address: "10.0.0.50",
    port: 50_000,
    localAddress: "10.0.0.1",
    localPort: 5061,
    identities: ["sip:carol@example.com"],
  },
};

/** The port of a phone of bob's, by its name: `a` is 40001. */
const portOf = (name: string): number => 40_000 + name.charCodeAt(0) - 96;

/** Where a phone of bob's is heard from. */
export const atPhone = (name: string): Arrival => udpFrom("10.0.0.99", "10.0.0.1", portOf(name));
export const flowOf = (name: string): FlowId => atPhone(name).flow;

/** A phone of bob's that registered over UDP. */
export function phone(name: string, over: Partial<Binding> = {}): Binding {
  const port = portOf(name);
  return {
    aor: "sip:bob@example.com",
    key: name,
    contact: `sip:bob@10.0.0.99:${port};line=${name}`,
    params: [],
    q: 1,
    expiresAt: NOW + 3_600_000,
    callId: `register-${name}`,
    cseq: 1,
    path: [],
    direct: true,
    flow: flowOf(name),
    received: { transport: "udp", address: "10.0.0.99", port },
    addresses: [],
    updatedAt: 0,
    ...over,
  };
}

export interface Sent {
  readonly message: SipMessage;
  readonly to: FlowId | Target;
  readonly key: string | undefined;
}

/** Servers by URI. */
type Dns = Readonly<Record<string, readonly Target[]>>;

export class Wire {
  readonly controller: Controller;
  readonly #layer: TransactionLayer;
  /** What DNS says, by URI. */
  readonly #dns: Dns | "silent";
  readonly #questions: { readonly ref: string; readonly uri: string }[] = [];
  #drawn = 0;
  now = NOW;

  constructor(
    phones: readonly Binding[] = [],
    options: {
      readonly policy?: Partial<SipPolicy>;
      readonly dns?: Dns | "silent";
    } = {},
  ) {
    const random = (size: number): Buffer => {
      this.#drawn += 1;
      const octets = Buffer.alloc(size);
      octets.writeUInt32BE(this.#drawn, size - 4);
      return octets;
    };
    this.#dns = options.dns ?? {};
    this.#layer = new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random });
    this.controller = new Controller({
      sip: { ...POLICY, ...options.policy },
      applyTimeoutMs: 1_000,
      recordingRequired: false,
      bodyCertificate: Buffer.alloc(0),
      nonceKey: new Secret(Buffer.alloc(32, 1)),
      random,
    });
    this.controller.restore(phones, []);
  }

  /** A message comes; what is sent because of it, in order. */
  receive(message: SipMessage, arrival: Arrival): readonly Sent[] {
    return this.#layered(this.#layer.handle({ kind: "received", message, ...arrival }, this.now));
  }

  /** What was sent cannot be: the connection is refused. */
  fail({ key }: Sent): readonly Sent[] {
    assert.ok(key !== undefined);
    return this.#layered(this.#layer.handle({ kind: "transport-failed", key }, this.now));
  }

  closeFlow(flow: FlowId): readonly Sent[] {
    return [
      ...this.#told({ kind: "flow-closed", flow }),
      ...this.#layered(this.#layer.handle({ kind: "flow-closed", flow }, this.now)),
    ];
  }

  /** Lets time pass, deadline by deadline. */
  pass(ms: number): readonly Sent[] {
    const end = this.now + ms;
    const sent: Sent[] = [];
    for (;;) {
      const next = Math.min(
        this.#layer.deadline() ?? Number.POSITIVE_INFINITY,
        this.controller.deadline() ?? Number.POSITIVE_INFINITY,
      );
      if (next > end) break;
      this.now = Math.max(this.now, next);
      sent.push(...this.#layered(this.#layer.handle({ kind: "tick" }, this.now)));
      sent.push(...this.#told({ kind: "tick" }));
    }
    this.now = end;
    return sent;
  }

  /** Transactions and requests still remembered. */
  get size(): number {
    return this.#layer.size + this.controller.pendingCount;
  }

  /** Answers what was asked of DNS so far. */
  answerDns(dns: Dns): readonly Sent[] {
    return this.#questions
      .splice(0)
      .flatMap(({ ref, uri }) => this.#told({ kind: "located", ref, targets: dns[uri] ?? [] }));
  }

  #told(input: ControllerInput): Sent[] {
    return this.controller.handle(input, this.now).flatMap((effect) => this.#perform(effect));
  }

  #perform(effect: ControllerEffect): Sent[] {
    switch (effect.kind) {
      case "transaction":
        return this.#layered(this.#layer.handle(effect.input, this.now));
      case "locate":
        this.#questions.push(effect);
        return this.#dns === "silent" ? [] : [...this.answerDns(this.#dns)];
      default:
        return [];
    }
  }

  #layered(effects: readonly TransactionEffect[]): Sent[] {
    return effects.flatMap((effect) =>
      effect.kind === "send"
        ? [{ message: effect.message, to: effect.to, key: effect.key }]
        : this.#told(effect),
    );
  }
}

export interface Sketch {
  readonly uri?: string;
  /** Rows after the usual ones, as text. */
  readonly rows?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly via?: string;
  readonly maxForwards?: string | undefined;
  readonly cseq?: number;
  readonly body?: string;
}

let made = 0;

/** A request as text of the wire, read as our transport would read it. */
export function request(method: string, sketch: Sketch = {}): SipRequest {
  made += 1;
  const { uri = "sip:bob@example.com", rows = [], body = "", cseq = 1 } = sketch;
  const text = [
    `${method} ${uri} SIP/2.0`,
    `Via: ${sketch.via ?? `SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKmade${made}`}`,
    ...("maxForwards" in sketch
      ? sketch.maxForwards === undefined
        ? []
        : [`Max-Forwards: ${sketch.maxForwards}`]
      : ["Max-Forwards: 70"]),
    `From: ${sketch.from ?? "<sip:alice@pbx.example>;tag=alice"}`,
    `To: ${sketch.to ?? "<sip:bob@example.com>"}`,
    `Call-ID: call-${made}@10.0.0.20`,
    `CSeq: ${cseq} ${method}`,
    "Contact: <sip:alice@10.0.0.20>",
    ...rows,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
  const message = parseMessage(Buffer.from(text));
  assert.ok(message.kind === "request");
  return message;
}

/** The response of whoever got a request: its Vias, its Record-Routes, its own tag. */
export function answer(
  { headers }: SipRequest,
  status: number,
  rows: readonly string[] = [],
  tag = "bob",
  contact = "sip:bob@10.0.0.99:40001",
): SipResponse {
  const copied = ["Via", "From", "Call-ID", "CSeq", "Record-Route"].flatMap((name) =>
    headerRows({ headers }, name).map((row) => `${name}: ${row.value}`),
  );
  const to = headerValue({ headers }, "To") ?? "";
  const tagged = status === 100 || to.includes(";tag=") ? to : `${to};tag=${tag}`;
  const contacts = status > 100 && status < 300 ? [`Contact: <${contact}>`] : [];
  const lines = [`SIP/2.0 ${status} Whatever`, ...copied, `To: ${tagged}`, ...contacts, ...rows];
  const message = parseMessage(Buffer.from([...lines, "Content-Length: 0", "", ""].join("\r\n")));
  assert.ok(message.kind === "response");
  return message;
}

export function onlyRequest(sent: readonly Sent[], method: string): SipRequest {
  const requests = sent.flatMap(({ message }) =>
    message.kind === "request" && message.method === method ? [message] : [],
  );
  assert.equal(requests.length, 1, `one ${method} among ${words(sent)}`);
  const [only] = requests;
  assert.ok(only !== undefined);
  return only;
}

export function onlyResponse(sent: readonly Sent[]): SipResponse {
  const responses = sent.flatMap(({ message }) => (message.kind === "response" ? [message] : []));
  assert.equal(responses.length, 1, `one response among ${words(sent)}`);
  const [only] = responses;
  assert.ok(only !== undefined);
  return only;
}

/** What was sent, in words: `INVITE>flow-a`, `180>udp/10.0.0.1/10.0.0.20/5060`. */
export const words = (sent: readonly Sent[]): string =>
  sent
    .map(({ message, to }) => {
      const what = message.kind === "request" ? message.method : message.status;
      const where = typeof to === "string" ? to : `${to.transport} ${to.address}:${to.port}`;
      return `${what}>${where}`;
    })
    .join(", ");

export const branchOf = (message: SipMessage): string =>
  /;branch=([^;]+)/.exec(firstValue(message, "Via") ?? "")?.[1] ?? "";
