import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  briefCompleteness,
  type Completeness,
  completenessSchema,
  findContradictions,
  judge,
  MAX_BRIEF_ITEMS,
  type PortCounts,
  type StreamReport,
  statedGaps,
  verdictText,
} from "../../../recorder/core/completeness.ts";
import { interruptedReport } from "../../../recorder/core/interrupted-report.ts";
import { BOB, NOW, RECORDING } from "./call-fixture.ts";

const port = (change: Partial<PortCounts> = {}): PortCounts => ({
  admitted: 10,
  captured: 10,
  authenticated: 10,
  clear: 0,
  rejected: { authentication: 0, replay: 0, syntax: 0, limit: 0, source: 0 },
  undecrypted: 0,
  stored: 10,
  keptApart: 0,
  ...change,
});
const rejected = (change: Partial<PortCounts["rejected"]>) => ({ ...port().rejected, ...change });
const NOTHING = port({ admitted: 0, captured: 0, authenticated: 0, stored: 0 });

const stream = (rtp: PortCounts, change: Partial<StreamReport> = {}): StreamReport => ({
  label: "caller",
  media: "audio",
  destination: BOB,
  rtp,
  rtcp: NOTHING,
  sources: [{ ssrc: 1, packets: 10, firstIndex: 0, lastIndex: 9, lost: 0 }],
  lost: 0,
  ...change,
});

const counted = (...streams: readonly StreamReport[]) => ({
  streams: [...streams],
  gaps: [],
  unassigned: { admitted: 0 },
});

const report = (change: Partial<Completeness> = {}): Completeness => ({
  version: 1,
  recording: RECORDING,
  verdict: { kind: "complete" },
  reason: "bye",
  startedAt: "2027-01-15T08:00:00.000Z",
  endedAt: "2027-01-15T08:00:10.000Z",
  ...counted(stream(port())),
  ...change,
});

describe("verdict", () => {
  const whole: readonly [string, PortCounts][] = [
    ["everything stored", port()],
    ["nothing passed", NOTHING],
    [
      "a packet repeated",
      port({ admitted: 11, captured: 11, rejected: rejected({ replay: 1 }), keptApart: 1 }),
    ],
    [
      "a probe that is no RTP",
      port({ admitted: 11, captured: 11, rejected: rejected({ syntax: 1 }), keptApart: 1 }),
    ],
    ["no encryption", port({ authenticated: 0, clear: 10 })],
  ];
  for (const [what, rtp] of whole)
    it(`is complete: ${what}`, () =>
      assert.deepEqual(judge(counted(stream(rtp))), { kind: "complete" }));

  it("is complete though packets were lost before the gateway", () =>
    assert.deepEqual(judge(counted(stream(port(), { lost: 5 }))), { kind: "complete" }));

  const gaps: readonly [PortCounts, string][] = [
    [port({ admitted: 12 }), "2 packets passed the gateway uncaptured"],
    [port({ admitted: 9 }), "1 packet captured beyond the kernel's count"],
    [port({ admitted: null }), "no kernel count to compare with"],
    [port({ rejected: rejected({ authentication: 1 }) }), "1 packet could not be authenticated"],
    [port({ rejected: rejected({ limit: 2 }) }), "2 packets from too many sources"],
    [port({ rejected: rejected({ source: 1 }) }), "1 packet from another address"],
    [port({ undecrypted: 1 }), "1 packet could not be decrypted"],
  ];
  for (const [rtp, said] of gaps)
    it(`states: ${said}`, () => {
      const verdict = judge(counted(stream(rtp)));
      assert.ok(verdict.kind === "complete-with-gaps");
      assert.ok(verdict.gaps.includes(`caller audio RTP: ${said}`));
    });

  it("states spans and ports without an order", () => {
    const gap = { reason: "capture restarted", from: "a", to: "b" };
    const said = statedGaps({ ...counted(), gaps: [gap], unassigned: { admitted: 3 } });
    assert.deepEqual(said, [
      "capture restarted, a to b",
      "3 packets passed to ports that no order named",
    ]);
  });

  it("states a kernel count that was not heard to its end", () => {
    const said = ["the kernel's count was not heard to its end"];
    const report = { ...counted(), isAdmittedLow: true } as const;
    assert.deepEqual(judge(report), { kind: "complete-with-gaps", gaps: said });
  });

  const lost = port({ authenticated: 0, stored: 0, undecrypted: 10 });
  const none: readonly [string, StreamReport][] = [
    ["no key came for its media", stream(lost)],
    ["suite X is not supported", stream(lost, { undecryptable: "suite X is not supported" })],
    [
      "no packet could be authenticated",
      stream(port({ authenticated: 0, stored: 0, rejected: rejected({ authentication: 10 }) })),
    ],
    [
      "nothing of what passed was captured",
      stream(port({ captured: 0, authenticated: 0, stored: 0 })),
    ],
  ];
  for (const [because, only] of none)
    it(`is not recorded because ${because}`, () => {
      const verdict = judge(counted(only));
      assert.equal(verdictText(verdict), `not recorded because ${because}`);
    });

  it("reads well", () => {
    assert.equal(verdictText({ kind: "complete" }), "complete");
    assert.equal(
      verdictText({ kind: "complete-with-gaps", gaps: ["x"] }),
      "complete with stated gaps",
    );
  });
});

describe("contradictions", () => {
  it("are none in a sound report", () => assert.deepEqual(findContradictions(report()), []));

  const bad: readonly [string, PortCounts][] = [
    ["sum of what became of them", port({ captured: 11 })],
    ["stored are not those opened", port({ stored: 11 })],
    ["more kept apart than were refused", port({ keptApart: 1 })],
  ];
  for (const [what, rtp] of bad)
    it(`are found: ${what}`, () =>
      assert.match(findContradictions(report(counted(stream(rtp)))).join(), new RegExp(what)));

  it("are found between counts and verdict", () =>
    assert.match(
      findContradictions(report(counted(stream(port({ admitted: 12 }))))).join(),
      /verdict/,
    ));
});

describe("report", () => {
  it("of an interruption is sound, and says when", () => {
    const interrupted = interruptedReport(RECORDING, NOW, NOW + 5000, NOW + 9000);
    assert.deepEqual(completenessSchema.parse(interrupted), interrupted);
    assert.deepEqual(findContradictions(interrupted), []);
    assert.match(statedGaps(interrupted).join(), /interrupted, 2027-01-15T08:00:05.000Z to/);
  });

  it("in brief names no sources and cuts long lists, saying so", () => {
    const gap = {
      reason: "again",
      from: "2027-01-15T08:00:00.000Z",
      to: "2027-01-15T08:00:01.000Z",
    };
    const gaps = Array.from({ length: MAX_BRIEF_ITEMS + 1 }, () => gap);
    const streams = Array.from({ length: MAX_BRIEF_ITEMS + 1 }, () => stream(port()));
    const verdict = judge({ ...counted(), gaps });
    const brief = briefCompleteness(report({ gaps, streams, verdict }));
    assert.equal(brief.gaps.length, MAX_BRIEF_ITEMS);
    assert.equal(brief.streams.length, MAX_BRIEF_ITEMS);
    assert.deepEqual(brief.streams[0]?.sources, []);
    assert.ok(brief.verdict.kind === "complete-with-gaps");
    assert.equal(brief.verdict.gaps.length, MAX_BRIEF_ITEMS);
    assert.match(brief.verdict.gaps.at(-1) ?? "", /and more/);
    assert.deepEqual(briefCompleteness(report()).verdict, { kind: "complete" });
    const few = judge({ ...counted(), gaps: [gap] });
    assert.deepEqual(briefCompleteness(report({ verdict: few })).verdict, few);
  });
});
