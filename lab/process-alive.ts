/** Whether a process runs, from /proc. */
import { readFileSync } from "node:fs";

/** A zombie counts as dead: nobody may be there to reap it. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}
