/** Transport and transactions together, over real sockets on loopback. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { prependHeader, type SipRequest } from "../../../protocol/sip/message.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import {
  createSipEndpoint,
  type SipEndpoint,
  type SipEvent,
} from "../../../runtime/sip-transport-endpoint.ts";
import { sampleRequest } from "./sample.ts";

const open: SipEndpoint[] = [];
after(() => Promise.all(open.map((endpoint) => endpoint.close())));

async function start(react: (event: SipEvent, endpoint: SipEndpoint) => void) {
  const seen: SipEvent[] = [];
  const endpoint: SipEndpoint = await createSipEndpoint({
    listeners: [{ transport: "tcp", address: "127.0.0.1", port: 0 }],
    onEvent: (event) => {
      seen.push(event);
      react(event, endpoint);
    },
  });
  open.push(endpoint);
  const port = endpoint.transport.listening[0]?.port ?? 0;
  return { endpoint, seen, target: { transport: "tcp", address: "127.0.0.1", port } as const };
}

const request = (method: string): SipRequest =>
  prependHeader(sampleRequest(method), "Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKclient");

test("an INVITE rings, is cancelled, and both sides come to rest", async () => {
  const callee = await start((event, endpoint) => {
    if (event.kind === "deliver-request")
      endpoint.order({
        kind: "respond",
        key: event.key,
        response: createResponse(event.request, 180, { toTag: "b" }),
      });
    if (event.kind === "deliver-cancel") {
      const response = createResponse(request("INVITE"), 487, { toTag: "b" });
      endpoint.order({ kind: "respond", key: event.key, response });
    }
  });
  const ended = Promise.withResolvers<number>();
  const caller = await start((event, endpoint) => {
    if (event.kind !== "deliver-response") return;
    if (event.response.status === 180) endpoint.order({ kind: "cancel", key: event.key });
    else ended.resolve(event.response.status);
  });
  caller.endpoint.order({ kind: "request", request: request("INVITE"), to: callee.target });
  assert.equal(await ended.promise, 487);
  assert.deepEqual(
    callee.seen.map(({ kind }) => kind),
    ["deliver-request", "deliver-cancel"],
  );
});

test("a connection lost fails what waits on it at once", async () => {
  const failed = Promise.withResolvers<SipEvent>();
  const callee = await start((event, endpoint) => {
    if (event.kind === "deliver-request") endpoint.transport.closeFlow(event.flow);
  });
  const caller = await start((event) => failed.resolve(event));
  const options = request("OPTIONS");
  caller.endpoint.order({ kind: "request", request: options, to: callee.target });
  assert.deepEqual(await failed.promise, {
    kind: "failed",
    side: "client",
    key: clientKey(options),
    reason: "transport",
  });
});

test("a target that cannot be reached fails at once too", async () => {
  const gone = await start(() => undefined);
  await gone.endpoint.close();
  const failed = Promise.withResolvers<SipEvent>();
  const caller = await start((event) => failed.resolve(event));
  caller.endpoint.order({ kind: "request", request: request("BYE"), to: gone.target });
  const event = await failed.promise;
  assert.ok(event.kind === "failed" && event.reason === "transport");
});
