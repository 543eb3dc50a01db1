import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallParty } from "../../../device/core/call.ts";
import { UserAgent, type UserAgentEffect } from "../../../device/core/user-agent.ts";
import { Secret } from "../../../protocol/secret.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import { ALICE, CLAIM, CONTACT, FLOW, SETTING, START } from "./registration-fixture.ts";

const PEER = { transport: "tls", address: "192.0.2.10", port: 5061, identities: [] } as const;
const PARTY: CallParty = {
  aor: ALICE,
  transport: "tls",
  host: "192.0.2.101",
  port: 40_122,
  endpoint: { address: "192.0.2.101", rtpPort: 40_000 },
  random: SETTING.random,
};

const registrationOf = (effects: readonly UserAgentEffect[]) =>
  effects.flatMap((each) => (each.kind === "registration" ? [each.effect] : []));

function requestOf(effects: readonly UserAgentEffect[]): SipRequest {
  const sent = effects.find((each) => each.kind === "send");
  return sent?.kind === "send" && sent.message.kind === "request" ? sent.message : assert.fail();
}

function registering() {
  const agent = new UserAgent({ party: PARTY, registration: SETTING });
  const feed = (input: Parameters<typeof agent.handle>[0]) => agent.handle(input, START);
  feed({ kind: "registration", input: { kind: "register" } });
  feed({ kind: "registration", input: { kind: "contact", ref: 1, contact: CONTACT } });
  feed({ kind: "registration", input: { kind: "claimed", ref: 1, claim: CLAIM } });
  const firstKey = { cek: new Secret(Buffer.alloc(32)), cipher: "aes-256-gcm" } as const;
  const sealed = { body: Buffer.from("sealed"), contentType: "application/pkcs7-mime", firstKey };
  const effects = feed({ kind: "registration", input: { kind: "sealed", ref: 1, ...sealed } });
  return { agent, feed, request: requestOf(effects) };
}

test("a REGISTER goes out by the transaction layer, and its answer comes back to it", () => {
  const { agent, feed, request } = registering();
  assert.equal(request.method, "REGISTER");
  const message = createResponse(request, 403, { toTag: "t" });
  const effects = feed({
    kind: "signalling",
    input: { kind: "received", message, flow: FLOW, peer: PEER },
  });
  const [failed] = registrationOf(effects);
  assert.ok(failed?.kind === "event" && failed.event.event === "registration-failed");
  const retryAt = agent.deadline() ?? 0;
  assert.ok(retryAt > START);
  const retried = agent.handle({ kind: "tick" }, retryAt + 64_000);
  assert.ok(registrationOf(retried).some(({ kind }) => kind === "find-contact"));
});

test("a REGISTER that cannot be sent has failed", () => {
  const { feed, request } = registering();
  const key = clientKey(request) ?? "";
  const effects = feed({ kind: "signalling", input: { kind: "transport-failed", key } });
  const [failed] = registrationOf(effects);
  assert.ok(failed?.kind === "event" && failed.event.event === "registration-failed");
});

const QUERY = {
  ...{ aor: ALICE, target: "sip:bob@biloxi.example.com", contact: CONTACT.uri },
  ...{ nextHop: SETTING.nextHop, end: CONTACT, random: SETTING.random },
};

test("one question at a time; when it is over, another may be asked", () => {
  const agent = new UserAgent({ party: PARTY });
  const ask = () => agent.handle({ kind: "ask", setting: QUERY }, START);
  assert.equal(ask()[0]?.kind, "query");
  assert.throws(ask, TypeError);
  const effects = agent.handle(
    { kind: "query", input: { kind: "not-done", reason: "no certificate" } },
    START,
  );
  assert.ok(effects.some((each) => each.kind === "query" && each.effect.kind === "over"));
  assert.equal(ask()[0]?.kind, "query");
  assert.deepEqual(
    new UserAgent({ party: PARTY }).handle(
      { kind: "query", input: { kind: "not-done", reason: "late" } },
      START,
    ),
    [],
  );
});
