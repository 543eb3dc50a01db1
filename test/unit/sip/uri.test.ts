import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  addressOfRecord,
  escapeUser,
  hostOfUri,
  parseSipUri,
  serializeSipUri,
  unescapeUri,
  uriParam,
  uriScheme,
} from "../../../protocol/sip/uri.ts";

const syntax = (error: unknown) => isProtocolError(error, "ERR_SIP_SYNTAX");

const GOOD = [
  "sip:alice@atlanta.example.com",
  "sips:alice:secretword@atlanta.example.com:5061;transport=tls;lr?Subject=x&Priority=urgent",
  "sip:+1-212-555-1212:1234@gateway.example.com;user=phone",
  "sip:[2001:db8::10]:5070",
  "sip:user;par=u%40example.net@example.com",
  "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
  "sip:sips%3Auser%40example.com@example.net",
  "sip:example.com;maddr=[::1];unknown",
];
for (const text of GOOD)
  test(`parsed and written again: ${text}`, () =>
    assert.equal(serializeSipUri(parseSipUri(text)), text));

test("the parts", () => {
  assert.deepEqual(parseSipUri("SIPS:a;x:p@[::1]:5061;lr;transport=TLS?h=v"), {
    scheme: "sips",
    user: "a;x",
    password: "p",
    host: "::1",
    port: 5061,
    params: [{ name: "lr" }, { name: "transport", value: "TLS" }],
    headers: "h=v",
  });
});

const BAD = [
  "",
  "sip:",
  "tel:+1",
  "sip:@example.com",
  "sip:a@",
  "sip:a@b@c",
  "sip:a b@c",
  "sip:a%4@c",
  "sip:a@c:0",
  "sip:a@c:65536",
  "sip:a@c:",
  "sip:a@-c",
  "sip:a@c;",
  "sip:a@c;=x",
  "sip:a@c;x=",
  "sip:a@c?",
  "sip:a@[::1",
  "sip:a@[x]",
  "sip:a@c>",
  "<sip:a@c>",
  `sip:${"a".repeat(256)}`,
];
for (const text of BAD)
  test(`refused: ${text.slice(0, 20)}`, () => assert.throws(() => parseSipUri(text), syntax));

test("parameters are found through escapes and case", () => {
  const uri = parseSipUri("sip:cal%6Cer@host5.example.net;%6C%72;N%61me=v%61lue%25%34%31");
  assert.equal(uriParam(uri, "lr"), "");
  assert.equal(uriParam(uri, "name"), "value%41");
  assert.equal(uriParam(uri, "maddr"), undefined);
});

test("schemes of other URIs", () => {
  assert.equal(uriScheme("TEL:+1-201-555-0123"), "tel");
  assert.equal(uriScheme("soap.beep://192.0.2.103:3002"), "soap.beep");
  for (const text of ["nothing", "<sip:a@b>", "1a:b", "a b:c", ""])
    assert.throws(() => uriScheme(text), syntax);
});

test("one address of record has one spelling", () => {
  const spellings = [
    "sip:%61lice@Atlanta.Example.COM",
    "SIP:alice:pw@atlanta.example.com.:5070;x?y=z",
  ];
  for (const text of spellings)
    assert.equal(addressOfRecord(text), "sip:alice@atlanta.example.com");
  assert.notEqual(addressOfRecord("sip:Alice@a.example"), addressOfRecord("sip:alice@a.example"));
  assert.notEqual(addressOfRecord("sips:alice@a.example"), addressOfRecord("sip:alice@a.example"));
  assert.equal(addressOfRecord("sip:[2001:DB8::1]:5060"), "sip:[2001:db8::1]");
});

test("an address of record reads as itself, whatever its user holds escaped", () => {
  const spelt = [
    ["sip:alice%3ax@a.example", "sip:alice%3Ax@a.example"],
    ["sip:alice%40b@a.example", "sip:alice%40b@a.example"],
    ["sip:%00%c3%A4%25%3b@a.example", "sip:%00%C3%A4%25;@a.example"],
  ] as const;
  for (const [text, expected] of spelt) {
    assert.equal(addressOfRecord(text), expected);
    assert.equal(addressOfRecord(expected), expected);
  }
});

test("a name is escaped so that its address of record is that of a user part that reads as it", () => {
  for (const name of ["alice", "#100", "a%b", "a:b@c", "j\xf6rg", "x;y?z/"]) {
    const aor = `sip:${escapeUser(name)}@a.example`;
    assert.equal(addressOfRecord(aor), aor);
    assert.equal(unescapeUri(parseSipUri(aor).user ?? ""), name);
  }
});

test("unescaping gives octets", () => assert.equal(unescapeUri("a%00%fFb%zz"), "a\0\xffb%zz"));

test("the parser is total", () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^sip:[a@:;?=%.[\]<1-9]{0,30}$/));
  fc.assert(
    fc.property(text, (input) => {
      try {
        assert.deepEqual(parseSipUri(serializeSipUri(parseSipUri(input))), parseSipUri(input));
      } catch (error) {
        assert.ok(syntax(error), String(error));
      }
    }),
  );
});

for (const [text, host] of [
  ["sip:alice@Atlanta.Example.com.", "atlanta.example.com"],
  ["sips:biloxi.example.com:5061", "biloxi.example.com"],
  ["tel:+15551234", undefined],
  ["sip:", undefined],
] as const)
  test(`the host of ${text} is ${host}`, () => assert.equal(hostOfUri(text), host));
