/** name-addr, Via, CSeq, Warning and the parameters they share. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { messageCSeq, parseCSeq, serializeCSeq } from "../../../protocol/sip/cseq.ts";
import {
  findParam,
  isHost,
  parseParams,
  quote,
  unquote,
  withParam,
} from "../../../protocol/sip/grammar.ts";
import { withoutHeader } from "../../../protocol/sip/message.ts";
import {
  messageAddress,
  messageTag,
  parseNameAddr,
  serializeNameAddr,
} from "../../../protocol/sip/name-addr.ts";
import { parseVia, serializeVia, topVia, viaBranch } from "../../../protocol/sip/via.ts";
import { parseWarning, serializeWarning } from "../../../protocol/sip/warning.ts";
import { sampleRequest } from "./sample.ts";

const syntax = (error: unknown) => isProtocolError(error, "ERR_SIP_SYNTAX");

test("name-addr in all its forms", () => {
  const tag = [{ name: "tag", value: "1" }];
  const cases: readonly (readonly [string, ReturnType<typeof parseNameAddr>])[] = [
    ["sip:a@b;tag=1", { uri: "sip:a@b", params: tag }],
    ["<sip:a@b;lr>;tag=1", { uri: "sip:a@b;lr", params: tag }],
    ["caller<sip:a@b>", { displayName: "caller", uri: "sip:a@b", params: [] }],
    ["A. Bell <sip:a@b> ; tag = 1", { displayName: "A. Bell", uri: "sip:a@b", params: tag }],
    ['"J \\\\\\"<x>" <sip:a@b>', { displayName: 'J \\"<x>', uri: "sip:a@b", params: [] }],
    ["<http://www.example.com>", { uri: "http://www.example.com", params: [] }],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseNameAddr(text), expected);
});

test("name-addr refused", () => {
  const bad = [
    "",
    "*",
    '"unbalanced <sip:a@b>',
    "Bell, Alexander <sip:a@b>",
    "< sip:a@b >",
    "sip:a@b?Route=x",
    "sip:a@b,sip:c@d",
    "<sip:a@b>;;",
    "<sip:a@b>x",
    "<sip:a@b> <sip:c@d>",
    '<sip:a@b>;tag="open',
    "<sip:a@>",
  ];
  for (const text of bad) assert.throws(() => parseNameAddr(text), syntax, text);
});

test("a written name-addr reads the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab"\\<>,; é') }), (displayName) => {
      const address = { displayName, uri: "sip:a@b;lr", params: [{ name: "tag", value: "x" }] };
      assert.deepEqual(parseNameAddr(serializeNameAddr(address)), address);
    }),
  );
});

test("From and To of a message", () => {
  const request = sampleRequest("BYE");
  assert.equal(messageTag(request, "From"), "9fxced76sl");
  assert.equal(messageTag(request, "To"), undefined);
  assert.equal(messageAddress(request, "To").displayName, "Bob");
  assert.throws(() => messageAddress(withoutHeader(request, "To"), "To"), syntax);
});

test("Via with all the white space RFC 3261 allows", () => {
  const via = parseVia(
    "SIP  / 2.0  / tcp     spindle.example.com : 5062  ; branch  =   z9hG4bK9ikj8",
  );
  assert.deepEqual(via, {
    transport: "TCP",
    host: "spindle.example.com",
    port: 5062,
    params: [{ name: "branch", value: "z9hG4bK9ikj8" }],
  });
  assert.equal(serializeVia(via), "SIP/2.0/TCP spindle.example.com:5062;branch=z9hG4bK9ikj8");
  const v6 = "SIP/2.0/TLS [2001:db8::9]:5061;branch=z9hG4bKx;received=2001:db8::8;rport";
  assert.equal(serializeVia(parseVia(v6)), v6);
  assert.equal(parseVia(v6).host, "2001:db8::9");
});

test("Via refused", () => {
  for (const text of [
    "",
    "SIP/3.0/TCP a",
    "SIP/2.0/TCP",
    "SIP/2.0/TCP a;;",
    "SIP/2.0/TCP a:99999",
    "SIP/2.0/TCP [x]",
    "x SIP/2.0/TCP a",
  ])
    assert.throws(() => parseVia(text), syntax, text);
  assert.throws(() => topVia(withoutHeader(sampleRequest("BYE"), "Via")), syntax);
});

test("a branch names a transaction only with something behind the cookie", () => {
  const branch = (text: string) => viaBranch(parseVia(`SIP/2.0/TCP a;branch=${text}`));
  assert.equal(branch("z9hG4bKa"), "z9hG4bKa");
  assert.equal(branch("Z9HG4BKa"), "Z9HG4BKa");
  assert.equal(branch("z9hG4bK"), undefined);
  assert.equal(branch("390skdjuw"), undefined);
  assert.equal(viaBranch(parseVia("SIP/2.0/TCP a")), undefined);
});

test("CSeq below 2^31 with a token method", () => {
  assert.deepEqual(parseCSeq("0009  INVITE"), { number: 9, method: "INVITE" });
  assert.equal(serializeCSeq(parseCSeq("2147483647 A")), "2147483647 A");
  for (const text of ["", "INVITE", "1", "-1 A", "2147483648 A", "36893488147419103232 A", "1 A,B"])
    assert.throws(() => parseCSeq(text), syntax, text);
  assert.equal(messageCSeq(sampleRequest("BYE")).method, "BYE");
  assert.throws(() => messageCSeq(withoutHeader(sampleRequest("BYE"), "CSeq")), syntax);
});

test("Warning", () => {
  const text = `380 ss1.atlanta.example.com "Required to View Content-Type 'application/sdp'"`;
  assert.deepEqual(parseWarning(text), {
    code: 380,
    agent: "ss1.atlanta.example.com",
    text: "Required to View Content-Type 'application/sdp'",
  });
  assert.equal(serializeWarning(parseWarning(text)), text);
  assert.equal(
    serializeWarning({ code: 399, agent: "[::1]:5060", text: '"\\' }),
    '399 [::1]:5060 "\\"\\\\"',
  );
  for (const bad of ['1812 overture "x"', "399 a", '399 a "open', "", '099 a "x"', '399 a@b "x"'])
    assert.throws(() => parseWarning(bad), syntax, bad);
  assert.throws(() => serializeWarning({ code: 99, agent: "a", text: "" }), TypeError);
  assert.throws(() => serializeWarning({ code: 399, agent: "a b", text: "" }), TypeError);
});

test("parameters: quoted separators, flags, case", () => {
  const params = parseParams(';a="x;y=\\"";FLAG;b=[::1]:5');
  assert.deepEqual(params, [
    { name: "a", value: '"x;y=\\""' },
    { name: "FLAG" },
    { name: "b", value: "[::1]:5" },
  ]);
  assert.equal(unquote(findParam(params, "A")?.value ?? ""), 'x;y="');
  assert.deepEqual(parseParams(""), []);
  assert.deepEqual(withParam(params, "flag", "1")[1], { name: "flag", value: "1" });
  assert.deepEqual(withParam(params, "new").at(-1), { name: "new" });
  for (const text of ["a=b", ";", ";a;", ";=b", ";a=", ";a=b c", ';a="'])
    assert.throws(() => parseParams(text), syntax, text);
});

test("quoting and its undoing; hosts", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'a"\\ ') }),
      (text) => unquote(quote(text)) === text,
    ),
  );
  for (const host of ["a", "a.b.", "192.0.2.1", "[::1]"]) assert.ok(isHost(host), host);
  for (const host of ["", "-a", "a-", "a b", "[g]", "::1", "a_b", "a..b", "a.."])
    assert.ok(!isHost(host), host);
});
