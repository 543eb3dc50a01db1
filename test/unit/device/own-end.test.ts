import assert from "node:assert/strict";
import { test } from "node:test";
import { answersProbe, createProbe, readOwnEnd } from "../../../device/core/own-end.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { headerValue, type SipRequest, withHeader } from "../../../protocol/sip/message.ts";
import { stampVia } from "../../../protocol/sip/transaction-key.ts";

const TARGET = { transport: "tls", address: "10.10.0.1", port: 5061 } as const;

function probe(fill = 1): SipRequest {
  const random = (size: number): Buffer => Buffer.alloc(size, fill);
  return createProbe("sip:alice@atlanta.example.com", "10.10.0.2", TARGET, random);
}

function answered(request: SipRequest, address: string, port: number) {
  const peer = { transport: "tls", address, port, identities: [] } as const;
  return createResponse(stampVia(request, peer), 483);
}

test("the probe is for the next hop alone", () => {
  const request = probe();
  assert.equal(request.method, "OPTIONS");
  assert.equal(request.uri, "sip:10.10.0.1:5061;transport=tls");
  assert.equal(headerValue(request, "Max-Forwards"), "0");
});

test("any answer tells our address and port as the other end sees them", () => {
  const request = probe();
  assert.deepEqual(readOwnEnd(answered(request, "10.10.0.2", 41_234)), {
    ...{ host: "10.10.0.2", port: 41_234 },
  });
  assert.equal(readOwnEnd(answered(request, "192.0.2.7", 41_234)).host, "192.0.2.7");
});

test("where only the port is told, the address is the one we wrote", () => {
  const response = withHeader(
    answered(probe(), "10.10.0.2", 41_234),
    "Via",
    "SIP/2.0/TLS 10.10.0.2;rport=5000",
  );
  assert.deepEqual(readOwnEnd(response), { host: "10.10.0.2", port: 5000 });
});

test("an answer belongs to the probe with its branch", () => {
  const response = answered(probe(1), "10.10.0.2", 41_234);
  assert.ok(answersProbe(probe(1), response));
  assert.ok(!answersProbe(probe(2), response));
});

for (const via of [undefined, "rubbish", "SIP/2.0/TLS "])
  test(`a response with the Via '${via}' answers nothing, and does no harm`, () => {
    const { headers, ...response } = answered(probe(), "10.10.0.2", 41_234);
    const others = headers.filter(({ name }) => name !== "Via");
    const rows = via === undefined ? others : [{ name: "Via", value: via }, ...others];
    assert.ok(!answersProbe(probe(), { ...response, headers: rows }));
  });

for (const [received, host] of [
  ["2001:db8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ['"a b"', undefined],
  ["a..b", undefined],
] as const)
  test(`an answer that received us from ${received} tells ${host ?? "nothing"}`, () => {
    const via = `SIP/2.0/TLS 10.10.0.2;rport=5000;received=${received}`;
    const response = withHeader(answered(probe(), "10.10.0.2", 1), "Via", via);
    if (host !== undefined) assert.deepEqual(readOwnEnd(response), { host, port: 5000 });
    else
      assert.throws(
        () => readOwnEnd(response),
        (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
      );
  });

for (const rport of ["", ";rport", ";rport=0", ";rport=65536", ";rport=x"])
  test(`an answer with '${rport}' tells nothing`, () => {
    const response = withHeader(
      answered(probe(), "10.10.0.2", 1),
      "Via",
      `SIP/2.0/TLS 10.10.0.2${rport}`,
    );
    assert.throws(
      () => readOwnEnd(response),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
    );
  });
