import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judge } from "../../../recorder/core/completeness.ts";
import { interruptedReport } from "../../../recorder/core/interrupted-report.ts";
import { MediaStream } from "../../../recorder/core/media-stream.ts";
import { beginMetadata } from "../../../recorder/core/metadata.ts";
import {
  durationText,
  listText,
  showOpenText,
  showText,
} from "../../../recorder/core/recording-text.ts";
import { calleeStream, callerStream, NOW, orderOf, RECORDING } from "./call-fixture.ts";

const metadata = beginMetadata(
  orderOf([callerStream(), calleeStream({ protection: { kind: "rtp" } })]),
  "2027-01-15T08:00:00.000Z",
);

describe("text for people", () => {
  const durations: readonly [number, string][] = [
    [0, "0:00.0"],
    [7349, "0:07.3"],
    [59_990, "1:00.0"],
    [3_723_000, "1:02:03.0"],
  ];
  for (const [ms, text] of durations)
    it(`writes ${ms} ms as ${text}`, () => assert.equal(durationText(ms), text));

  it("lists nothing in words, and what is sealed as sealed", () => {
    assert.equal(listText([]), "no recordings\n");
    const none = {
      startedAt: undefined,
      durationMs: undefined,
      from: undefined,
      to: undefined,
      callId: undefined,
    };
    const known = { ...none, startedAt: "2027", durationMs: 1000, from: "a", to: "b" };
    const text = listText([
      { id: "x", state: "complete-with-gaps", ...known },
      { id: "y", state: "open", ...none },
    ]);
    assert.deepEqual(text.split("\n"), [
      "ID  START  DURATION  FROM      TO        STATE",
      "x   2027   0:01.0    a         b         complete with stated gaps",
      "y   -      -         (sealed)  (sealed)  open",
      "",
    ]);
  });

  it("shows call, verdict with its gaps, and counts", () => {
    const streams = [
      new MediaStream([callerStream()], NOW).report((port) => (port % 2 === 0 ? 3 : null)),
    ];
    const counted = { streams, gaps: [], unassigned: { admitted: 0 } };
    const whole = interruptedReport(RECORDING, NOW, NOW, NOW);
    const gaps = judge({ ...counted, unassigned: { admitted: 1 } });
    const text = showText(metadata, { ...whole, ...counted, verdict: gaps }, 7300);
    for (const words of [
      /^Verdict +not recorded because nothing of what passed was captured$/m,
      /^Call-ID +call-1$/m,
      /^Stream +caller audio to 10.20.0.2:30000, PCMU, AES_CM_128_HMAC_SHA1_80$/m,
      /^Stream +callee audio to 10.10.0.2:20000, PCMU, not encrypted$/m,
      /^Duration +0:07.3$/m,
      /^caller RTP +3 +0 /m,
      /^caller RTCP +unknown +0 /m,
    ])
      assert.match(text, words);
    const linked = { ...metadata, session: { ...metadata.session, linked: RECORDING } };
    assert.match(showOpenText(linked), new RegExp(`^Goes on from +${RECORDING}$`, "m"));
    assert.match(showText(undefined, whole, 0), /- the recorder was interrupted, 2027/);
    assert.doesNotMatch(showText(undefined, whole, 0), /Packets/);
  });

  it("shows an open recording as far as it is known", () => {
    const pending = beginMetadata(
      orderOf([calleeStream({ protection: { kind: "pending" } })]),
      "2027-01-15T08:00:00.000Z",
    );
    assert.match(showOpenText(pending), /none yet: still open(.|\n)*no key/);
  });
});
