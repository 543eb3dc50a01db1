import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { headerValue, headerValues, type SipMessage } from "../../../protocol/sip/message.ts";
import {
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  MAX_HEADER_ROWS,
  MAX_MESSAGE_BYTES,
  parseMessage,
} from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { sampleRequest } from "./sample.ts";

const START = "MESSAGE sip:bob@biloxi.example.com SIP/2.0\r\n";
const parse = (text: string) => parseMessage(Buffer.from(text, "latin1"));
const code = (name: string) => (error: unknown) => isProtocolError(error) && error.code === name;

test("rows keep their order, their case and their octets", () => {
  const wire = `${START}v : SIP/2.0/TCP a\r\nX-Odd:  tab\tand \xe9\xff  \r\nSubject: a\r\n\tb\r\nl:0\r\n\r\n`;
  const message = parse(wire);
  assert.deepEqual(
    message.headers.map(({ name, value }) => [name, value]),
    [
      ["v", "SIP/2.0/TCP a"],
      ["X-Odd", "tab\tand \xe9\xff"],
      ["Subject", "a b"],
      ["l", "0"],
    ],
  );
  assert.equal(serializeMessage(message).toString("latin1"), wire);
});

test("a body with NUL, CRLF and SIP/2.0 inside survives", () => {
  const body = Buffer.from("\0\r\n\r\nSIP/2.0 200 OK\r\n\r\n\xff\xfe", "latin1");
  const wire = serializeMessage(sampleRequest("MESSAGE", { body }));
  const message = parseMessage(wire);
  assert.deepEqual(message.body, body);
  assert.deepEqual(serializeMessage(message), wire);
});

test("compact names are found by their long names and back", () => {
  const message = parse(
    `${START}i: a@b\r\nRoute: <sip:a;lr>, <sip:b,c;lr>\r\nroute: <sip:d;lr>\r\n\r\n`,
  );
  assert.equal(headerValue(message, "call-id"), "a@b");
  assert.equal(headerValue(parse(`${START}Call-ID: x\r\n\r\n`), "i"), "x");
  assert.deepEqual(headerValues(message, "Route"), ["<sip:a;lr>", "<sip:b,c;lr>", "<sip:d;lr>"]);
});

test("a label row is one value however many commas it has", () => {
  const message = parse(`${START}Proxy-Inspect-Body: a.example;cid=1@x,cid=2@x\r\n\r\n`);
  assert.deepEqual(headerValues(message, "Proxy-Inspect-Body"), ["a.example;cid=1@x,cid=2@x"]);
});

test("octets after Content-Length are no part of the message; without it the rest is the body", () => {
  assert.equal(parse(`${START}l: 2\r\n\r\nabcd`).body.toString(), "ab");
  assert.equal(parse(`${START}\r\nabcd`).body.toString(), "abcd");
});

const REFUSED: readonly (readonly [what: string, code: string, text: string])[] = [
  ["no end of headers", "ERR_SIP_SYNTAX", `${START}To: a\r\n`],
  ["LF alone", "ERR_SIP_SYNTAX", `${START}To: a\nRoute: <sip:evil>\r\n\r\n`],
  ["CR alone", "ERR_SIP_SYNTAX", `${START}To: a\rb\r\n\r\n`],
  ["row without colon", "ERR_SIP_SYNTAX", `${START}To\r\n\r\n`],
  ["name that is no token", "ERR_SIP_SYNTAX", `${START}T,o: a\r\n\r\n`],
  ["fold before any row", "ERR_SIP_SYNTAX", `${START} folded\r\n\r\n`],
  ["two Content-Length rows", "ERR_SIP_SYNTAX", `${START}l: 1\r\nContent-Length: 1\r\n\r\nab`],
  ["Content-Length with a sign", "ERR_SIP_SYNTAX", `${START}l: +1\r\n\r\nab`],
  ["Content-Length in hex", "ERR_SIP_SYNTAX", `${START}l: 0x1\r\n\r\nab`],
  ["body cut short", "ERR_SIP_SYNTAX", `${START}l: 3\r\n\r\nab`],
  ["two spaces in the start line", "ERR_SIP_SYNTAX", "BYE  sip:a SIP/2.0\r\n\r\n"],
  ["status below 100", "ERR_SIP_SYNTAX", "SIP/2.0 099 x\r\n\r\n"],
  ["status above 699", "ERR_SIP_SYNTAX", "SIP/2.0 700 x\r\n\r\n"],
  ["another version", "ERR_SIP_VERSION", "BYE sip:a SIP/2.1\r\n\r\n"],
  ["another version of a response", "ERR_SIP_VERSION", "SIP/3.0 200 OK\r\n\r\n"],
];
for (const [what, name, text] of REFUSED)
  test(`refused: ${what}`, () => assert.throws(() => parse(text), code(name)));

test("limits: message, head, body and rows", () => {
  const row = (bytes: number) => `X: ${"x".repeat(bytes - 3)}`;
  const fits = MAX_HEAD_BYTES - START.length;
  assert.equal(parse(`${START}${row(fits)}\r\n\r\n`).headers.length, 1);
  assert.throws(() => parse(`${START}${row(fits + 1)}\r\n\r\n`), code("ERR_SIP_LIMIT"));
  const body = "b".repeat(MAX_BODY_BYTES);
  assert.equal(parse(`${START}\r\n${body}`).body.length, 96 * 1024);
  assert.throws(() => parse(`${START}\r\n${body}b`), code("ERR_SIP_LIMIT"));
  assert.throws(() => parse(`${START}l: ${MAX_BODY_BYTES + 1}\r\n\r\n`), code("ERR_SIP_LIMIT"));
  assert.throws(() => parseMessage(Buffer.alloc(MAX_MESSAGE_BYTES + 1)), code("ERR_SIP_LIMIT"));
  const rows = "X: x\r\n".repeat(MAX_HEADER_ROWS);
  assert.equal(parse(`${START}${rows}\r\n`).headers.length, 256);
  assert.throws(() => parse(`${START}${rows}X: x\r\n\r\n`), code("ERR_SIP_LIMIT"));
});

test("the parser is total: a message or a ProtocolError, for any octets", () => {
  const line = fc.constantFrom(
    START,
    "SIP/2.0 200 OK\r\n",
    "X: y\r\n",
    "l: 3\r\n",
    " z\r\n",
    "\r\n",
  );
  const piece = fc.oneof(line, fc.string({ unit: "binary", maxLength: 8 }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const octets = Buffer.from(pieces.join(""), "latin1");
      try {
        const again = serializeMessage(parseMessage(octets));
        assert.deepEqual(parseMessage(again), parseMessage(serializeMessage(parseMessage(again))));
      } catch (error) {
        assert.ok(isProtocolError(error), String(error));
      }
    }),
  );
});

test("what we serialise parses to the same and serialises to the same octets", () => {
  const value = fc.stringMatching(/^[!-~\xa1-\xff]([ -~\xa1-\xff]{0,30}[!-~\xa1-\xff])?$/);
  const row = fc.record(
    { name: fc.stringMatching(/^X-[a-zA-Z.%~-]{1,12}$/), value },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(row), fc.uint8Array({ maxLength: 300 }), (headers, octets) => {
      const message = sampleRequest("MESSAGE", { headers, body: Buffer.from(octets) });
      const wire = serializeMessage(message);
      const parsed = parseMessage(wire);
      assert.deepEqual(parsed.headers.slice(0, -1), headers);
      assert.deepEqual(parsed.body, message.body);
      assert.deepEqual(serializeMessage(parsed), wire);
    }),
  );
});

test("parse(serialize(m)) = m for any message that states its length", () => {
  const text = fc.stringMatching(/^([!-~\xa1-\xff]([ -~\xa1-\xff]{0,30}[!-~\xa1-\xff])?)?$/);
  const name = fc.oneof(
    fc.constantFrom("Via", "v", "FROM", "t", "Call-ID", "cseq", "Contact", "Route", "Date"),
    fc.stringMatching(/^X[\w.!%*+`'~-]{1,12}$/),
  );
  const startLine = fc.oneof(
    fc.record({
      kind: fc.constant("request" as const),
      method: fc.stringMatching(/^[\w.!%*+`'~-]{1,10}$/),
      uri: fc.stringMatching(/^[!-~]{1,20}$/),
    }),
    fc.record({
      kind: fc.constant("response" as const),
      status: fc.integer({ min: 100, max: 699 }),
      reason: text,
    }),
  );
  const row = fc.record({ name, value: text }, { noNullPrototype: true });
  const octets = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(startLine, fc.array(row), octets, (start, rows, body) => {
      const headers = [...rows, { name: "Content-Length", value: String(body.length) }];
      const message = { ...start, headers, body: Buffer.from(body) } as SipMessage;
      assert.deepEqual(parseMessage(serializeMessage(message)), message);
    }),
  );
});
