import assert from "node:assert/strict";
import { test } from "node:test";
import { bodyKind } from "../../../controller/core/body-kind.ts";
import { destinationOf, isEmergencyUri } from "../../../controller/core/destination.ts";
import { MAX_FACED, Neighbourhood } from "../../../controller/core/neighbourhood.ts";
import { trunkPlan } from "../../../controller/core/next-hops.ts";
import { canonicalAddress, type SipPolicy } from "../../../controller/core/sip-policy.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { parseSipUri } from "../../../protocol/sip/uri.ts";
import { parseVia } from "../../../protocol/sip/via.ts";
import { request, SIP, trunk } from "./proxy-fixture.ts";

const SIX: SipPolicy = {
  ...SIP,
  listeners: [
    { transport: "tcp", address: "10.10.0.1", port: 5060 },
    { transport: "tcp", address: "2001:db8:b::1", port: 5060 },
    { transport: "tcp", address: "2001:db8:a::1", port: 5070 },
  ],
};

const ATLANTA = new Neighbourhood(SIP);
const V6 = new Neighbourhood(SIX);

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
    assert.equal(ATLANTA.isOwnUri(parseSipUri(uri)), own);
  });

test("an IPv6 listener is its own in any spelling", () => {
  assert.ok(V6.isOwnUri(parseSipUri("sip:[2001:0db8:000a::0001]:5070")));
  assert.ok(V6.isOwnVia(parseVia("SIP/2.0/TCP [2001:db8:a:0::1]:5070;branch=z9hG4bKx")));
  assert.ok(!V6.isOwnVia(parseVia("SIP/2.0/TLS [2001:db8:a::1]:5070;branch=z9hG4bKx")));
  assert.equal(canonicalAddress("2001:DB8::A"), "2001:db8::a");
  assert.equal(canonicalAddress("biloxi.example.com"), "biloxi.example.com");
});

test("the listener that faces an address shares most of its leading bits", () => {
  const facing = (address: string) => V6.doorTo({ transport: "tcp", address })?.address;
  assert.equal(facing("2001:db8:a::2"), "2001:db8:a::1");
  assert.equal(facing("2001:db8:b::2"), "2001:db8:b::1");
  assert.equal(facing("10.10.0.1"), "10.10.0.1");
  assert.equal(facing("somewhere.example.com"), "10.10.0.1");
  assert.equal(V6.doorTo({ transport: "tls", address: "10.10.0.2" }), undefined);
});

test("the listener that a connection came to is told by its own end, where that is known", () => {
  const peer = { transport: "tcp", address: "10.10.0.2" } as const;
  assert.equal(V6.doorTo({ ...peer, localAddress: "2001:db8:b::1" })?.address, "2001:db8:b::1");
  assert.equal(V6.doorTo({ ...peer, localAddress: "10.99.0.1" })?.address, "10.10.0.1");
});

test("of two listeners at one address the port decides, where it is known", () => {
  const twice = new Neighbourhood({
    ...SIP,
    listeners: [
      { transport: "udp", address: "10.10.0.1", port: 5060 },
      { transport: "udp", address: "10.10.0.1", port: 5080 },
    ],
  });
  const peer = { transport: "udp", address: "10.10.0.2", localAddress: "10.10.0.1" } as const;
  assert.equal(twice.doorTo({ ...peer, localPort: 5080 })?.port, 5080);
  assert.equal(twice.doorTo({ ...peer, localPort: 40_000 })?.port, 5060);
  assert.equal(twice.doorTo(peer)?.port, 5060);
});

test("a datagram leaves by the listener that its Via names; anything else as it is", () => {
  const listeners = [
    { transport: "udp", address: "10.10.0.1", port: 5060 },
    { transport: "udp", address: "10.30.0.1", port: 5070 },
  ] as const;
  const between = new Neighbourhood({ ...SIP, listeners });
  const edge = { transport: "udp", address: "10.30.0.2", port: 5060 } as const;
  const by = { localAddress: "10.30.0.1", localPort: 5070 };
  assert.deepEqual(between.wayTo(edge, edge), { ...edge, ...by });
  const stream = { ...edge, transport: "tcp" } as const;
  assert.equal(between.wayTo(stream, stream), stream);
  assert.equal(between.wayTo("udp/0/5060/10.30.0.2", edge), "udp/0/5060/10.30.0.2");
});

test("the faces that are remembered are bounded, and right when forgotten", () => {
  const near = new Neighbourhood(SIX);
  for (let each = 0; each <= MAX_FACED; each += 1)
    near.doorTo({ transport: "tcp", address: `2001:db8:a::${each.toString(16)}` });
  assert.equal(near.doorTo({ transport: "tcp", address: "2001:db8:b::7" })?.port, 5060);
});

test("a door is written so that it can be dialled, and as SIPS where it must", () => {
  const door = V6.doorTo({ transport: "tcp", address: "2001:db8:a::2" });
  assert.equal(door?.route, "<sip:[2001:db8:a::1]:5070;transport=tcp;lr>");
  assert.equal(door?.secureRoute, "<sips:[2001:db8:a::1]:5070;lr>");
});

test("a trunk by TLS must show the certificate of its domain; one by name is for DNS", () => {
  const target = (plan: ReturnType<typeof trunkPlan>) =>
    plan.kind === "groups" ? plan.groups[0]?.[0]?.[0]?.to : plan.uri;
  const tls = trunk("biloxi.example.com", "10.30.0.2", { transport: "tls", port: 5061 });
  assert.deepEqual(target(trunkPlan(tls)), {
    transport: "tls",
    address: "10.30.0.2",
    port: 5061,
    serverName: "biloxi.example.com",
  });
  const named = { ...tls, place: { kind: "name", host: "sbc.biloxi.example.com" } } as const;
  assert.equal(target(trunkPlan(named)), "sip:sbc.biloxi.example.com;transport=tls");
  const ported = { ...named, place: { ...named.place, port: 5071 } };
  assert.equal(target(trunkPlan(ported)), "sip:sbc.biloxi.example.com:5071;transport=tls");
});

test("a trunk is known by its address, its prefixes or its certificate, each by its transport", () => {
  const known = new Neighbourhood({
    ...SIP,
    trunks: [
      trunk("biloxi.example.com", "10.30.0.2", { from: [parsePrefix("10.30.8.0/24")] }),
      trunk("chicago.example.com", "10.40.0.2", {
        transport: "tls",
        identities: ["sip:chicago.example.com"],
      }),
    ],
  });
  const peer = { transport: "tcp", address: "10.30.0.2", port: 1, identities: [] } as const;
  const domainOf = (sketch: object) => known.trunkOfPeer({ ...peer, ...sketch })?.domain;
  assert.equal(domainOf({}), "biloxi.example.com");
  assert.equal(domainOf({ address: "10.30.8.9" }), "biloxi.example.com");
  assert.equal(domainOf({ address: "10.30.9.9" }), undefined);
  assert.equal(domainOf({ transport: "udp" }), undefined);
  assert.equal(domainOf({ address: "not one" }), undefined);
  const identities = ["sip:chicago.example.com"];
  const far = { transport: "tls", address: "192.0.2.9" };
  assert.equal(domainOf({ ...far, identities }), "chicago.example.com");
  assert.equal(domainOf({ ...far, identities: ["sip:eve.example.com"] }), undefined);
  const near = { transport: "tls", address: "10.40.0.2" };
  assert.equal(domainOf({ ...near, identities }), "chicago.example.com");
  assert.equal(domainOf(near), undefined, "its address alone does not do");
});

const kindOf = (sketch: object, policy: Partial<SipPolicy> = {}) => {
  const rules = { ...SIP, ...policy };
  return destinationOf(request(sketch), rules, new Neighbourhood(rules)).kind;
};

test("a preloaded Route to the next hop counts as its domain", () => {
  const rows = ["Route: <sip:10.30.0.2:5060;transport=tcp;lr>"];
  assert.equal(kindOf({ rows, uri: "sip:bob@10.20.0.2" }), "trunk");
  const elsewhere = ["Route: <sip:10.30.0.2:5070;transport=tcp;lr>"];
  const uri = "sip:bob@chicago.example.com";
  assert.equal(kindOf({ rows: elsewhere, uri }), "nowhere");
  assert.equal(kindOf({ rows: elsewhere, uri }, { anyDomain: true }), "domain");
  assert.equal(kindOf({ uri: "sip:bob@x;transport=sctp" }), "nowhere");
  assert.equal(kindOf({ uri }, { anyDomain: true }), "domain");
});

test("a user is found by an escaped name, by sips and by the proxy's own address", () => {
  const aorOf = (uri: string) => {
    const found = destinationOf(request({ uri }), SIP, ATLANTA);
    return found.kind === "user" ? found.aor : found.kind;
  };
  assert.equal(aorOf("sip:%61lice@ATLANTA.example.com"), "sip:alice@atlanta.example.com");
  assert.equal(aorOf("sips:alice@atlanta.example.com"), "sip:alice@atlanta.example.com");
  assert.equal(aorOf("sip:atlanta.example.com"), "self");
});

const EMERGENCY = {
  emergency: { numbers: new Set(["112"]), trunk: "biloxi.example.com" },
} as const;
const EMERGENCY_URIS: readonly [uri: string, is: boolean][] = [
  ["urn:service:sos", true],
  ["URN:service:sos.fire", true],
  ["urn:service:counseling", false],
  ["tel:112", true],
  ["tel:1123", false],
  ["sip:112@atlanta.example.com", true],
  ["sip:112;phone-context=x@atlanta.example.com;user=phone", true],
  ["sip:1120@atlanta.example.com", false],
  ["sip:atlanta.example.com", false],
];
for (const [uri, is] of EMERGENCY_URIS)
  test(`${uri} is ${is ? "an" : "no"} emergency call`, () => {
    assert.equal(isEmergencyUri(uri, { ...EMERGENCY, anyDomain: false }), is);
    assert.equal(isEmergencyUri(uri, { anyDomain: false }), false);
    if (is) assert.equal(kindOf({ uri }, EMERGENCY), "emergency");
  });

test("a number of another domain is that domain's affair", () => {
  assert.equal(kindOf({ uri: "sip:112@biloxi.example.com" }, EMERGENCY), "trunk");
});

test("an emergency route that is no more leads nowhere", () => {
  assert.equal(kindOf({ uri: "urn:service:sos" }, { ...EMERGENCY, trunks: [] }), "nowhere");
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
