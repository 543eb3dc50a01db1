import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_REFERRED, REFERRED_MS } from "../../../controller/core/call-links.ts";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import {
  FROM_BILOXI,
  fromBob,
  inDialog,
  ProxyDriver,
  request,
  requestsOf,
} from "./proxy-fixture.ts";

const CAROL = "sip:carol@biloxi.example.com";

/** The recording that a new call is told to go on from. */
const linkOf = (effects: readonly ControllerEffect[]): string | undefined => {
  const told = effects.find((effect) => effect.kind === "report" && effect.event === "call-linked");
  return told?.kind === "report" ? told.reason : undefined;
};

function recordedCall() {
  const proxy = new ProxyDriver();
  let recording = "";
  let last: (ControllerEffect & { kind: "save-call" }) | undefined;
  const { core } = proxy;
  const handle = core.handle.bind(core);
  core.handle = (input, now) => {
    const effects = handle(input, now);
    for (const effect of effects) {
      if (effect.kind === "put") recording = effect.put.recording;
      if (effect.kind === "save-call") last = effect;
    }
    return effects;
  };
  proxy.answerSealed();
  /** As it comes out of the database. */
  const saved = () => {
    assert.ok(last !== undefined);
    const { call: id, saved: value } = last;
    return { id, saved: JSON.parse(JSON.stringify(value)) as typeof value };
  };
  return { proxy, recording, saved };
}

const second = (rows: readonly string[] = [], uri = CAROL) =>
  request({ uri, callId: `to ${uri}`.replace(" sip:", "-"), rows });

for (const [name, tags] of [
  ["as the caller names it", "to-tag=b1;from-tag=a1"],
  ["as the callee names it", "to-tag=a1;from-tag=b1"],
] as const)
  test(`a call that replaces another is linked to its recording, ${name}`, () => {
    const { proxy, recording } = recordedCall();
    const effects = proxy.receive(second([`Replaces: c1@atlanta.example.com;${tags}`]));
    assert.equal(linkOf(effects), recording);
    assert.equal(requestsOf(effects).length, 1, "and passes");
  });

const UNLINKED: readonly [name: string, rows: readonly string[]][] = [
  ["nothing", []],
  ["a dialog that is none", ["Replaces: c1@atlanta.example.com;to-tag=b2;from-tag=a1"]],
  ["a Replaces that cannot be read", ["Replaces: c1@atlanta.example.com"]],
];
for (const [name, rows] of UNLINKED)
  test(`a call that names ${name} is linked to nothing`, () => {
    const { proxy } = recordedCall();
    const effects = proxy.receive(second(rows));
    assert.equal(linkOf(effects), undefined);
    assert.equal(requestsOf(effects).length, 1);
  });

const refer = (proxy: ProxyDriver, to = CAROL) =>
  proxy.receive(inDialog("REFER", { ...fromBob, rows: [`Refer-To: <${to}>`] }), FROM_BILOXI);

test("the call that bob asked alice to place is linked to theirs, once and for a while", () => {
  const { proxy, recording } = recordedCall();
  assert.equal(requestsOf(refer(proxy)).length, 1);
  assert.equal(linkOf(proxy.receive(second())), recording);
  assert.equal(linkOf(proxy.receive({ ...second(), uri: CAROL })), undefined);
  const late = recordedCall();
  refer(late.proxy);
  late.proxy.now += REFERRED_MS;
  assert.equal(linkOf(late.proxy.receive(second())), undefined);
  const other = recordedCall();
  refer(other.proxy);
  assert.equal(linkOf(other.proxy.receive(second([], "sip:x@biloxi.example.com"))), undefined);
});

test("what is asked for is remembered of so many, the oldest forgotten", () => {
  const { proxy, recording } = recordedCall();
  refer(proxy);
  for (let each = 0; each < MAX_REFERRED; each += 1) refer(proxy, `sip:${each}@biloxi.example.com`);
  assert.equal(linkOf(proxy.receive(second())), undefined);
  assert.equal(linkOf(proxy.receive(second([], "sip:0@biloxi.example.com"))), recording);
});

test("a REFER without target, or of a call without recording, links nothing", () => {
  const { proxy } = recordedCall();
  proxy.receive(inDialog("REFER", fromBob), FROM_BILOXI);
  assert.equal(linkOf(proxy.receive(second())), undefined);
  const plain = new ProxyDriver();
  plain.placePlain();
  refer(plain);
  assert.equal(linkOf(plain.receive(second())), undefined);
});

test("a call of before a restart is linked to, too", () => {
  const { proxy, recording, saved } = recordedCall();
  proxy.receive(inDialog("ACK"));
  const after = new ProxyDriver();
  after.core.restore([], [saved()]);
  const effects = after.receive(second(["Replaces: c1@atlanta.example.com;to-tag=b1;from-tag=a1"]));
  assert.equal(linkOf(effects), recording);
});

test("the recording order of a call says what it goes on from", () => {
  const { proxy, recording } = recordedCall();
  const sdp = [
    "v=0",
    "o=- 1 1 IN IP4 10.10.0.2",
    "s=-",
    "c=IN IP4 10.10.0.2",
    "t=0 0",
    "m=audio 20002 RTP/AVP 0",
    "",
  ];
  const replacing = request({
    uri: CAROL,
    callId: "replacing",
    rows: [
      "Content-Type: application/sdp",
      "Replaces: c1@atlanta.example.com;to-tag=b1;from-tag=a1",
    ],
    body: sdp.join("\r\n"),
  });
  const puts = proxy.receive(replacing).filter((effect) => effect.kind === "put");
  assert.deepEqual(
    puts.map(({ order }) => order.linked),
    [recording],
  );
});
