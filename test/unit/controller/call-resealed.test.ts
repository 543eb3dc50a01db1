/** Sealed offers and answers within a running dialog. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { INSPECTION_TIMEOUT_MS } from "../../../controller/core/leg-port.ts";
import { GRACE_MS } from "../../../controller/core/negotiation.ts";
import { Secret } from "../../../protocol/secret.ts";
import { type SipRequest, withHeader } from "../../../protocol/sip/message.ts";
import {
  ALICE,
  BOB,
  bobAnswers,
  CallDriver,
  inDialog,
  KEYS,
  opened,
  response,
  SDP_TYPE,
  SEALED_TYPE,
  sdp,
} from "./call-fixture.ts";

const OFFER_HOLES = "any>10.10.0.2:20000 any>10.10.0.2:20001";

/** A sealed request of the running dialog, as far as its inspection. */
function resealed(call: CallDriver, method: string, side: "caller" | "callee"): SipRequest {
  const sealed = { body: `sealed ${method} ${side}`, type: SEALED_TYPE };
  assert.deepEqual(call.ask(method, side, sealed), [`inspect ${method} b1`]);
  return inDialog(method, side, sealed);
}

for (const side of ["caller", "callee"] as const)
  test(`a sealed re-INVITE of the ${side} is opened, judged and applied before it goes on`, () => {
    const call = new CallDriver().answered();
    call.ack();
    const request = resealed(call, "INVITE", side);
    const [signer, address] = side === "caller" ? [ALICE, "10.10.0.2"] : [BOB, "10.20.0.2"];
    const moved = sdp({ address, port: 40_000, key: KEYS.bob2 });
    const body = opened(request, signer, moved);
    const [put] = call.inspect("b1", { kind: "opened", body });
    assert.match(put ?? "", /^put s1 3 .*:40000/);
    assert.equal(call.applied().at(-1), "forward q1");
    const other = side === "caller" ? BOB : ALICE;
    const back = side === "caller" ? "10.20.0.2" : "10.10.0.2";
    const port = side === "caller" ? 30_000 : 20_000;
    const answer = response(200, { cseq: "2 INVITE", body: "sealed back" });
    const named =
      side === "caller"
        ? answer
        : withHeader(withHeader(answer, "From", `<${BOB}>;tag=b1`), "To", `<${ALICE}>;tag=a1`);
    const input = { kind: "request-response", ref: "q1", tag: "b1", response: named } as const;
    assert.deepEqual(call.feed(input), ["inspect answer b1"]);
    const said = sdp({ address: back, port, key: KEYS.alice });
    call.inspect("b1", { kind: "opened", body: opened(named, other, said) });
    assert.equal(call.applied().at(-1), "forward 200 of q1");
    const keys = call.puts
      .at(-1)
      ?.streams.map(({ label, protection }) => [
        label,
        protection.kind === "srtp" && protection.crypto.masterKeySalt.expose().toString("base64"),
      ]);
    assert.deepEqual(new Map(keys as [string, string][]).get(side), KEYS.bob2);
  });

test("a first key that a re-INVITE brings opens what follows; the keys it replaces are wiped", () => {
  const call = new CallDriver().answered();
  call.ack();
  const before = keysOf(call);
  const request = resealed(call, "INVITE", "caller");
  const firstKey = { cek: new Secret(Buffer.alloc(32, 9)), cipher: "aes-256-gcm" } as const;
  const body = opened(request, ALICE, sdp({ port: 22_000, key: KEYS.bob2 }));
  call.inspect("b1", { kind: "opened", body, firstKey });
  call.applied();
  const answer = response(200, { cseq: "2 INVITE", body: "sealed back" });
  const effects = call.call.handle(
    { kind: "request-response", ref: "q1", tag: "b1", response: answer },
    call.now,
  );
  assert.equal(effects[0]?.kind === "inspect" && effects[0].firstKey, firstKey);
  call.feed({ kind: "inspected", ref: "3 b1", inspection: bobAnswers({}, answer) });
  assert.equal(call.applied().at(-1), "forward 200 of q1");
  call.ack();
  call.wait(GRACE_MS);
  const [answered] = before.filter(({ label }) => label === "callee");
  assert.throws(() => answered?.key.expose(), RangeError);
  const now = keysOf(call);
  for (const { key } of now) key.expose();
  call.ask("BYE", "caller");
  for (const key of [...now.map((each) => each.key), firstKey.cek, call.firstKey.cek])
    assert.throws(() => key.expose(), RangeError);
});

/** The keys in what was put last. */
const keysOf = (call: CallDriver) =>
  call.puts
    .at(-1)
    ?.streams.flatMap(({ label, protection }) =>
      protection.kind === "srtp" ? [{ label, key: protection.crypto.masterKeySalt }] : [],
    ) ?? [];

test("a sealed dialog is not changed in clear, nor by a body that is not for us", () => {
  const call = new CallDriver().answered();
  call.ack();
  const clear = { body: sdp({ port: 22_000 }).toString("latin1"), type: SDP_TYPE };
  assert.deepEqual(call.ask("INVITE", "caller", clear), [
    "warn offer-refused offer-in-clear",
    "refuse q1 488",
  ]);
  call.ask("UPDATE", "callee", { body: "for others", type: SEALED_TYPE });
  assert.deepEqual(call.inspect("b1", { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" }), [
    "warn offer-refused not-a-recipient",
    "refuse q2 496",
  ]);
  assert.equal(call.puts.length, 2);
});

test("a re-INVITE signed by another, for another message, or a second time is refused", () => {
  const call = new CallDriver().answered();
  call.ack();
  const moved = sdp({ port: 22_000, key: KEYS.bob2 });
  const first = resealed(call, "INVITE", "caller");
  assert.deepEqual(call.inspect("b1", { kind: "opened", body: opened(first, BOB, moved) }), [
    "warn offer-refused signer",
    "refuse q1 403",
  ]);
  resealed(call, "INVITE", "caller");
  const other = opened(inDialog("INVITE", "caller", { cseq: 9 }), ALICE, moved);
  assert.deepEqual(call.inspect("b1", { kind: "opened", body: other }), [
    "warn offer-refused headers-differ",
    "refuse q2 403",
  ]);
  const third = resealed(call, "INVITE", "caller");
  call.inspect("b1", { kind: "opened", body: opened(third, ALICE, moved) });
  call.applied({ kind: "failed", verdict: "gateway-slow" });
  const fourth = resealed(call, "INVITE", "caller");
  assert.deepEqual(call.inspect("b1", { kind: "opened", body: opened(fourth, ALICE, moved) }), [
    "warn offer-refused replayed",
    "refuse q4 403",
  ]);
});

test("a re-INVITE that is not opened in time is refused, and its late result thrown away", () => {
  const call = new CallDriver().answered();
  call.ack();
  const request = resealed(call, "INVITE", "caller");
  assert.deepEqual(call.wait(INSPECTION_TIMEOUT_MS), [
    "warn offer-refused body-slow",
    "refuse q1 500",
  ]);
  const firstKey = { cek: new Secret(Buffer.alloc(32, 9)), cipher: "aes-256-gcm" } as const;
  const body = opened(request, ALICE, sdp({}));
  assert.deepEqual(call.inspect("b1", { kind: "opened", body, firstKey }), []);
  assert.throws(() => firstKey.cek.expose(), RangeError);
});

test("a call whose body was not for us may be sealed for us later", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  call.inspect("invite", { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" });
  call.respond(200, { body: "sealed answer" });
  call.ack();
  const request = resealed(call, "INVITE", "caller");
  const { firstKey } = call;
  const body = opened(request, ALICE, sdp({}));
  assert.deepEqual(call.inspect("b1", { kind: "opened", body, firstKey }), [
    `put s1 1 ${OFFER_HOLES}`,
  ]);
  assert.equal(call.applied().at(-1), "forward q1");
});
