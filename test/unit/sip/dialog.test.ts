import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { createRequest, newBranch, ownVia } from "../../../protocol/sip/create-request.ts";
import {
  ackInDialog,
  advanceDialog,
  type Dialog,
  dialogOfCallee,
  dialogOfCaller,
  isInDialog,
  receiveInDialog,
  requestInDialog,
  withTag,
} from "../../../protocol/sip/dialog.ts";
import {
  appendHeader,
  headerValue,
  headerValues,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { parseNameAddr, serializeNameAddr } from "../../../protocol/sip/name-addr.ts";
import { reply, sampleRequest } from "./sample.ts";

const [SS1, SS2] = ["<sip:ss1.example;lr>", "<sip:ss2.example;lr>"];
const via = ownVia(
  "tls",
  "10.20.0.2",
  5061,
  newBranch((size) => Buffer.alloc(size, 1)),
);

/** The INVITE as the callee sees it: ss1 was first on its way, so ss2 stands on top. */
const invite = appendHeader(
  appendHeader(sampleRequest("INVITE"), "Record-Route", SS2),
  "Record-Route",
  SS1,
);
const answer = (status: number) => {
  const response = appendHeader(
    reply(invite, status),
    "Contact",
    "<sip:bob@10.20.0.2:5060;transport=tcp>",
  );
  return appendHeader(response, "Record-Route", `${SS2}, ${SS1}`);
};
const callee = dialogOfCallee(invite, answer(200));
const caller = dialogOfCaller(sampleRequest("INVITE"), answer(200));

test("both sides see one dialog from its two ends", () => {
  assert.equal(caller.localTag, callee.remoteTag);
  assert.equal(caller.remoteTag, callee.localTag);
  assert.deepEqual(caller.routeSet, [SS1, SS2]);
  assert.deepEqual(callee.routeSet, [SS2, SS1]);
  assert.equal(caller.remoteTarget, "sip:bob@10.20.0.2:5060;transport=tcp");
  assert.equal(callee.remoteTarget, "sip:alice@client.atlanta.example.com:5061;transport=tls");
  assert.deepEqual([caller.localCSeq, caller.remoteCSeq], [1, undefined]);
  assert.deepEqual([callee.localCSeq, callee.remoteCSeq], [0, 1]);
  assert.equal(dialogOfCallee(invite, answer(180)).state, "early");
});

test("requests inside it: tags, route, target, growing numbers", () => {
  const first = requestInDialog(caller, { method: "UPDATE", via });
  const { request, dialog } = requestInDialog(first.dialog, {
    method: "MESSAGE",
    via,
    headers: [["Content-Type", "text/plain"]],
    body: Buffer.from("hello"),
  });
  assert.equal(request.uri, "sip:bob@10.20.0.2:5060;transport=tcp");
  assert.deepEqual(headerValues(request, "Route"), [SS1, SS2]);
  assert.equal(headerValue(request, "CSeq"), "3 MESSAGE");
  assert.equal(headerValue(request, "Max-Forwards"), "70");
  assert.equal(headerValue(request, "To"), '"Bob" <sip:bob@biloxi.example.com>;tag=b0b');
  assert.equal(headerValue(request, "Content-Type"), "text/plain");
  assert.equal(request.body.toString(), "hello");
  assert.equal(dialog.localCSeq, 3);
  assert.ok(isInDialog(callee, request));
  assert.ok(!isInDialog(caller, request));
  assert.ok(isInDialog(caller, reply(request, 200)));
  assert.ok(!isInDialog(callee, withHeader(request, "Call-ID", "other")));
});

test("ACK has the number of its INVITE and changes nothing", () => {
  const ack = ackInDialog(caller, 1, { via });
  assert.equal(headerValue(ack, "CSeq"), "1 ACK");
  assert.deepEqual(receiveInDialog(callee, ack), { kind: "accepted", dialog: callee });
});

test("a strict router becomes the Request-URI", () => {
  const strict = { ...caller, routeSet: ["<sip:old.example>", SS2] };
  const { request } = requestInDialog(strict, { method: "BYE", via });
  assert.equal(request.uri, "sip:old.example");
  assert.deepEqual(headerValues(request, "Route"), [SS2, `<${caller.remoteTarget}>`]);
  const direct = requestInDialog({ ...caller, routeSet: [] }, { method: "BYE", via }).request;
  assert.deepEqual(headerValues(direct, "Route"), []);
});

test("an old number is refused; a target refresh moves the target", () => {
  const bye = { ...sampleRequest("BYE"), headers: sampleRequest("BYE").headers };
  assert.deepEqual(receiveInDialog(callee, bye), { kind: "refused", status: 500 });
  const later = (method: string) =>
    withHeader(withHeader(sampleRequest(method), "CSeq", `7 ${method}`), "Contact", "<sip:new@h>");
  const target = (method: string): Dialog | undefined => {
    const verdict = receiveInDialog(callee, later(method));
    return verdict.kind === "accepted" ? verdict.dialog : undefined;
  };
  assert.equal(target("UPDATE")?.remoteTarget, "sip:new@h");
  assert.equal(target("INVITE")?.remoteCSeq, 7);
  assert.equal(target("MESSAGE")?.remoteTarget, callee.remoteTarget);
  const silent = receiveInDialog(callee, withoutHeader(later("UPDATE"), "Contact"));
  assert.ok(silent.kind === "accepted" && silent.dialog.remoteTarget === callee.remoteTarget);
  assert.equal(receiveInDialog(caller, bye).kind, "accepted");
});

test("an early dialog is confirmed by its 2xx, which has the last word on the route", () => {
  const early = { ...dialogOfCaller(sampleRequest("INVITE"), answer(183)), routeSet: [] };
  assert.equal(advanceDialog(early, answer(180)).state, "early");
  const confirmed = advanceDialog(early, answer(200));
  assert.equal(confirmed.state, "confirmed");
  assert.deepEqual(confirmed.routeSet, [SS1, SS2]);
  const refreshed = advanceDialog(
    confirmed,
    withHeader(withoutHeader(answer(200), "Record-Route"), "Contact", "<sip:x@y>"),
  );
  assert.deepEqual(refreshed.routeSet, [SS1, SS2]);
  assert.equal(refreshed.remoteTarget, "sip:x@y");
  assert.equal(
    advanceDialog(early, withoutHeader(answer(180), "Contact")).remoteTarget,
    early.remoteTarget,
  );
});

test("no dialog without Contact, Call-ID or tags", () => {
  const syntax = (error: unknown) => isProtocolError(error, "ERR_SIP_SYNTAX");
  const request = sampleRequest("INVITE");
  assert.throws(() => dialogOfCaller(request, reply(request, 200)), syntax);
  assert.throws(() => dialogOfCaller(request, withHeader(answer(200), "To", "<sip:b@c>")), syntax);
  assert.throws(() => dialogOfCaller(withoutHeader(request, "Call-ID"), answer(200)), syntax);
  assert.throws(() => dialogOfCallee(withoutHeader(invite, "Contact"), answer(200)), syntax);
});

test("a first request: tag, route and body in place", () => {
  const request = createRequest({
    method: "INVITE",
    uri: "sip:bob@biloxi.example.com",
    via,
    route: [SS1],
    from: withTag(parseNameAddr("Alice <sip:alice@atlanta.example.com>"), "t1"),
    to: parseNameAddr("sip:bob@biloxi.example.com"),
    callId: "c1",
    cseq: 1,
  });
  assert.equal(
    headerValue(request, "Via"),
    `SIP/2.0/TLS 10.20.0.2:5061;branch=z9hG4bK${"01".repeat(12)};rport`,
  );
  assert.equal(headerValue(request, "From"), '"Alice" <sip:alice@atlanta.example.com>;tag=t1');
  assert.deepEqual(headerValues(request, "Route"), [SS1]);
  assert.equal(request.body.length, 0);
  assert.equal(serializeNameAddr(withTag(parseNameAddr("<sip:a>;tag=1"), "2")), "<sip:a>;tag=2");
  assert.equal(ownVia("tcp", "h", undefined, "b").port, undefined);
});
