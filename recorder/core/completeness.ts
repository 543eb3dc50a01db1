/**
 * The completeness report that ends every recording: what the kernel let through, what was
 * captured, what was authenticated and what is stored, and whether these numbers agree
 * (docs/recording-format.md §3.3). Pure.
 */

import { z } from "zod";
import type { VerdictKind } from "../../protocol/ledger/ledger-entry.ts";

const count = z.int().min(0);
const rejected = z.strictObject({
  authentication: count,
  replay: count,
  syntax: count,
  limit: count,
  /** Plain RTP from another address than the signalled one. */
  source: count,
});
const portCounts = z.strictObject({
  /** Packets that the kernel counted through the pinholes; null if the agent never said. */
  admitted: count.nullable(),
  /** Packets that reached the recorder. */
  captured: count,
  /** Packets whose SRTP tag was good. */
  authenticated: count,
  /** Packets of a call without encryption. */
  clear: count,
  rejected,
  /** Packets for which no key came, or whose suite is not supported. */
  undecrypted: count,
  /** Packets in the recording as media: authenticated and clear ones. */
  stored: count,
  /** Packets in the recording as captured, on the interface that is kept apart. */
  keptApart: count,
});
const source = z.strictObject({
  ssrc: count,
  packets: count,
  firstIndex: count,
  lastIndex: count,
  lost: z.int(),
});
const stream = z.strictObject({
  label: z.enum(["caller", "callee"]),
  media: z.string(),
  destination: z.strictObject({ address: z.string(), port: count }),
  rtcpPort: count.optional(),
  /** Where RTCP went before an answer or a change named another port; counted in `rtcp` as well. */
  formerRtcpPorts: z.array(count).optional(),
  /** Why nothing was decrypted. */
  undecryptable: z.string().optional(),
  /** All that went to the RTP port, muxed RTCP included. */
  rtp: portCounts,
  rtcp: portCounts,
  sources: z.array(source),
  /** RTP packets that were lost before they reached the gateway, by their sequence numbers. */
  lost: z.int(),
});
const gap = z.strictObject({ reason: z.string(), from: z.iso.datetime(), to: z.iso.datetime() });
const verdict = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("complete") }),
  z.strictObject({
    kind: z.literal("complete-with-gaps"),
    gaps: z.array(z.string()).min(1).readonly(),
  }),
  z.strictObject({ kind: z.literal("not-recorded"), because: z.string() }),
]);

export const completenessSchema = z.strictObject({
  version: z.literal(1),
  recording: z.uuid(),
  verdict,
  /** Why the recording ended. */
  reason: z.string(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
  streams: z.array(stream),
  /** Spans in which packets may be missing. */
  gaps: z.array(gap),
  /** The kernel's last word on a pinhole was missed: `admitted` may be low. */
  isAdmittedLow: z.literal(true).optional(),
  /** Packets that the kernel let through to ports which no order named. */
  unassigned: z.strictObject({ admitted: count }),
});

export type Completeness = Readonly<z.infer<typeof completenessSchema>>;
export type StreamReport = Readonly<z.infer<typeof stream>>;
export type PortCounts = Readonly<z.infer<typeof portCounts>>;
export type RejectedCounts = z.infer<typeof rejected>;
export type Verdict = Readonly<z.infer<typeof verdict>>;
export type Gap = Readonly<z.infer<typeof gap>>;

/** The verdict in the words of people. */
export function verdictText(verdict: Verdict): string {
  switch (verdict.kind) {
    case "complete":
      return "complete";
    case "complete-with-gaps":
      return "complete with stated gaps";
    case "not-recorded":
      return `not recorded because ${verdict.because}`;
  }
}

/** As `verdictText`, of the kind alone. */
export const VERDICT_TEXTS: Readonly<Record<VerdictKind, string>> = {
  complete: "complete",
  "complete-with-gaps": "complete with stated gaps",
  "not-recorded": "not recorded",
};

/** Streams and gaps that the short form of a report names. */
export const MAX_BRIEF_ITEMS = 16;

/** The report short enough for one message: without sources, long lists cut and said to be. */
export function briefCompleteness(report: Completeness): Completeness {
  const { verdict } = report;
  const streams = report.streams.slice(0, MAX_BRIEF_ITEMS);
  return {
    ...report,
    verdict:
      verdict.kind === "complete-with-gaps" ? { ...verdict, gaps: cut(verdict.gaps) } : verdict,
    streams: streams.map((stream) => ({ ...stream, sources: [] })),
    gaps: report.gaps.slice(0, MAX_BRIEF_ITEMS),
  };
}

const cut = (sentences: readonly string[]): readonly string[] =>
  sentences.length <= MAX_BRIEF_ITEMS
    ? sentences
    : [...sentences.slice(0, MAX_BRIEF_ITEMS - 1), "and more, named in the recording"];

type Counted = Pick<Completeness, "streams" | "gaps" | "isAdmittedLow" | "unassigned">;

/**
 * The verdict that the counts allow. A gap is what passed the gateway and may have been media, but
 * is not in the recording as media. Not gaps: packets lost before the gateway, duplicates, and what
 * is no RTP or RTCP at all (probes, keep-alives).
 */
export function judge(counted: Counted): Verdict {
  const ports = counted.streams.flatMap((report) => [report.rtp, report.rtcp]);
  const total = (pick: (port: PortCounts) => number) =>
    ports.reduce((sum, port) => sum + pick(port), 0);
  const stored = total((port) => port.stored);
  if (stored === 0 && total((port) => port.captured) > 0)
    return { kind: "not-recorded", because: whyNothingIsStored(counted) };
  if (stored === 0 && total((port) => port.admitted ?? 0) > 0)
    return { kind: "not-recorded", because: "nothing of what passed was captured" };
  const gaps = statedGaps(counted);
  return gaps.length === 0 ? { kind: "complete" } : { kind: "complete-with-gaps", gaps };
}

/** Everything the recording lacks, one sentence each. */
export function statedGaps(counted: Counted): readonly string[] {
  const { streams, gaps, isAdmittedLow, unassigned } = counted;
  const said = streams.flatMap((report) => [
    ...portGaps(`${report.label} ${report.media} RTP`, report.rtp),
    ...portGaps(`${report.label} ${report.media} RTCP`, report.rtcp),
  ]);
  for (const { reason, from, to } of gaps) said.push(`${reason}, ${from} to ${to}`);
  if (isAdmittedLow === true) said.push("the kernel's count was not heard to its end");
  if (unassigned.admitted > 0)
    said.push(`${unassigned.admitted} packets passed to ports that no order named`);
  return said;
}

/** What does not add up within the report; a sound report gives none. */
export function findContradictions(report: Completeness): readonly string[] {
  const found = report.streams.flatMap((stream) =>
    (["rtp", "rtcp"] as const).flatMap((name) =>
      portContradictions(stream[name]).map((what) => `${stream.label} ${name}: ${what}`),
    ),
  );
  const expected = judge(report);
  if (expected.kind !== report.verdict.kind)
    found.push(`the counts say '${verdictText(expected)}', the verdict is another`);
  return found;
}

function portGaps(name: string, port: PortCounts): readonly string[] {
  const { admitted, captured, rejected, undecrypted } = port;
  const said: string[] = [];
  const say = (number: number, what: string) => {
    if (number > 0) said.push(`${name}: ${number} ${number === 1 ? "packet" : "packets"} ${what}`);
  };
  if (admitted === null) said.push(`${name}: no kernel count to compare with`);
  else {
    say(admitted - captured, "passed the gateway uncaptured");
    say(captured - admitted, "captured beyond the kernel's count");
  }
  say(rejected.authentication, "could not be authenticated");
  say(rejected.limit, "from too many sources");
  say(rejected.source, "from another address");
  say(undecrypted, "could not be decrypted");
  return said;
}

function portContradictions(port: PortCounts): readonly string[] {
  const { captured, authenticated, clear, undecrypted, stored, keptApart } = port;
  const rejectedSum = Object.values(port.rejected).reduce((sum, each) => sum + each, 0);
  const found: string[] = [];
  if (captured !== authenticated + clear + rejectedSum + undecrypted)
    found.push(`${captured} captured are not the sum of what became of them`);
  if (stored !== authenticated + clear) found.push(`${stored} stored are not those opened`);
  if (keptApart > rejectedSum + undecrypted) found.push("more kept apart than were refused");
  return found;
}

function whyNothingIsStored({ streams }: Counted): string {
  const because = streams.find(({ undecryptable }) => undecryptable !== undefined)?.undecryptable;
  if (because !== undefined) return because;
  const isKeyless = streams.some(({ rtp, rtcp }) => rtp.undecrypted + rtcp.undecrypted > 0);
  return isKeyless ? "no key came for its media" : "no packet could be authenticated";
}
