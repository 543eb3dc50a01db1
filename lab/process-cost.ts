/** What a program and all processes under it cost the machine, from /proc. */
import { readdirSync, readFileSync } from "node:fs";

/** `sysconf(_SC_CLK_TCK)` of every Linux that we run on. */
const TICKS_PER_SECOND = 100;
/** Fields of /proc/PID/stat, counted from the one after the name (proc(5)). */
const [PARENT, USER_TICKS, SYSTEM_TICKS] = [1, 11, 12];

interface Row {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** CPU milliseconds, user and system, that the program and its descendants have used so far. */
export function cpuMs(pid: number): number {
  const rows = readRows();
  const ticks = familyOf(pid, rows).reduce((sum, row) => sum + row.ticks, 0);
  return (ticks * 1000) / TICKS_PER_SECOND;
}

/** Resident memory of the program itself. @throws Error it has ended. */
export function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const kb = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return Math.round(kb / 102.4) / 10;
}

function familyOf(pid: number, rows: readonly Row[]): readonly Row[] {
  const own = rows.filter((row) => row.pid === pid);
  const children = rows.filter(({ parent }) => parent === pid);
  return [...own, ...children.flatMap((child) => familyOf(child.pid, rows))];
}

function readRows(): readonly Row[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readStat(name);
      if (stat === undefined) return [];
      const field = (index: number): number => Number(stat[index]);
      const ticks = field(USER_TICKS) + field(SYSTEM_TICKS);
      return [{ pid: Number(name), parent: field(PARENT), ticks }];
    });
}

/** The name in brackets may hold anything. */
function readStat(pid: string): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // it ended meanwhile
  }
}
