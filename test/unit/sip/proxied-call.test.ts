/**
 * Calls through a proxy made of nothing but this folder's pieces: three transaction layers on a
 * simulated net, messages as octets between them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BestResponse } from "../../../protocol/sip/best-response.ts";
import { newBranch, ownVia } from "../../../protocol/sip/create-request.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import {
  ackInDialog,
  dialogOfCallee,
  dialogOfCaller,
  requestInDialog,
} from "../../../protocol/sip/dialog.ts";
import type { Peer, Target } from "../../../protocol/sip/flow.ts";
import { isLoop, proxyBranch } from "../../../protocol/sip/loop.ts";
import { headerValues, type SipRequest, type SipResponse } from "../../../protocol/sip/message.ts";
import { nextHop } from "../../../protocol/sip/next-hop.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import {
  forwardRequest,
  forwardResponse,
  recordRoutes,
  removeOwnRoute,
  validateRequest,
} from "../../../protocol/sip/proxy.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import type { TransactionEffect } from "../../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { sampleRequest } from "./sample.ts";

const HOSTS = { alice: "10.10.0.2", proxy: "10.10.0.1", bob: "10.20.0.2" } as const;
type Name = keyof typeof HOSTS;
type Handler = (event: TransactionEffect) => void;
const [INSIDE, OUTSIDE] = ["sip:10.10.0.1:5061;transport=tls", "sip:10.10.0.1:5060;transport=tcp"];
const SEALED = Buffer.from("\0\r\n\r\nSIP/2.0 sealed \xff", "latin1");

/** All of them speak TCP, whatever a URI names. */
const hop = (request: SipRequest): Target => ({ ...nextHop(request), transport: "tcp" });

let counter = 0;
const random = (size: number): Buffer => {
  const octets = Buffer.alloc(size);
  counter += 1;
  octets.writeUInt32BE(counter);
  return octets;
};

/** Three elements; `pump` carries messages until nobody has one to send. */
class Net {
  readonly layers = new Map<Name, TransactionLayer>();
  readonly handlers = new Map<Name, Handler>();
  readonly wire: (() => void)[] = [];
  readonly bodies: Buffer[] = [];
  now = 0;

  constructor() {
    for (const name of ["alice", "proxy", "bob"] as const)
      this.layers.set(name, new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random }));
  }

  feed(name: Name, input: Parameters<TransactionLayer["handle"]>[0]): void {
    for (const effect of this.layers.get(name)?.handle(input, this.now) ?? [])
      if (effect.kind === "send") this.carry(name, effect);
      else this.handlers.get(name)?.(effect);
  }

  /** A flow is named after the element at its other end. */
  carry(from: Name, { message, to }: TransactionEffect & { kind: "send" }): void {
    const host = typeof to === "string" ? to : to.address;
    const name = (Object.keys(HOSTS) as Name[]).find((each) => HOSTS[each] === host);
    assert.ok(name !== undefined, `nobody at ${host}`);
    if (message.body.length > 0) this.bodies.push(message.body);
    const octets = serializeMessage(message);
    const peer: Peer = { transport: "tcp", address: HOSTS[from], port: 5060, identities: [] };
    this.wire.push(() =>
      this.feed(name, { kind: "received", message: parseMessage(octets), flow: HOSTS[from], peer }),
    );
  }

  pump(): void {
    for (let deliver = this.wire.shift(); deliver !== undefined; deliver = this.wire.shift())
      deliver();
  }

  get idle(): boolean {
    return [...this.layers.values()].every(({ size }) => size === 0);
  }

  sleep(ms: number): void {
    this.now += ms;
    for (const name of this.layers.keys()) this.feed(name, { kind: "tick" });
    this.pump();
  }
}

/** A stateful proxy with one branch a request. */
function proxyHandler(net: Net): Handler {
  const upstream = new Map<string, { key: string; request: SipRequest }>();
  const isOwn = ({ host }: { host: string }) => host === HOSTS.proxy;

  const forward = (received: SipRequest): SipRequest => {
    const { request } = removeOwnRoute(received, isOwn);
    const branch = proxyBranch(received, random);
    return forwardRequest(request, {
      via: ownVia("tcp", HOSTS.proxy, 5060, branch),
      ...(request.method === "INVITE"
        ? { recordRoutes: recordRoutes(INSIDE ?? "", OUTSIDE ?? "") }
        : {}),
    });
  };

  return (event) => {
    switch (event.kind) {
      case "deliver-request": {
        const { key, request } = event;
        const refusal = validateRequest(request, {
          optionTags: [],
          looped: isLoop(request, isOwn),
        });
        assert.equal(refusal, undefined);
        const sent = forward(request);
        upstream.set(clientKey(sent) ?? "", { key, request });
        return net.feed("proxy", {
          kind: "request",
          request: sent,
          to: hop(sent),
          timerC: true,
        });
      }
      case "deliver-ack": {
        const sent = forward(event.request);
        return net.feed("proxy", { kind: "send", message: sent, to: hop(sent) });
      }
      case "deliver-cancel": {
        const [client] = [...upstream].find(([, { key }]) => key === event.key) ?? [""];
        return net.feed("proxy", { kind: "cancel", key: client });
      }
      case "deliver-response": {
        if (event.response.status === 100) return;
        const waiting = upstream.get(event.key);
        const response = forwardResponse(event.response);
        assert.ok(waiting !== undefined && response !== undefined);
        return net.feed("proxy", { kind: "respond", key: waiting.key, response });
      }
      case "failed": {
        const waiting = upstream.get(event.key);
        if (waiting === undefined) return;
        const best = new BestResponse();
        best.addFailure(event.reason);
        const { status } = best.choose(false);
        const response = createResponse(waiting.request, status, { toTag: "p" });
        return net.feed("proxy", { kind: "respond", key: waiting.key, response });
      }
      default:
        throw new Error(`unexpected: ${event.kind}`);
    }
  };
}

/** Alice, Bob and what each of them saw. */
function stage(bobAnswers: (request: SipRequest) => readonly number[]) {
  const net = new Net();
  const seen: Record<"alice" | "bob", string[]> = { alice: [], bob: [] };
  const kept: {
    request?: SipRequest;
    response?: SipResponse;
    bobInvite?: SipRequest;
    bobKey?: string;
  } = {};
  net.handlers.set("proxy", proxyHandler(net));
  net.handlers.set("alice", (event) => {
    if (event.kind === "deliver-response") {
      kept.response = event.response;
      seen.alice.push(String(event.response.status));
    } else seen.alice.push(event.kind);
  });
  net.handlers.set("bob", (event) => {
    if (event.kind === "deliver-cancel" && kept.bobInvite !== undefined) {
      seen.bob.push("CANCEL");
      const response = createResponse(kept.bobInvite, 487, { toTag: "b0b" });
      return net.feed("bob", { kind: "respond", key: event.key, response });
    }
    if (event.kind !== "deliver-request" && event.kind !== "deliver-ack") return;
    seen.bob.push(event.request.method);
    if (event.kind === "deliver-ack") return;
    if (event.request.method === "INVITE") kept.bobInvite = event.request;
    for (const status of bobAnswers(event.request))
      net.feed("bob", { kind: "respond", key: event.key, response: answer(event.request, status) });
  });
  const via = () => ownVia("tcp", HOSTS.alice, 5060, newBranch(random));
  const invite = sampleRequest("INVITE", { uri: `sip:bob@${HOSTS.bob}`, body: SEALED });
  const call = () => {
    kept.request = invite;
    net.feed("alice", {
      kind: "request",
      request: invite,
      to: { transport: "tcp", address: HOSTS.proxy, port: 5060 },
    });
    net.pump();
  };
  return { net, seen, kept, call, invite, via };
}

const answer = (request: SipRequest, status: number): SipResponse =>
  createResponse(request, status, {
    toTag: "b0b",
    headers: [
      ...headerValues(request, "Record-Route").map((value) => ["Record-Route", value] as const),
      ["Contact", `<sip:bob@${HOSTS.bob}>`],
    ],
    ...(status === 200 && request.method === "INVITE" ? { body: SEALED } : {}),
  });

test("INVITE, 180, 200, ACK, BYE from either side; every body octet for octet", () => {
  const { net, seen, kept, call, invite, via } = stage(({ method }) =>
    method === "INVITE" ? [180, 200] : [200],
  );
  call();
  assert.deepEqual(seen.alice, ["180", "200"]);
  assert.ok(kept.response !== undefined && kept.bobInvite !== undefined);
  const caller = dialogOfCaller(invite, kept.response);
  assert.deepEqual(caller.routeSet, [`<${INSIDE};lr>`, `<${OUTSIDE};lr>`]);
  const ack = ackInDialog(caller, 1, { via: via() });
  net.feed("alice", { kind: "send", message: ack, to: hop(ack) });
  const bye = requestInDialog(caller, { method: "BYE", via: via() }).request;
  net.feed("alice", { kind: "request", request: bye, to: hop(bye) });
  net.pump();
  assert.deepEqual(seen.bob, ["INVITE", "ACK", "BYE"]);
  assert.deepEqual(seen.alice, ["180", "200", "200"]);
  assert.ok(net.bodies.length >= 4 && net.bodies.every((body) => body.equals(SEALED)));
  const callee = dialogOfCallee(kept.bobInvite, answer(kept.bobInvite, 200));
  assert.deepEqual(callee.routeSet, caller.routeSet.toReversed());
  net.sleep(32_000);
  assert.ok(net.idle);
});

test("a refusal is acknowledged hop by hop and everything ends at once", () => {
  const { net, seen, call } = stage(() => [486]);
  call();
  assert.deepEqual(seen, { alice: ["486"], bob: ["INVITE"] });
  assert.ok(net.idle);
});

test("CANCEL goes through hop by hop, 487 comes back", () => {
  const { net, seen, call, invite } = stage(() => [180]);
  call();
  net.feed("alice", { kind: "cancel", key: clientKey(invite) ?? "" });
  net.pump();
  assert.deepEqual(seen, { alice: ["180", "487"], bob: ["INVITE", "CANCEL"] });
  assert.ok(net.idle);
});

test("a callee who says nothing: 100 from the proxy, then 408 from it", () => {
  const { net, seen, call } = stage(() => []);
  net.handlers.set("bob", () => undefined);
  const deaf = new TransactionLayer({ timers: { ...DEFAULT_SIP_TIMERS, tryingMs: 1e9 }, random });
  net.layers.set("bob", deaf);
  call();
  net.sleep(200);
  assert.deepEqual(seen.alice, ["100"]);
  net.sleep(32_000);
  assert.deepEqual(seen.alice, ["100", "408"]);
});

test("one who rings for ever is cancelled by Timer C", () => {
  const { net, seen, call } = stage(() => [180]);
  call();
  net.sleep(DEFAULT_SIP_TIMERS.timerCMs);
  assert.deepEqual(seen, { alice: ["180", "487"], bob: ["INVITE", "CANCEL"] });
});
