/** The core as a proxy between alice's TLS connection and biloxi's TCP one. */
import assert from "node:assert/strict";
import { Controller } from "../../../controller/core/controller.ts";
import type {
  ControllerEffect,
  ControllerInput,
  ControllerSetting,
} from "../../../controller/core/controller-port.ts";
import type { SipPolicy, Trunk } from "../../../controller/core/sip-policy.ts";
import type { User, UserDirectory } from "../../../controller/core/users.ts";
import { Secret } from "../../../protocol/secret.ts";
import { digestHa1 } from "../../../protocol/sip/digest.ts";
import type { FlowId, Peer, Target } from "../../../protocol/sip/flow.ts";
import { type SipRequest, type SipResponse, withHeader } from "../../../protocol/sip/message.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import {
  ALICE,
  APPLIED,
  APPLY_TIMEOUT_MS,
  bobAnswers,
  CallDriver,
  NOW,
  opened,
  POLICY,
  sdp,
} from "./call-fixture.ts";

/** A trunk by TCP, unless the sketch says otherwise. */
export const trunk = (
  domain: string,
  address: string,
  sketch: Partial<Trunk> & { readonly port?: number } = {},
): Trunk => {
  const { port = 5060, ...rest } = sketch;
  return {
    domain,
    transport: "tcp",
    place: { kind: "address", address, port },
    from: [],
    identities: [],
    to: new Set(["users"]),
    trusted: false,
    ...rest,
  };
};

export const user = (aor: string, sketch: Partial<User> = {}): User => ({
  aor,
  addresses: [],
  requireSealed: false,
  mustRecord: true,
  ...sketch,
});

export function directory(...users: readonly User[]): UserDirectory {
  const byAor = new Map(users.map((each) => [each.aor, each]));
  return { find: (aor) => byAor.get(aor) };
}

export const DAVE = "sip:dave@atlanta.example.com";
const SWORDFISH = new Secret(Buffer.from("swordfish"));
export const USERS: readonly User[] = [
  user(ALICE),
  user(DAVE, {
    addresses: ["10.10.0.77"],
    ha1: { sha256: digestHa1("dave", "atlanta.example.com", SWORDFISH) },
  }),
];

export const SIP: SipPolicy = {
  name: "ss1.atlanta.example.com",
  domains: ["atlanta.example.com"],
  listeners: [
    { transport: "tls", address: "10.10.0.1", port: 5061 },
    { transport: "tcp", address: "10.10.0.1", port: 5060 },
    { transport: "tcp", address: "10.30.0.1", port: 5060 },
  ],
  trunks: [trunk("biloxi.example.com", "10.30.0.2")],
  users: directory(...USERS),
  digest: { algorithms: ["SHA-256"], nonceLifetimeMs: 300_000 },
  sessionTimer: { minSeS: 90 },
  anyDomain: false,
};

export const CERTIFICATE = Buffer.from("certificate of ss1");

export const FROM_ALICE: Arrival = {
  flow: "flow-alice",
  peer: {
    transport: "tls",
    address: "10.10.0.2",
    port: 40_000,
    localAddress: "10.10.0.1",
    identities: [ALICE],
  },
};
export const FROM_BILOXI: Arrival = {
  flow: "flow-biloxi",
  peer: { transport: "tcp", address: "10.30.0.2", port: 41_000, identities: [] },
};
export const FROM_NOBODY: Arrival = {
  flow: "flow-nobody",
  peer: { transport: "tcp", address: "10.10.0.9", port: 42_000, identities: [] },
};

export const peerWith = (arrival: Arrival, peer: Partial<Peer>, flow = arrival.flow): Arrival => ({
  flow,
  peer: { ...arrival.peer, ...peer },
});

export interface RequestSketch {
  readonly method?: string;
  readonly uri?: string;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly body?: string;
  readonly rows?: readonly string[];
}

const SEALED = "Content-Type: application/pkcs7-mime;smime-type=authEnveloped-data";
let branches = 0;

/** A request as it would be read from a connection. */
export function request(sketch: RequestSketch = {}): SipRequest {
  branches += 1;
  const { method = "INVITE", uri = "sip:bob@biloxi.example.com", body = "", rows = [] } = sketch;
  const { from = `<${ALICE}>;tag=a1`, to = "<sip:bob@biloxi.example.com>" } = sketch;
  const { callId = "c1@atlanta.example.com", cseq = 1 } = sketch;
  const lines = [
    `${method} ${uri} SIP/2.0`,
    `Via: SIP/2.0/TLS 10.10.0.2:40000;branch=z9hG4bKtest${branches}`,
    ...(rows.some((row) => row.startsWith("Max-Forwards")) ? [] : ["Max-Forwards: 70"]),
    `From: ${from}`,
    `To: ${to}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} ${method}`,
    "Contact: <sip:alice@10.10.0.2:40000;transport=tls>",
    "Date: Sun, 22 Nov 2026 12:00:00 GMT",
    ...(body === "" || rows.some((row) => row.startsWith("Content-Type")) ? [] : [SEALED]),
    ...rows,
    `Content-Length: ${body.length}`,
    "",
    body,
  ];
  const message = parseMessage(Buffer.from(lines.join("\r\n")));
  assert.equal(message.kind, "request");
  return message as SipRequest;
}

/** What the next hop answers to a request that was sent to it. */
export function answerTo(
  sent: SipRequest,
  status: number,
  rows: readonly string[] = [],
  body = "",
) {
  const copied = sent.headers.filter(({ name }) => /^(Via|From|To|Call-ID|CSeq|Date)$/i.test(name));
  const lines = [
    `SIP/2.0 ${status} Whatever`,
    ...copied.map(({ name, value }) => `${name}: ${value}`),
    ...rows,
    `Content-Length: ${body.length}`,
    "",
    body,
  ];
  const message = parseMessage(Buffer.from(lines.join("\r\n"))) as SipResponse;
  const to = copied.find(({ name }) => name === "To")?.value ?? "";
  return to.includes("tag=") ? message : withHeader(message, "To", `${to};tag=b1`);
}

export interface Sent {
  readonly request: SipRequest;
  readonly to: FlowId | Target;
}

/** Octets that differ from call to call, the same in every run. */
function countingOctets(): (size: number) => Buffer {
  let made = 0;
  return (size) => {
    const octets = Buffer.alloc(size);
    for (let at = 0; at < size; at += 1) {
      made += 7;
      octets.writeUInt8(made & 0xff, at);
    }
    return octets;
  };
}

/** Drives the core and sorts what comes out. */
export class ProxyDriver {
  readonly core: Controller;
  now = NOW;
  #keys = 0;

  constructor(setting: Partial<ControllerSetting> = {}) {
    const octets = countingOctets();
    this.core = new Controller({
      sip: SIP,
      media: POLICY,
      applyTimeoutMs: APPLY_TIMEOUT_MS,
      recordingRequired: true,
      bodyCertificate: CERTIFICATE,
      nonceKey: new Secret(Buffer.alloc(32, 1)),
      random: octets,
      keepsCalls: true,
      ...setting,
    });
  }

  feed(input: ControllerInput): readonly ControllerEffect[] {
    return this.core.handle(input, this.now);
  }

  /** Delivers a request under a server transaction of its own. */
  receive(
    received: SipRequest,
    arrival: Arrival = FROM_ALICE,
    key = this.newKey(),
  ): readonly ControllerEffect[] {
    return received.method === "ACK"
      ? this.feed({ kind: "deliver-ack", request: received, ...arrival })
      : this.feed({ kind: "deliver-request", key, request: received, ...arrival });
  }

  newKey(): string {
    this.#keys += 1;
    return `s${this.#keys}`;
  }

  /** A sealed call as far as its INVITE at biloxi; returns that INVITE. */
  placeSealed(received = request({ body: "sealed offer" }), arrival = FROM_ALICE): SipRequest {
    const [inspect] = this.receive(received, arrival);
    assert.ok(inspect?.kind === "inspect");
    const { call, ref, message } = inspect;
    const firstKey = new CallDriver().firstKey;
    const body = opened(message, ALICE, sdp({}));
    const inspection = { kind: "opened", body, firstKey } as const;
    const [put] = this.feed({ kind: "inspected", call, ref, inspection });
    assert.equal(put?.kind, "put");
    const { session } = (put as ControllerEffect & { kind: "put" }).put;
    const effects = this.feed({ kind: "put-result", session, revision: 1, result: APPLIED });
    const [sent] = requestsOf(effects);
    assert.ok(sent !== undefined);
    return sent.request;
  }

  /** The next hop's word on a request that was sent to it. */
  reply(sent: SipRequest, status: number, rows: readonly string[] = [], body = "") {
    const branch = /branch=([^;]+)/.exec(
      sent.headers.find(({ name }) => name === "Via")?.value ?? "",
    );
    const method = sent.method;
    return this.feed({
      kind: "deliver-response",
      key: `c|${branch?.[1]}|${method}`,
      response: answerTo(sent, status, rows, body),
      ...FROM_BILOXI,
    });
  }

  /** A plain call, answered and acknowledged; returns the INVITE at biloxi. */
  placePlain(received = request()): SipRequest {
    const [sent] = requestsOf(this.receive(received));
    assert.ok(sent !== undefined);
    this.reply(sent.request, 200, ["Contact: <sip:bob@10.20.0.2:5060;transport=tcp>"]);
    this.receive(inDialog("ACK"));
    return sent.request;
  }

  /** A sealed call, answered and acknowledged. */
  answerSealed(): void {
    const sent = this.placeSealed();
    const [inspect] = this.reply(sent, 200, [SEALED], "sealed answer");
    assert.ok(inspect?.kind === "inspect");
    const { call, ref, message } = inspect;
    const inspection = bobAnswers({}, message as SipResponse);
    const [put] = this.feed({ kind: "inspected", call, ref, inspection });
    const { session } = (put as ControllerEffect & { kind: "put" }).put;
    this.feed({ kind: "put-result", session, revision: 2, result: APPLIED });
    this.receive(inDialog("ACK"));
  }
}

/** A request of the dialog with tags a1 and b1, from the caller unless said otherwise. */
export function inDialog(method: string, sketch: RequestSketch = {}): SipRequest {
  return request({
    method,
    uri: "sip:bob@10.20.0.2:5060;transport=tcp",
    to: "<sip:bob@biloxi.example.com>;tag=b1",
    cseq: method === "ACK" ? 1 : 2,
    ...sketch,
  });
}

export const fromBob: RequestSketch = {
  uri: "sip:alice@10.10.0.2:40000;transport=tls",
  from: "<sip:bob@biloxi.example.com>;tag=b1",
  to: `<${ALICE}>;tag=a1`,
};

/** The requests that leave, with and without a transaction. */
export function requestsOf(effects: readonly ControllerEffect[]): readonly Sent[] {
  return effects.flatMap((effect): Sent[] => {
    if (effect.kind !== "transaction") return [];
    const { input } = effect;
    if (input.kind === "request") return [{ request: input.request, to: input.to }];
    if (input.kind === "send" && input.message.kind === "request")
      return [{ request: input.message, to: input.to }];
    return [];
  });
}

/** The responses that go back, with the server transaction of each. */
export function responsesOf(
  effects: readonly ControllerEffect[],
): readonly { readonly key: string; readonly response: SipResponse }[] {
  return effects.flatMap((effect) =>
    effect.kind === "transaction" && effect.input.kind === "respond" ? [effect.input] : [],
  );
}

/** The status of the one response, if there is one. */
export const statusOf = (effects: readonly ControllerEffect[]): number | undefined =>
  responsesOf(effects)[0]?.response.status;
