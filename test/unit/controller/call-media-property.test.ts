/**
 * Random messages in any order: no hole leads to a place that its party never named, and nothing stays
 * open. Messages in the order of RFC 3264: exactly what the two agreed on last is open.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PutResult } from "../../../controller/core/agent-client-port.ts";
import { ACK_TIMEOUT_MS } from "../../../controller/core/negotiation.ts";
import type { Side } from "../../../controller/core/party.ts";
import { APPLIED, CallDriver, invite, SDP_TYPE } from "./call-fixture.ts";

const HOME: Readonly<Record<Side, string>> = { caller: "10.10.0.2", callee: "10.20.0.2" };
const PORTS = [20_000, 22_000, 24_000] as const;

const describe = (side: Side, port: number): string =>
  [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    `c=IN IP4 ${HOME[side]}`,
    "t=0 0",
    `m=audio ${port} RTP/AVP 0`,
    "",
  ].join("\r\n");

type Step =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly port: number;
      readonly reliable: boolean;
    }
  | {
      readonly kind: "request";
      readonly method: string;
      readonly side: Side;
      readonly port: number;
    }
  | { readonly kind: "reply"; readonly at: number; readonly status: number; readonly port: number }
  | { readonly kind: "ack"; readonly side: Side; readonly port: number }
  | { readonly kind: "settle"; readonly result: PutResult }
  | { readonly kind: "cancel"; readonly at: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "restart" };

/** 0: no description. */
const port = fc.constantFrom(0, ...PORTS);
const side = fc.constantFrom<Side>("caller", "callee");
const at = fc.nat({ max: 3 });
const settle = fc
  .constantFrom<PutResult>(
    APPLIED,
    APPLIED,
    APPLIED,
    { kind: "failed", verdict: "gateway-slow" },
    { kind: "failed", verdict: "gateway-refused" },
  )
  .map((result): Step => ({ kind: "settle", result }));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: settle },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("response" as const),
      status: fc.constantFrom(180, 183, 200, 200),
      port,
      reliable: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("request" as const),
      method: fc.constantFrom("INVITE", "INVITE", "UPDATE", "PRACK", "INFO"),
      side,
      port,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("reply" as const),
      at,
      status: fc.constantFrom(183, 200, 200, 200, 488, 491, 500),
      port,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("ack" as const), side, port }) },
  { weight: 1, arbitrary: at.map((each): Step => ({ kind: "cancel", at: each })) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(1, 400, 600, 1_100, 40_000)
      .map((ms): Step => ({ kind: "wait", ms })),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "restart" }) },
);

/** Where a party was ever heard to be. */
class Heard {
  readonly #places = new Set<string>();

  note(by: Side, portHeard: number): void {
    if (portHeard === 0) return;
    for (const component of [portHeard, portHeard + 1])
      this.#places.add(`${HOME[by]}:${component}`);
  }

  /** Requests and responses of a peer are the only source of a hole. */
  check(call: CallDriver): void {
    const put = call.puts.at(-1);
    for (const { to, from } of put?.pinholes ?? []) {
      assert.ok(this.#places.has(`${to.address}:${to.port}`), `nobody named ${to.port}`);
      if (from.address !== undefined) assert.notEqual(from.address, to.address);
      else assert.equal(to.address, HOME.caller, "open from anywhere to outside");
    }
  }
}

interface Play {
  readonly call: CallDriver;
  readonly heard: Heard;
  /** Requests that have gone on and are not answered, with who sent them. */
  readonly open: { readonly ref: string; readonly side: Side }[];
  readonly effects: string[];
  requests: number;
}

function take(play: Play, each: Step): string[] {
  const { call, heard, open } = play;
  const body = (by: Side, described: number) =>
    described === 0 ? {} : { body: describe(by, described), type: SDP_TYPE };
  switch (each.kind) {
    case "response":
      heard.note("callee", each.port);
      return call.respond(each.status, { ...body("callee", each.port), reliable: each.reliable });
    case "request": {
      heard.note(each.side, each.port);
      play.requests += 1;
      open.push({ ref: `q${play.requests}`, side: each.side });
      return call.ask(each.method, each.side, body(each.side, each.port));
    }
    case "reply": {
      const asked = open[each.at];
      if (asked === undefined || !play.effects.includes(`forward ${asked.ref}`)) return [];
      const by = asked.side === "caller" ? "callee" : "caller";
      heard.note(by, each.port);
      if (each.status >= 200) open.splice(each.at, 1);
      return call.replied(each.status, body(by, each.port), asked.ref);
    }
    case "ack":
      heard.note(each.side, each.port);
      return call.ack(each.side, body(each.side, each.port));
    case "settle":
      return call.puts.length === 0 ? [] : call.applied(each.result);
    case "cancel": {
      const asked = open[each.at];
      return asked === undefined
        ? []
        : call.feed({ kind: "request-cancelled", ref: asked.ref, tag: "b1" });
    }
    case "wait":
      return call.wait(each.ms);
    case "restart":
      if (call.snapshot !== undefined && !call.call.isOver) call.restart();
      return [];
  }
}

function begin(offered: number): Play {
  const made = offered === 0 ? invite("") : invite(describe("caller", offered), SDP_TYPE);
  const call = new CallDriver({ invite: made });
  const play: Play = { call, heard: new Heard(), open: [], effects: [], requests: 0 };
  play.heard.note("caller", offered);
  play.effects.push(...call.feed({ kind: "start" }));
  return play;
}

function run(play: Play, steps: readonly Step[]): void {
  for (const each of steps) {
    play.effects.push(...take(play, each));
    play.heard.check(play.call);
  }
}

/** Lets the gateway apply, the ACKs come and time pass until nothing is under way. */
function calm(play: Play): void {
  for (let turn = 0; turn < 12; turn += 1) {
    play.effects.push(...take(play, { kind: "settle", result: APPLIED }));
    play.effects.push(...play.call.wait(600));
  }
}

const steps = fc.array(step, { maxLength: 40 });
const plays = fc.property(port, steps, (offered, each) => {
  const play = begin(offered);
  run(play, each);
  calm(play);
  play.heard.check(play.call);
  assertOrder(play.effects);
  assertEnds(play);
});

/** Each request is forwarded or refused once at most, each response once at most. */
function assertOrder(effects: readonly string[]): void {
  const requests = effects.filter((effect) => /^(?:forward|refuse) q\d+/.test(effect));
  const names = requests.map((effect) => /q\d+/.exec(effect)?.[0]);
  assert.equal(new Set(names).size, names.length, requests.join("\n"));
}

/** After the end every session that was ever asked for is closed, and nothing is put after that. */
function assertEnds({ call, effects }: Play): void {
  call.now += ACK_TIMEOUT_MS * 3_000;
  if (!call.call.isOver)
    effects.push(...call.feed({ kind: "dialog-ended", tag: "b1", reason: "x" }));
  if (!call.call.isOver) effects.push(...call.respond(487));
  assert.ok(call.call.isOver || effects.at(-1)?.startsWith("forward 487") === true);
  for (const { session } of call.puts) {
    const closed = effects.findLastIndex((effect) => effect.startsWith(`close ${session} `));
    const put = effects.findLastIndex((effect) =>
      new RegExp(`^(?:put|narrow) ${session} `).test(effect),
    );
    assert.ok(closed > put, `${session} is still open:\n${effects.join("\n")}`);
  }
  for (const { streams } of call.puts)
    for (const { protection } of streams) assert.notEqual(protection.kind, "srtp");
}

test("whatever comes in whatever order: only named places are open, and in the end none", () => {
  fc.assert(plays, { numRuns: 300 });
});

/** Two parties that keep to RFC 3264: each offer is answered or refused before the next one. */
interface Exchange {
  readonly side: Side;
  readonly method: "INVITE" | "UPDATE";
  readonly offered: number;
  readonly answered: number;
  readonly refused: boolean;
}

const exchange: fc.Arbitrary<Exchange> = fc.record({
  side,
  method: fc.constantFrom("INVITE" as const, "UPDATE" as const),
  offered: fc.constantFrom(...PORTS),
  answered: fc.constantFrom(...PORTS),
  refused: fc.boolean(),
});

/** The holes that the two places agree to, by the rule of the standard alone. */
function expected(callerPort: number, calleePort: number): string[] {
  const toward = (to: Side, from: Side, first: number) =>
    [first, first + 1].map((each) => `${HOME[from]}>${HOME[to]}:${each}`);
  return [
    ...toward("caller", "callee", callerPort),
    ...toward("callee", "caller", calleePort),
  ].toSorted();
}

const openNow = (call: CallDriver): string[] =>
  (call.puts.at(-1)?.pinholes ?? [])
    .map(({ from, to }) => `${from.address ?? "any"}>${to.address}:${to.port}`)
    .toSorted();

test("after each exchange exactly what was agreed on is open", () => {
  fc.assert(
    fc.property(fc.array(exchange, { maxLength: 12 }), (exchanges) => {
      const play = begin(20_000);
      const { call } = play;
      call.applied();
      call.respond(200, { body: describe("callee", 20_000), type: SDP_TYPE });
      call.applied();
      call.ack();
      const places: Record<Side, number> = { caller: 20_000, callee: 20_000 };
      for (const { side: by, method, offered, answered, refused } of exchanges) {
        const other: Side = by === "caller" ? "callee" : "caller";
        if (call.ask(method, by, { body: describe(by, offered) })[0]?.startsWith("put") === true)
          call.applied();
        const sketch = refused ? {} : { body: describe(other, answered) };
        if (call.replied(refused ? 488 : 200, sketch)[0]?.startsWith("put") === true)
          call.applied();
        if (!refused) {
          places[by] = offered;
          places[other] = answered;
          if (method === "INVITE") call.ack(by);
        }
        call.wait(2_000);
        assert.deepEqual(openNow(call), expected(places.caller, places.callee));
      }
    }),
    { numRuns: 100 },
  );
});
