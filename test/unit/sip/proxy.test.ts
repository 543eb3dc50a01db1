import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { isLoop, proxyBranch } from "../../../protocol/sip/loop.ts";
import {
  appendHeader,
  headerValue,
  headerValues,
  type SipRequest,
  withHeader,
  withoutHeader,
  withValues,
} from "../../../protocol/sip/message.ts";
import { nextHop, uriTarget } from "../../../protocol/sip/next-hop.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import {
  forwardRequest,
  forwardResponse,
  recordRoutes,
  removeOwnRoute,
  validateRequest,
} from "../../../protocol/sip/proxy.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import type { SipUri } from "../../../protocol/sip/uri.ts";
import { parseVia, type Via } from "../../../protocol/sip/via.ts";
import { reply, sampleRequest } from "./sample.ts";

const SELF = "ss1.atlanta.example.com";
const [TLS, TCP] = [`sip:${SELF}:5061;transport=tls`, `sip:${SELF}:5060;transport=tcp`];
const isOwn = ({ host }: SipUri | Via) => host === SELF;
const invite = sampleRequest("INVITE", { body: Buffer.from("\0\r\nsealed") });
const via = parseVia(`SIP/2.0/TCP ${SELF}:5060;branch=z9hG4bKss1`);
const support = { optionTags: ["sec-agree"], looped: false };
const routed = (request: SipRequest, ...routes: string[]) => withValues(request, "Route", routes);
let counter = 0;
const random = (size: number): Buffer => {
  const octets = Buffer.alloc(size);
  counter += 1;
  octets.writeUInt32BE(counter);
  return octets;
};

const torture = (file: string): SipRequest => {
  const octets = readFileSync(new URL(`../../vectors/rfc4475/${file}.dat`, import.meta.url));
  const message = parseMessage(octets);
  assert.ok(message.kind === "request");
  return message;
};

test("what may not be proxied, and with which status", () => {
  const status = (request: SipRequest, looped = false) =>
    validateRequest(request, { ...support, looped })?.status;
  assert.equal(status(invite), undefined);
  assert.equal(status(withoutHeader(invite, "Max-Forwards")), undefined);
  assert.equal(status(torture("unkscm")), 416);
  assert.equal(status(torture("novelsc")), 416);
  assert.equal(status({ ...invite, uri: "tel:+1" }), 416);
  assert.equal(status(torture("zeromf")), 483);
  assert.equal(status(invite, true), 482);
  assert.equal(status(appendHeader(invite, "Proxy-Require", "SEC-agree")), undefined);
  assert.deepEqual(validateRequest(torture("bext01"), support), {
    status: 420,
    headers: [["Unsupported", "noProxiesSupportThis, norDoAnyProxiesSupportThis"]],
  });
  for (const method of ["ACK", "CANCEL"])
    assert.equal(status(appendHeader(sampleRequest(method), "Proxy-Require", "x")), undefined);
});

test("our own Route is taken off, both halves of a double one, and nobody else's", () => {
  const own = [`<${TLS};lr>`, `<${TCP};lr>`] as const;
  const other = "<sip:ss2.biloxi.example.com;lr>";
  const both = removeOwnRoute(routed(invite, ...own, other), isOwn);
  assert.deepEqual(headerValues(both.request, "Route"), [other]);
  assert.deepEqual(
    both.ownRoutes.map(({ port }) => port),
    [5061, 5060],
  );
  assert.equal(both.request.body, invite.body);
  const third = removeOwnRoute(routed(invite, ...own, own[0]), isOwn);
  assert.deepEqual(headerValues(third.request, "Route"), [own[0]]);
  const foreign = routed(invite, other, own[0]);
  assert.equal(removeOwnRoute(foreign, isOwn).request, foreign);
  assert.deepEqual(removeOwnRoute(routed(invite, "<tel:+1>"), isOwn).ownRoutes, []);
});

test("what a strict router did is undone", () => {
  const target = "sip:bob@10.20.0.2";
  const strict = { ...routed(invite, "<sip:ss2.example;lr>", `<${target}>`), uri: `${TLS};lr` };
  const undone = removeOwnRoute(strict, isOwn).request;
  assert.equal(undone.uri, target);
  assert.deepEqual(headerValues(undone, "Route"), ["<sip:ss2.example;lr>"]);
  const alone = removeOwnRoute(
    routed({ ...invite, uri: `${TLS};lr` }, `<${target}>`),
    isOwn,
  ).request;
  assert.equal(headerValue(alone, "Route"), undefined);
  for (const uri of [TLS, "sip:elsewhere;lr", "tel:+1"])
    assert.equal(removeOwnRoute({ ...strict, uri }, isOwn).request.uri, uri);
  assert.equal(removeOwnRoute({ ...invite, uri: `${TLS};lr` }, isOwn).request.uri, `${TLS};lr`);
});

test("forwarding adds Via, Record-Route and one hop, and changes nothing else", () => {
  const source = withValues(withHeader(invite, "X-Unknown", "kept"), "Record-Route", [
    "<sip:before;lr>",
  ]);
  const sent = forwardRequest(source, { via, recordRoutes: recordRoutes(TLS, TCP) });
  assert.deepEqual(headerValues(sent, "Via"), [
    `SIP/2.0/TCP ${SELF}:5060;branch=z9hG4bKss1`,
    ...headerValues(invite, "Via"),
  ]);
  assert.deepEqual(headerValues(sent, "Record-Route"), [
    `<${TCP};lr>`,
    `<${TLS};lr>`,
    "<sip:before;lr>",
  ]);
  assert.equal(headerValue(sent, "Max-Forwards"), "69");
  assert.equal(sent.uri, invite.uri);
  assert.equal(sent.body, invite.body);
  const changed = ["Via", "Record-Route", "Max-Forwards"];
  const rest = ({ headers }: SipRequest) => headers.filter(({ name }) => !changed.includes(name));
  assert.deepEqual(rest(sent), rest(source));
});

test("rows that are not ours to touch keep their octets", () => {
  const head = [
    "MESSAGE sip:bob@biloxi.example.com SIP/2.0",
    "v:SIP/2.0/TCP a;branch=z9hG4bK1",
    "f : \xc3\xa9 <sip:a@b>;tag=1",
    "X-Folded:  one\r\n\t two",
    "l:1",
  ];
  const message = parseMessage(Buffer.from(`${head.join("\r\n")}\r\n\r\n\0`, "latin1"));
  assert.ok(message.kind === "request");
  const sent = serializeMessage(forwardRequest(message, { via })).toString("latin1");
  for (const row of head) assert.ok(sent.includes(row), row);
  assert.ok(sent.includes("\r\nMax-Forwards: 70\r\n"));
});

test("one transport, one Record-Route; a new target; a strict router ahead", () => {
  assert.deepEqual(recordRoutes(TLS, TLS), [`<${TLS};lr>`]);
  assert.equal(forwardRequest(invite, { via, uri: "sip:bob@10.20.0.2" }).uri, "sip:bob@10.20.0.2");
  const strict = forwardRequest(routed(invite, "<sip:old.example>", "<sip:next;lr>"), { via });
  assert.equal(strict.uri, "sip:old.example");
  assert.deepEqual(headerValues(strict, "Route"), ["<sip:next;lr>", `<${invite.uri}>`]);
});

test("a response loses our Via; one without another Via was for us alone", () => {
  const sent = forwardRequest(invite, { via });
  const back = forwardResponse(reply(sent, 200));
  assert.ok(back !== undefined);
  assert.deepEqual(headerValues(back, "Via"), headerValues(invite, "Via"));
  assert.equal(forwardResponse(back), undefined);
  const joined = withHeader(reply(sent, 200), "Via", headerValues(sent, "Via").join(", "));
  assert.deepEqual(
    forwardResponse(joined)?.headers.find(({ name }) => name === "Via")?.value,
    headerValue(invite, "Via"),
  );
});

test("a request that comes back unchanged has looped; a changed one spirals", () => {
  const forward = (request: SipRequest) =>
    forwardRequest(request, {
      via: { ...via, params: [{ name: "branch", value: proxyBranch(request, random) }] },
    });
  const back = forward(invite);
  assert.ok(!isLoop(invite, isOwn));
  assert.ok(isLoop(back, isOwn));
  assert.ok(!isLoop({ ...back, uri: "sip:carol@biloxi.example.com" }, isOwn));
  assert.ok(!isLoop(withHeader(back, "CSeq", "2 INVITE"), isOwn));
  assert.ok(!isLoop(back, ({ host }) => host === "elsewhere"));
  assert.notEqual(proxyBranch(invite, random), proxyBranch(invite, random));
});

test("the next hop: Route before Request-URI, transport, port, maddr, server name", () => {
  const hop = (uri: string) => {
    const { transport, address, port, serverName } = uriTarget(uri);
    return [transport, address, port, serverName];
  };
  assert.deepEqual(hop("sip:bob@10.20.0.2"), ["udp", "10.20.0.2", 5060, undefined]);
  assert.deepEqual(hop("sip:bob@h:5070;transport=UDP"), ["udp", "h", 5070, undefined]);
  assert.deepEqual(hop("sip:bob@h;transport=TLS"), ["tls", "h", 5061, "h"]);
  assert.deepEqual(hop("sips:bob@h:5071;transport=tcp"), ["tls", "h", 5071, "h"]);
  assert.deepEqual(hop("sips:bob@h"), ["tls", "h", 5061, "h"]);
  assert.deepEqual(hop("sip:h;maddr=[2001:db8::1];transport=tcp"), [
    "tcp",
    "2001:db8::1",
    5060,
    undefined,
  ]);
  assert.deepEqual(hop("sips:h;maddr=10.0.0.1"), ["tls", "10.0.0.1", 5061, "h"]);
  assert.equal(nextHop(invite).address, "biloxi.example.com");
  assert.equal(nextHop(routed(invite, `<${TCP};lr>`)).address, SELF);
  for (const uri of [
    "sips:h;transport=udp",
    "sip:h;transport=ws",
    "sips:h;transport=sctp",
    "tel:+1",
    "sip:",
  ])
    assert.throws(
      () => uriTarget(uri),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
      uri,
    );
});
