/** Recordings in tables for people. Pure. */

import {
  type Completeness,
  type PortCounts,
  type StreamReport,
  VERDICT_TEXTS,
  verdictText,
} from "./completeness.ts";
import type { Metadata } from "./metadata.ts";

/** One row of `recordings list`; what the key alone opens is undefined without it. */
export interface ListedRecording {
  readonly id: string;
  readonly startedAt: string | undefined;
  readonly durationMs: number | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly callId: string | undefined;
  /** A verdict, `open`, or why the recording cannot be read. */
  readonly state: string;
}

/** The list as a table, one recording a line. */
export function listText(rows: readonly ListedRecording[]): string {
  if (rows.length === 0) return "no recordings\n";
  const head = ["ID", "START", "DURATION", "FROM", "TO", "STATE"];
  const cells = rows.map(({ id, startedAt, durationMs, from, to, state }) => [
    id,
    startedAt ?? "-",
    durationMs === undefined ? "-" : durationText(durationMs),
    from ?? "(sealed)",
    to ?? "(sealed)",
    Object.hasOwn(VERDICT_TEXTS, state)
      ? VERDICT_TEXTS[state as keyof typeof VERDICT_TEXTS]
      : state,
  ]);
  return tableText([head, ...cells]);
}

/** One recording: its call, its verdict, and what became of every packet. */
export function showText(
  metadata: Metadata | undefined,
  report: Completeness,
  durationMs: number,
): string {
  const gaps = report.verdict.kind === "complete-with-gaps" ? report.verdict.gaps : [];
  const lines = factsText([
    ["Recording", report.recording],
    ["Verdict", verdictText(report.verdict)],
    ...gaps.map((gap): Fact => ["", `- ${gap}`]),
    ...(metadata === undefined ? [] : callFacts(metadata)),
    ["Begun", metadata?.recording.startedAt ?? report.startedAt],
    ["Ended", `${report.endedAt}, ${report.reason}`],
    ["Duration", durationText(durationMs)],
  ]);
  return report.streams.length === 0 ? lines : `${lines}\n${countsText(report.streams)}`;
}

/** A recording that has no end yet, as far as its beginning tells. */
export function showOpenText(metadata: Metadata): string {
  return factsText([
    ["Recording", metadata.recording.id],
    ["Verdict", "none yet: still open"],
    ...callFacts(metadata),
    ["Begun", metadata.recording.startedAt],
  ]);
}

/** Hours only where there are some: `0:07.3`, `1:02:03.0`. */
export function durationText(durationMs: number): string {
  const tenths = Math.round(durationMs / 100);
  const [hours, minutes] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60];
  const seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours === 0
    ? `${minutes}:${seconds}`
    : `${hours}:${String(minutes).padStart(2, "0")}:${seconds}`;
}

/** Columns as wide as their widest cell. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

type Fact = readonly [name: string, value: string];

function factsText(facts: readonly Fact[]): string {
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  return facts.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join("");
}

function callFacts({ session, participants, streams }: Metadata): readonly Fact[] {
  return [
    ...participants.map(({ id, nameId }): Fact => [id === "caller" ? "From" : "To", nameId]),
    ["Call-ID", session.callId],
    ...(session.linked === undefined ? [] : [["Goes on from", session.linked] as const]),
    ...streams.map(({ label, media, destination, payloads, protection }): Fact => {
      const codecs = payloads.map(({ codec }) => codec).join(", ");
      const suite = protection.suite ?? (protection.kind === "rtp" ? "not encrypted" : "no key");
      const to = `${destination.address}:${destination.port}`;
      return ["Stream", `${label} ${media} to ${to}, ${codecs}, ${suite}`];
    }),
  ];
}

const COLUMNS = [
  "admitted",
  "captured",
  "authentic",
  "clear",
  "stored",
  "refused",
  "no key",
  "apart",
];

function countsText(streams: readonly StreamReport[]): string {
  const rows = streams.flatMap((stream) => [
    [`${stream.label} RTP`, ...countCells(stream.rtp), `${stream.lost}`],
    [`${stream.label} RTCP`, ...countCells(stream.rtcp), ""],
  ]);
  return tableText([["Packets", ...COLUMNS, "lost on the way"], ...rows]);
}

function countCells(port: PortCounts): readonly string[] {
  const refused = Object.values(port.rejected).reduce((sum, each) => sum + each, 0);
  const { captured, authenticated, clear, stored, undecrypted, keptApart } = port;
  const admitted = port.admitted === null ? "unknown" : `${port.admitted}`;
  const rest = [captured, authenticated, clear, stored, refused, undecrypted, keptApart];
  return [admitted, ...rest.map(String)];
}
