/**
 * Other people's phones call each other through the gateway, over each transport, with SRTP and in
 * clear: registered with a password, held, resumed, hung up. The pinholes follow, and what was said is
 * what was recorded and heard.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Exchange, openExchange } from "../../lab/exchange.ts";
import { ownMedia } from "../../lab/phone-trace.ts";
import {
  answer,
  assertHeard,
  assertPinholes,
  assertRecorded,
  change,
  hangUp,
  type Parties,
  passedSound,
  readSound,
  ring,
  talk,
  tapLinks,
} from "./baresip-harness.ts";

/** baresip's first RTCP packet and its last, the BYE, are in clear even where it promised SRTP. */
const CLEAR_RTCP = /^call(?:er|ee) audio RTCP: [12] packets? could not be authenticated$/;
/** One of bob's range that he has not named. */
const ANY_PORT = 30_200;
let exchange: Exchange;
before(async () => {
  exchange = await openExchange();
});
after(() => exchange?.close());

for (const transport of ["udp", "tcp", "tls"] as const)
  for (const srtp of [false, true])
    describe(`${transport}, ${srtp ? "SRTP" : "RTP in clear"}`, () => {
      let phones: Parties;
      before(async () => {
        const [caller, callee] = await Promise.all([
          exchange.startPhone({ host: "alice", transport, srtp }),
          exchange.startPhone({ host: "bob", transport, srtp }),
        ]);
        phones = { caller, callee };
      });
      after(() => Promise.all([phones?.caller.stop(), phones?.callee.stop()]));

      test("a call held, resumed and hung up", async () => {
        const taps = await tapLinks(exchange, `${transport}-${srtp}`);
        const callId = await ring(phones);
        const { rtpPort } = ownMedia(phones.caller);
        await assertPinholes(exchange, "afterInvite", { alice: rtpPort, bob: ANY_PORT });
        await answer(phones);
        await talk(1500);
        const ports = {
          alice: ownMedia(phones.caller).rtpPort,
          bob: ownMedia(phones.callee).rtpPort,
        };
        await assertPinholes(exchange, "afterAnswer", ports);
        await change(phones.caller, "hold");
        await talk(300);
        await assertPinholes(exchange, "afterAnswer", ports);
        await change(phones.caller, "resume");
        await talk(800);
        await hangUp(phones.caller, phones.callee);
        await assertPinholes(exchange, "afterBye", ports);

        await Promise.all([phones.caller.stop(), phones.callee.stop()]);
        const passed = await passedSound(taps, phones);
        const recorded = await readSound(exchange, callId);
        assert.deepEqual(
          recorded.gaps.filter((gap) => !(srtp && CLEAR_RTCP.test(gap))),
          [],
        );
        assert.ok(recorded.verified);
        assertRecorded(recorded.caller, passed.caller, 2);
        assertRecorded(recorded.callee, passed.callee, 1);
        assertHeard(phones.callee, passed.caller, 1);
        assertHeard(phones.caller, passed.callee, 1);
      });
    });
