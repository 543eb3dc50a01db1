import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyKind } from "../../../controller/core/body-kind.ts";
import { destinationOf } from "../../../controller/core/destination.ts";
import {
  canonicalAddress,
  isOwnUri,
  isOwnVia,
  listenerFacing,
  listenerOf,
  listenerUri,
  routeTarget,
  type SipPolicy,
} from "../../../controller/core/sip-policy.ts";
import { parseSipUri } from "../../../protocol/sip/uri.ts";
import { parseVia } from "../../../protocol/sip/via.ts";
import { request, SIP } from "./proxy-fixture.ts";

const SIX: SipPolicy = {
  ...SIP,
  listeners: [
    { transport: "tcp", address: "10.10.0.1", port: 5060 },
    { transport: "tcp", address: "2001:db8:b::1", port: 5060 },
    { transport: "tcp", address: "2001:db8:a::1", port: 5070 },
  ],
};

const OWN: readonly [uri: string, own: boolean][] = [
  ["sip:ss1.atlanta.example.com", true],
  ["sip:SS1.atlanta.example.com:5061;lr", true],
  ["sip:ss1.atlanta.example.com:5999", false],
  ["sip:10.10.0.1:5061;transport=tls", true],
  ["sip:10.10.0.1:5060", true],
  ["sip:10.10.0.1", true],
  ["sip:10.30.0.1:5061", false],
  ["sip:10.10.0.2:5061", false],
  ["sip:atlanta.example.com", false],
];
for (const [uri, own] of OWN)
  test(`${uri} is ${own ? "" : "not "}this proxy`, () => {
    assert.equal(isOwnUri(SIP, parseSipUri(uri)), own);
  });

test("an IPv6 listener is its own in any spelling", () => {
  assert.ok(isOwnUri(SIX, parseSipUri("sip:[2001:0db8:000a::0001]:5070")));
  assert.ok(isOwnVia(SIX, parseVia("SIP/2.0/TCP [2001:db8:a:0::1]:5070;branch=z9hG4bKx")));
  assert.ok(!isOwnVia(SIX, parseVia("SIP/2.0/TLS [2001:db8:a::1]:5070;branch=z9hG4bKx")));
  assert.equal(canonicalAddress("2001:DB8::A"), "2001:db8::a");
  assert.equal(canonicalAddress("biloxi.example.com"), "biloxi.example.com");
});

test("the listener that faces an address shares most of its leading bits", () => {
  const facing = (address: string) => listenerFacing(SIX, { transport: "tcp", address })?.address;
  assert.equal(facing("2001:db8:a::2"), "2001:db8:a::1");
  assert.equal(facing("2001:db8:b::2"), "2001:db8:b::1");
  assert.equal(facing("10.10.0.1"), "10.10.0.1");
  assert.equal(facing("somewhere.example.com"), "10.10.0.1");
  assert.equal(listenerFacing(SIX, { transport: "tls", address: "10.10.0.2" }), undefined);
});

test("the listener that a connection came to is told by its own end, where that is known", () => {
  const peer = { transport: "tcp", address: "10.10.0.2" } as const;
  assert.equal(
    listenerOf(SIX, { ...peer, localAddress: "2001:db8:b::1" })?.address,
    "2001:db8:b::1",
  );
  assert.equal(listenerOf(SIX, { ...peer, localAddress: "10.99.0.1" })?.address, "10.10.0.1");
});

test("a listener's URI can be dialled", () => {
  assert.equal(
    listenerUri({ transport: "tcp", address: "2001:db8:a::1", port: 5070 }),
    "sip:[2001:db8:a::1]:5070;transport=tcp",
  );
});

test("a route by TLS must show the certificate of its domain", () => {
  const route = {
    domain: "biloxi.example.com",
    transport: "tls",
    address: "10.30.0.2",
    port: 5061,
  } as const;
  assert.equal(routeTarget(route).serverName, "biloxi.example.com");
  assert.equal(routeTarget({ ...route, transport: "tcp" }).serverName, undefined);
});

test("a preloaded Route to the next hop counts as its domain", () => {
  const rows = ["Route: <sip:10.30.0.2:5060;transport=tcp;lr>"];
  assert.equal(destinationOf(request({ rows, uri: "sip:bob@10.20.0.2" }), SIP).kind, "route");
  const elsewhere = ["Route: <sip:10.30.0.2:5070;transport=tcp;lr>"];
  const uri = "sip:bob@chicago.example.com";
  assert.equal(destinationOf(request({ rows: elsewhere, uri }), SIP).kind, "nowhere");
  assert.equal(destinationOf(request({ uri: "sip:bob@x;transport=udp" }), SIP).kind, "nowhere");
});

const BODIES: readonly [type: string | undefined, body: string, kind: string][] = [
  [undefined, "", "absent"],
  ["application/sdp", "", "absent"],
  ["application/SDP;charset=utf-8", "v=0", "clear"],
  [undefined, "v=0", "clear"],
  ["Application/PKCS7-mime; smime-type=enveloped-data", "x", "sealed"],
  ["application/x-pkcs7-mime", "x", "sealed"],
  ["multipart/signed;boundary=b", "x", "other"],
  ["", "x", "other"],
];
for (const [type, body, kind] of BODIES)
  test(`a body of type ${type}: ${kind}`, () => {
    const headers = type === undefined ? [] : [{ name: "c", value: type }];
    assert.equal(bodyKind({ ...request(), headers, body: Buffer.from(body) }), kind);
  });
