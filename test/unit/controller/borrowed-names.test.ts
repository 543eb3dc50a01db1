/** Who uses the names of another's dialog, Call-ID and tag, for a request of his own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue, type SipRequest, withHeader } from "../../../protocol/sip/message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import {
  answer,
  atPhone,
  FROM_CAROL,
  FROM_PBX,
  onlyRequest,
  onlyResponse,
  phone,
  request,
  Wire,
  words,
} from "./wire-fixture.ts";

const CONTACT = "sip:bob@10.0.0.99:40001;transport=tcp";
const EVENT = "Event: presence";
const { peer } = atPhone("a");
/** Bob's phone, on a connection. */
const FROM_BOB: Arrival = { flow: "flow-bob", peer: { ...peer, transport: "tcp" } };

const named = (message: SipRequest, like: SipRequest): SipRequest =>
  withHeader(message, "Call-ID", headerValue(like, "Call-ID") ?? "");

/** From bob's phone to whoever has the dialog with alice's tag. */
const notify = (like: SipRequest): SipRequest =>
  named(
    request("NOTIFY", {
      uri: "sip:alice@10.0.0.20",
      from: "<sip:bob@example.com>;tag=bob",
      to: "<sip:alice@pbx.example>;tag=alice",
      via: "SIP/2.0/TCP 10.0.0.99:40001;branch=z9hG4bKnotify",
      rows: [EVENT, "Subscription-State: active"],
    }),
    like,
  );

test("who subscribes by the names of another's subscription hears nothing of it", () => {
  const wire = new Wire([phone("a", { contact: CONTACT, flow: FROM_BOB.flow })]);
  const subscribe = request("SUBSCRIBE", { rows: [EVENT] });
  const asked = wire.receive(subscribe, FROM_PBX);
  wire.receive(answer(onlyRequest(asked, "SUBSCRIBE"), 200), FROM_BOB);
  const borrowed = request("SUBSCRIBE", {
    from: "<sip:carol@example.com>;tag=alice",
    via: "SIP/2.0/TLS 10.0.0.50:5061;branch=z9hG4bKborrowed",
    rows: [EVENT],
  });
  const passed = wire.receive(named(borrowed, subscribe), FROM_CAROL);
  assert.equal(words(passed), "SUBSCRIBE>tcp 10.0.0.99:40001");
  assert.equal(words(wire.receive(notify(subscribe), FROM_BOB)), "NOTIFY>udp 10.0.0.20:5060");
});

test("who calls by the names of another's subscription is refused, and takes nothing over", () => {
  const wire = new Wire([phone("a", { contact: CONTACT, flow: FROM_BOB.flow })]);
  const subscribe = request("SUBSCRIBE", { rows: [EVENT] });
  const asked = wire.receive(subscribe, FROM_PBX);
  wire.receive(answer(onlyRequest(asked, "SUBSCRIBE"), 200), FROM_BOB);
  const borrowed = request("INVITE", {
    from: "<sip:carol@example.com>;tag=alice",
    via: "SIP/2.0/TLS 10.0.0.50:5061;branch=z9hG4bKborrowed",
  });
  const refused = wire.receive(named(borrowed, subscribe), FROM_CAROL);
  assert.equal(onlyResponse(refused).status, 482);
  assert.equal(words(wire.receive(notify(subscribe), FROM_BOB)), "NOTIFY>udp 10.0.0.20:5060");
});
