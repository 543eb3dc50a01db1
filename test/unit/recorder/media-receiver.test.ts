import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ClearReceiver,
  chooseReceiver,
  MAX_CLEAR_SSRCS,
  type MediaReceiver,
} from "../../../recorder/core/media-receiver.ts";
import { KEY, rtcpOf, rtpOf, SUITE, senderAt, senderOf } from "./call-fixture.ts";

const srtp = (masterKeySalt = KEY) => ({ kind: "srtp", suite: SUITE, masterKeySalt }) as const;

function ready(...given: Parameters<typeof chooseReceiver>): MediaReceiver {
  const choice = chooseReceiver(...given);
  assert.ok(choice.kind === "ready");
  return choice.receiver;
}

describe("receiver of SRTP", () => {
  it("opens what was sent under its key, RTP and RTCP", () => {
    const [receiver, sender] = [ready(srtp()), senderOf()];
    const [rtp] = receiver.unprotectBatch([sender.protectRtp(rtpOf(1))]);
    assert.deepEqual(rtp, { kind: "ok", packet: rtpOf(1), index: 1 });
    const [rtcp] = receiver.unprotectRtcpBatch([sender.protectRtcp(rtcpOf())]);
    assert.ok(rtcp?.kind === "ok" && rtcp.packet.equals(rtcpOf()));
    assert.ok(receiver.isAuthenticating);
  });

  it("is not to be had for suites that are not supported, or keys that do not fit", () => {
    for (const suite of ["DES_56", "F8_128_HMAC_SHA1_80"])
      assert.deepEqual(chooseReceiver({ kind: "srtp", suite, masterKeySalt: KEY }), {
        kind: "impossible",
        because: `crypto suite ${suite} is not supported`,
      });
    const choice = chooseReceiver({ ...srtp(), masterKeySalt: "AAAA" } as never);
    assert.deepEqual(choice, {
      kind: "impossible",
      because: "the key does not fit AES_CM_128_HMAC_SHA1_80",
    });
  });

  it("finds the rollover counter of a late joiner, or of an SSRC that it was told of", () => {
    const at = (options: Parameters<typeof chooseReceiver>[1], index: number) =>
      ready(srtp(), options).unprotectBatch([senderAt(index).protectRtp(rtpOf(index))])[0]?.kind;
    assert.equal(at({}, 2 * 65_536), "rejected");
    assert.equal(at({ isJoined: true }, 2 * 65_536), "ok");
    const earlierIndices = (ssrc: number) => (ssrc === 0x1111 ? [20 * 65_536 - 1] : []);
    assert.equal(at({ earlierIndices }, 20 * 65_536), "ok", "going on");
    assert.equal(at({ earlierIndices }, 0), "ok", "beginning anew");
    assert.equal(at({ earlierIndices }, 10 * 65_536), "rejected");
  });
});

describe("receiver of plain RTP", () => {
  const kinds = (packets: readonly Buffer[]) =>
    new ClearReceiver()
      .unprotectBatch(packets)
      .map((result) => (result.kind === "ok" ? result.index : result.reason));

  it("takes packets as they are, finds duplicates, and counts over a rollover", () => {
    const packets = [65_534, 65_535, 65_536, 65_537].map((at) => rtpOf(at));
    assert.deepEqual(kinds(packets), [65_534, 65_535, 65_536, 65_537]);
    assert.deepEqual(kinds([rtpOf(1), rtpOf(1), rtpOf(2)]), [1, "replay", 2]);
  });

  it("refuses what is no RTP, and no RTCP", () => {
    assert.deepEqual(kinds([Buffer.alloc(11)]), ["syntax"]);
    const receiver = new ClearReceiver();
    const results = receiver.unprotectRtcpBatch([rtcpOf(), rtpOf(1)]);
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ["ok", "rejected"],
    );
  });

  it("remembers so many sources and no more", () => {
    const packets = Array.from({ length: MAX_CLEAR_SSRCS + 1 }, (_, ssrc) => rtpOf(1, { ssrc }));
    assert.deepEqual(kinds(packets).at(-1), "limit");
    assert.deepEqual(kinds(packets.slice(0, -1)).at(-1), 1);
  });
});
