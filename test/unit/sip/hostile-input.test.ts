/** Messages made to cost time or to break the state machines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { parseAuthValue } from "../../../protocol/sip/credentials.ts";
import type { Peer } from "../../../protocol/sip/flow.ts";
import { inspectionLabels } from "../../../protocol/sip/inspection-label.ts";
import { isLoop } from "../../../protocol/sip/loop.ts";
import { headerValue, type SipMessage, withHeader } from "../../../protocol/sip/message.ts";
import { MAX_HEAD_BYTES, parseMessage } from "../../../protocol/sip/parse-message.ts";
import { removeOwnRoute, validateRequest } from "../../../protocol/sip/proxy.ts";
import { DEFAULT_SIP_TIMERS, hopAck, hopCancel } from "../../../protocol/sip/transaction.ts";
import type { TransactionInput } from "../../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { parseWarning } from "../../../protocol/sip/warning.ts";
import { reply, rows, sampleRequest } from "./sample.ts";

const peer: Peer = { transport: "tcp", address: "192.0.2.1", port: 5060, identities: [] };
const FIELDS = [
  "From",
  "To",
  "Via",
  "Contact",
  "Route",
  "CSeq",
  "Call-ID",
  "Max-Forwards",
  "Proxy-Inspect-Body",
  "Warning",
  "Authorization",
];

const EDGES = [
  ["", ""],
  ["a", "a"],
  ["<sip:", ">x"],
  ['"', "x"],
  ["SIP/2.0/TCP a", "!"],
] as const;
/** A quadratic step costs some 500 ms at this length, all of the linear ones together a few. */
const MAX_READING_MS = 200;

/** Everything that reads a received message. */
function readAll(message: SipMessage): void {
  const attempts = [
    () => inspectionLabels(message),
    () => parseWarning(headerValue(message, "Warning") ?? ""),
    () => parseAuthValue(headerValue(message, "Authorization") ?? ""),
  ];
  for (const attempt of attempts)
    try {
      attempt();
    } catch (error) {
      assert.ok(isProtocolError(error), String(error));
    }
  if (messageFault(message) !== undefined || message.kind === "response") return;
  const isOwn = ({ host }: { host: string }) => host === "own";
  validateRequest(removeOwnRoute(message, isOwn).request, {
    optionTags: [],
    looped: isLoop(message, isOwn),
  });
}

test("no head, however it is filled, costs more than linear time", () => {
  const fillers = [
    " ",
    "\t",
    "a",
    "a ",
    ";",
    ",",
    '"',
    "\\",
    "<",
    "=",
    "@",
    ".",
    "-",
    ":",
    "[",
    "a=b;",
    " =",
    '";',
    "<a>,",
    "%41",
    "\r\n ",
    "z9hG4bK",
    " ,",
  ];
  const costs = FIELDS.flatMap((field) =>
    fillers.flatMap((filler) => EDGES.map(([start, end]) => readingMs(field, start, filler, end))),
  );
  assert.ok(Math.max(...costs) < MAX_READING_MS, `${Math.max(...costs)} ms for one head`);
});

/** Processor time for a head filled up with one field. */
function readingMs(field: string, start: string, filler: string, end: string): number {
  const count = (MAX_HEAD_BYTES - 200) / filler.length;
  const value = `${start}${filler.repeat(count)}${end}`;
  const head = Buffer.from(`OPTIONS sip:a@b SIP/2.0\r\n${field}: ${value}\r\n\r\n`, "latin1");
  const before = process.cpuUsage();
  readAll(parseMessage(head));
  readAll(withHeader(sampleRequest("OPTIONS"), field, value.replaceAll("\r\n", "")));
  const { user } = process.cpuUsage(before);
  return user / 1000;
}

test("whatever a message says, reading it ends in a value or a refusal", () => {
  const scrap = fc.constantFrom(
    ...'<>"\\;,=@: \t',
    "sip:a@b",
    "SIP/2.0/TCP h",
    "1 INVITE",
    "tag=x",
    "z9hG4bK1",
    "own",
    ";lr",
    "cid=a@b",
  );
  const value = fc.array(scrap, { maxLength: 8 }).map((scraps) => scraps.join(""));
  const change = fc.tuple(fc.constantFrom(...FIELDS), value);
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), value, (changes, uri) => {
      const request = { ...sampleRequest("INVITE"), uri };
      readAll(changes.reduce((made, [name, text]) => withHeader(made, name, text), request));
    }),
    { numRuns: 500 },
  );
});

test("any order of inputs leaves the layer whole, and empty once its flows are closed", () => {
  const invite = sampleRequest("INVITE");
  const own = withHeader(invite, "Via", "SIP/2.0/TCP p;branch=z9hG4bKp");
  const messages = [
    invite,
    sampleRequest("BYE"),
    hopCancel(invite),
    hopAck(invite, reply(invite, 486)),
    ...[100, 180, 200, 486].map((status) => reply(own, status)),
    reply(hopCancel(own), 200),
    { ...invite, headers: rows("Via: x") },
  ];
  const received = fc
    .constantFrom(...messages)
    .map((message): TransactionInput => ({ kind: "received", message, flow: "in", peer }));
  const key = fc.constantFrom(
    "c|z9hG4bKp|INVITE",
    "s|z9hG4bK74bf9|client.atlanta.example.com:5061|INVITE|192.0.2.1",
  );
  const input: fc.Arbitrary<TransactionInput> = fc.oneof(
    received,
    key.map((name) => ({ kind: "cancel" as const, key: name })),
    key.map((name) => ({ kind: "transport-failed" as const, key: name })),
    key.map((name) => ({ kind: "sent" as const, key: name, flow: "out" })),
    fc.tuple(key, fc.constantFrom(180, 200, 486)).map(([name, status]) => ({
      kind: "respond" as const,
      key: name,
      response: reply(invite, status),
    })),
    fc.constant({ kind: "tick" as const }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(input, fc.nat(20_000)), { maxLength: 30 }), (steps) => {
      const layer = new TransactionLayer({
        timers: DEFAULT_SIP_TIMERS,
        random: (size) => Buffer.alloc(size),
        abandonLostFlows: true,
      });
      layer.handle({ kind: "request", request: own, to: "out", timerC: true }, 0);
      let now = 0;
      for (const [step, ms] of steps) {
        now += ms;
        layer.handle(step, now);
      }
      for (const flow of ["in", "out"]) layer.handle({ kind: "flow-closed", flow }, now);
      assert.equal(layer.size, 0);
      assert.equal(layer.deadline(), undefined);
    }),
    { numRuns: 300 },
  );
});
