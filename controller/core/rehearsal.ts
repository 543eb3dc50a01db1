/**
 * Calls played in memory before the first real one. V8 compiles what it has run often: a proxy that
 * is started in the middle of a busy hour has no time for that then, since callers send again what
 * is not answered within half a second. Pure: what is played reaches nobody, and nothing of it stays
 * but the compiled code.
 */
import type { Millis } from "../../protocol/machine.ts";
import { Secret } from "../../protocol/secret.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { readDatagram } from "../../protocol/sip/datagram.ts";
import { headerValues, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { DEFAULT_SIP_TIMERS } from "../../protocol/sip/transaction.ts";
import type { Arrival, TransactionEffect } from "../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../protocol/sip/transaction-layer.ts";
import { Controller } from "./controller.ts";
import type { ControllerInput } from "./controller-port.ts";
import type { SipPolicy, Trunk } from "./sip-policy.ts";

/** Addresses and names that are for documentation alone (RFC 5737, RFC 6761). */
const PROXY = "192.0.2.1";
const ENDS = { caller: "192.0.2.2", callee: "192.0.2.3" } as const;
type End = keyof typeof ENDS;
const DOMAINS = { caller: "caller.invalid", callee: "callee.invalid" } as const;
const PORT = 5060;
const NONCE_KEY_BYTES = 32;
/** Between two calls; most of what a call leaves behind is gone after 64*T1. */
const CALL_INTERVAL_MS = 100;
const SDP = `v=0\r\no=- 1 1 IN IP4 ${PROXY}\r\ns=-\r\nc=IN IP4 ${PROXY}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n`;

const trunk = (end: End, to: End): Trunk => ({
  domain: DOMAINS[end],
  transport: "udp",
  place: { kind: "address", address: ENDS[end], port: PORT },
  from: [],
  identities: [],
  to: new Set([DOMAINS[to]]),
  trusted: false,
});

const POLICY: SipPolicy = {
  name: "proxy.invalid",
  domains: ["users.invalid"],
  listeners: [{ transport: "udp", address: PROXY, port: PORT }],
  trunks: [trunk("caller", "callee"), trunk("callee", "caller")],
  users: { find: () => undefined },
  digest: { algorithms: ["SHA-256"], nonceLifetimeMs: 1 },
  sessionTimer: { minSeS: 90 },
  anyDomain: false,
};

/** A stage with two ends and a proxy between them, none of which is real. */
export class Rehearsal {
  readonly #layer: TransactionLayer;
  readonly #controller: Controller;
  readonly #wire: { readonly from: End; readonly octets: Buffer }[] = [];
  #now: Millis = 0;
  #played = 0;
  #completed = 0;

  constructor(random: (size: number) => Buffer) {
    this.#layer = new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random });
    this.#controller = new Controller({
      sip: POLICY,
      applyTimeoutMs: 0,
      recordingRequired: false,
      bodyCertificate: Buffer.alloc(0),
      nonceKey: new Secret(random(NONCE_KEY_BYTES)),
      random,
    });
  }

  /** Plays calls from INVITE to the answer of BYE; returns how many came that far. */
  play(calls: number): number {
    const before = this.#completed;
    for (let call = 0; call < calls; call += 1) {
      this.#played += 1;
      this.#send("caller", this.#invite());
      this.#deliverAll();
      this.#now += CALL_INTERVAL_MS;
      this.#perform(this.#layer.handle({ kind: "tick" }, this.#now));
      this.#tell({ kind: "tick" });
      this.#deliverAll();
    }
    return this.#completed - before;
  }

  #deliverAll(): void {
    for (let next = this.#wire.shift(); next !== undefined; next = this.#wire.shift()) {
      const message = readDatagram(next.octets);
      if (message.kind !== "request" && message.kind !== "response") continue;
      const input = { kind: "received", message, ...arrivalFrom(next.from) } as const;
      this.#perform(this.#layer.handle(input, this.#now));
    }
  }

  #perform(effects: readonly TransactionEffect[]): void {
    for (const effect of effects)
      if (effect.kind === "send") this.#reach(serializeMessage(effect.message));
      else this.#tell(effect);
  }

  #tell(input: ControllerInput): void {
    for (const effect of this.#controller.handle(input, this.#now))
      if (effect.kind === "transaction") this.#perform(this.#layer.handle(effect.input, this.#now));
  }

  /** What the proxy sent comes to an end that plays its part. */
  #reach(octets: Buffer): void {
    const message = readDatagram(octets);
    if (message.kind === "request") this.#answer(message);
    else if (message.kind === "response") this.#goOn(message);
  }

  #answer(request: SipRequest): void {
    if (request.method === "INVITE") {
      const headers = headerValues(request, "Record-Route").map(
        (value) => ["Record-Route", value] as const,
      );
      const contact = ["Contact", `<sip:callee@${ENDS.callee}>`] as const;
      const typed = ["Content-Type", "application/sdp"] as const;
      const toTag = `callee${this.#played}`;
      this.#send("callee", createResponse(request, 180, { toTag, headers: [...headers, contact] }));
      const parts = { toTag, headers: [...headers, contact, typed], body: Buffer.from(SDP) };
      this.#send("callee", createResponse(request, 200, parts));
    } else if (request.method === "BYE") this.#send("callee", createResponse(request, 200));
  }

  #goOn(response: SipMessage & { kind: "response" }): void {
    if (response.status !== 200) return;
    const [cseq = ""] = headerValues(response, "CSeq");
    if (cseq.endsWith("BYE")) {
      this.#completed += 1;
      return;
    }
    const [to = ""] = headerValues(response, "To");
    const routes = headerValues(response, "Record-Route").reverse();
    this.#send("caller", this.#inDialog("ACK", 1, to, routes));
    this.#send("caller", this.#inDialog("BYE", 2, to, routes));
  }

  #invite(): SipRequest {
    const uri = `sip:1@${DOMAINS.callee}`;
    const made = this.#request("INVITE", uri, 1, `<${uri}>`, []);
    const headers = [...made.headers, { name: "Content-Type", value: "application/sdp" }];
    return { ...made, headers, body: Buffer.from(SDP) };
  }

  #inDialog(method: string, cseq: number, to: string, routes: readonly string[]): SipRequest {
    return this.#request(method, `sip:callee@${ENDS.callee}`, cseq, to, routes);
  }

  #request(
    method: string,
    uri: string,
    cseq: number,
    to: string,
    routes: readonly string[],
  ): SipRequest {
    const call = this.#played;
    const headers = [
      { name: "Via", value: `SIP/2.0/UDP ${ENDS.caller};branch=z9hG4bK${method}${call}` },
      { name: "Max-Forwards", value: "70" },
      ...routes.map((value) => ({ name: "Route", value })),
      { name: "From", value: `<sip:2@${DOMAINS.caller}>;tag=caller${call}` },
      { name: "To", value: to },
      { name: "Call-ID", value: `${call}@${ENDS.caller}` },
      { name: "CSeq", value: `${cseq} ${method}` },
      { name: "Contact", value: `<sip:2@${ENDS.caller}>` },
    ];
    return { kind: "request", method, uri, headers, body: Buffer.alloc(0) };
  }

  #send(from: End, message: SipMessage): void {
    this.#wire.push({ from, octets: serializeMessage(message) });
  }
}

function arrivalFrom(end: End): Arrival {
  const address = ENDS[end];
  const here = { localAddress: PROXY, localPort: PORT };
  return {
    flow: `udp/0/${PORT}/${address}`,
    peer: { transport: "udp", address, port: PORT, ...here, identities: [] },
  };
}
