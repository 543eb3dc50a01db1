/**
 * What test packets did at one moment of a call: every sender, port and direction that matters.
 */
import type { Flow, Probes } from "./probe.ts";
import { LEAVES, STRANGER_ADDRESS } from "./topology.ts";

export interface MediaPorts {
  /** RTP; RTCP is the next. */
  readonly alice: number;
  readonly bob: number;
}

export const DIRECTIONS = [
  "bobToAlice",
  "strangerToAlice",
  "aliceToBob",
  "aliceToStranger",
] as const;
export type MatrixDirection = (typeof DIRECTIONS)[number];
export const COLUMNS = [
  "rtp",
  "rtcp",
  "portPlus2",
  "rtpFromOtherPort",
  "rtcpFromOtherPort",
] as const;
export type MatrixColumn = (typeof COLUMNS)[number];

/** True where the packet arrived beyond the gateway. */
export type PinholeMatrix = Readonly<
  Record<MatrixDirection, Readonly<Record<MatrixColumn, boolean>>>
>;

export const PHASES = ["beforeCall", "afterInvite", "afterAnswer", "afterBye"] as const;
export type Phase = (typeof PHASES)[number];

/** How far another source port lies from the usual one. */
const OTHER_PORT_OFFSET = 1000;
const COLUMN_PORTS: Readonly<Record<MatrixColumn, { to: number; from: number }>> = {
  rtp: { to: 0, from: 0 },
  rtcp: { to: 1, from: 1 },
  portPlus2: { to: 2, from: 0 },
  rtpFromOtherPort: { to: 0, from: OTHER_PORT_OFFSET },
  rtcpFromOtherPort: { to: 1, from: OTHER_PORT_OFFSET },
};
const OPEN = { rtp: true, rtcp: true, portPlus2: false, ...otherPorts(true) };
const SHUT = { rtp: false, rtcp: false, portPlus2: false, ...otherPorts(false) };
const ALL_SHUT: PinholeMatrix = {
  bobToAlice: SHUT,
  strangerToAlice: SHUT,
  aliceToBob: SHUT,
  aliceToStranger: SHUT,
};

/** What the design promises: pinholes are by address, so a source port decides nothing. */
export const PROMISED: Readonly<Record<Phase, PinholeMatrix>> = {
  beforeCall: ALL_SHUT,
  afterInvite: { ...ALL_SHUT, bobToAlice: OPEN, strangerToAlice: OPEN },
  afterAnswer: { ...ALL_SHUT, bobToAlice: OPEN, aliceToBob: OPEN },
  afterBye: ALL_SHUT,
};

/** Sends one packet for every cell. */
export async function probeMatrix(probes: Probes, ports: MediaPorts): Promise<PinholeMatrix> {
  const cells = DIRECTIONS.flatMap((direction) =>
    COLUMNS.map((column) => ({ direction, column, flow: flowOf(direction, column, ports) })),
  );
  const passed = await probes.try(cells.map(({ flow }) => flow));
  const arrived = (direction: MatrixDirection, column: MatrixColumn): boolean =>
    passed[cells.findIndex((cell) => cell.direction === direction && cell.column === column)] ===
    true;
  const row = (direction: MatrixDirection): PinholeMatrix[MatrixDirection] =>
    Object.fromEntries(
      COLUMNS.map((column) => [column, arrived(direction, column)]),
    ) as PinholeMatrix[MatrixDirection];
  return {
    bobToAlice: row("bobToAlice"),
    strangerToAlice: row("strangerToAlice"),
    aliceToBob: row("aliceToBob"),
    aliceToStranger: row("aliceToStranger"),
  };
}

/** How many of these columns' packets passed toward a phone. */
export function countPassed(
  matrix: PinholeMatrix,
  toward: keyof MediaPorts,
  component: "rtp" | "rtcp",
): number {
  const columns: MatrixColumn[] =
    component === "rtp" ? ["rtp", "rtpFromOtherPort"] : ["rtcp", "rtcpFromOtherPort"];
  const directions: MatrixDirection[] =
    toward === "alice" ? ["bobToAlice", "strangerToAlice"] : ["aliceToBob"];
  return directions.flatMap((direction) => columns.filter((column) => matrix[direction][column]))
    .length;
}

export function isMatrixAsPromised(phase: Phase, matrix: PinholeMatrix): boolean {
  return DIRECTIONS.every((direction) =>
    COLUMNS.every((column) => matrix[direction][column] === PROMISED[phase][direction][column]),
  );
}

function flowOf(direction: MatrixDirection, column: MatrixColumn, ports: MediaPorts): Flow {
  const offset = COLUMN_PORTS[column];
  const alice = LEAVES.alice.address;
  const far = direction.includes("tranger") ? STRANGER_ADDRESS : LEAVES.bob.address;
  return direction.startsWith("alice")
    ? {
        fromHost: "alice",
        from: { address: alice, port: ports.alice + offset.from },
        to: { address: far, port: ports.bob + offset.to },
      }
    : {
        fromHost: "bob",
        from: { address: far, port: ports.bob + offset.from },
        to: { address: alice, port: ports.alice + offset.to },
      };
}

function otherPorts<T>(passes: T): { rtpFromOtherPort: T; rtcpFromOtherPort: T } {
  return { rtpFromOtherPort: passes, rtcpFromOtherPort: passes };
}
