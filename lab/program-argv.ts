/**
 * The command line of a program that will become another user, wherever the project lies.
 * Reads the modes of the project's folders.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { KEYHOLE, REPOSITORY } from "./site.ts";

/** Where the project appears to programs whose user could not reach it where it lies. */
const MOUNT_POINT = "/mnt";
const OTHERS_MAY_ENTER = 0o001;

/**
 * `keyhole` with these arguments. A project under a folder that only root enters (such as /root) is
 * mounted elsewhere first, in private mounts of that one process. Start it in `/`: it may not enter
 * the folder that this process is in.
 */
export function programArgv(args: readonly string[]): readonly [string, ...string[]] {
  if (isReachableByAll(REPOSITORY)) return [process.execPath, KEYHOLE, ...args];
  const moved = (path: string): string => path.replace(REPOSITORY, MOUNT_POINT);
  const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
  const command = [moved(process.execPath), moved(KEYHOLE), ...args];
  return ["unshare", "--mount", "sh", "-c", script, REPOSITORY, MOUNT_POINT, ...command];
}

function isReachableByAll(path: string): boolean {
  if ((statSync(path).mode & OTHERS_MAY_ENTER) === 0) return false;
  return path === dirname(path) || isReachableByAll(dirname(path));
}
