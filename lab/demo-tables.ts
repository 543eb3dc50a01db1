/** The demo's two tables as text. Pure. */
import type { CallFigures } from "./demo-report.ts";
import type { MediaFigures } from "./media-figures.ts";
import {
  COLUMNS,
  DIRECTIONS,
  type MatrixColumn,
  type MatrixDirection,
  PHASES,
  type Phase,
  type PinholeMatrix,
} from "./pinhole-matrix.ts";

const COLUMN_TITLES: Readonly<Record<MatrixColumn, string>> = {
  rtp: "RTP",
  rtcp: "RTCP",
  portPlus2: "port+2",
  rtpFromOtherPort: "RTP*",
  rtcpFromOtherPort: "RTCP*",
};
const DIRECTION_TITLES: Readonly<Record<MatrixDirection, string>> = {
  bobToAlice: "bob → alice",
  strangerToAlice: "stranger → alice",
  aliceToBob: "alice → bob",
  aliceToStranger: "alice → stranger",
};
const PHASE_TITLES: Readonly<Record<Phase, string>> = {
  beforeCall: "before",
  afterInvite: "after INVITE",
  afterAnswer: "after answer",
  afterBye: "after BYE",
};

/** Rows of equal width: what did the test packets of each phase do. */
export function matrixTable(pinholes: Readonly<Record<Phase, PinholeMatrix>>): string {
  const cells = (phase: Phase, direction: MatrixDirection): string[] =>
    COLUMNS.map((column) => (pinholes[phase][direction][column] ? "passes" : "·"));
  const rows = PHASES.flatMap((phase) =>
    DIRECTIONS.map((direction, index) => [
      index === 0 ? PHASE_TITLES[phase] : "",
      DIRECTION_TITLES[direction],
      ...cells(phase, direction),
    ]),
  );
  const head = ["", "test packet", ...COLUMNS.map((column) => COLUMN_TITLES[column])];
  return `${table([head, ...rows])}\n* from another source port    · dropped at the gateway`;
}

/** Columns as wide as their widest cell; numbers stand to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  const pad = (cell: string, column: number): string =>
    /^\d[\d,]*$/.test(cell) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

const MEDIA_TITLES: Readonly<Record<keyof MediaFigures, string>> = {
  sent: "sent",
  admitted: "admitted",
  captured: "captured",
  authenticated: "authentic",
  stored: "stored",
  probes: "test packets",
  keptApart: "kept apart",
};

/** One row a direction of each call. */
export function mediaTable(calls: Readonly<Record<string, CallFigures["media"]>>): string {
  const fields = Object.keys(MEDIA_TITLES) as (keyof MediaFigures)[];
  const rows = Object.entries(calls).flatMap(([name, media]) => [
    [name, "alice → bob", ...fields.map((field) => String(media.aliceToBob[field]))],
    ["", "bob → alice", ...fields.map((field) => String(media.bobToAlice[field]))],
  ]);
  const head = ["", "RTP packets", ...fields.map((field) => MEDIA_TITLES[field])];
  const sources = ["", "counted by", "phone", "kernel", "recorder", "recorder", "recorder", "lab"];
  return table([head, [...sources, "recorder"], ...rows]);
}
