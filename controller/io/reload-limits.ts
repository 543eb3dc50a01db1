/**
 * What a running controller takes from a configuration that it reads again, and what only a start
 * can change. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "../../runtime/config-file.ts";
import type { ControllerConfig } from "../config.ts";

/** What a running controller cannot change. */
const FIXED_TABLES = [
  "name",
  "listen",
  "timers",
  "limits",
  "registrar",
  "state",
  "digest",
  "dns",
  "agent",
  "process",
  "log",
] as const satisfies readonly (keyof ControllerConfig)[];

/** What comes or goes only at a start. */
const STARTED_PARTS = [
  { path: "agent", message: "a gateway comes or goes only at a start" },
  { path: "authority", message: "an authority comes or goes only at a start" },
] as const;

export interface ReloadedConfig {
  /** The new one, with what cannot change as it was. */
  readonly config: ControllerConfig;
  /** Keys of what takes effect at the next start. */
  readonly waiting: readonly string[];
}

/** @throws ConfigError where a part of the controller would come or go. */
export function reloadedConfig(
  file: string,
  config: ControllerConfig,
  before: ControllerConfig,
): ReloadedConfig {
  const faults = STARTED_PARTS.filter(
    ({ path }) => (config[path] === undefined) !== (before[path] === undefined),
  );
  if (faults.length > 0) throw new ConfigError(file, faults);
  const kept = Object.fromEntries(FIXED_TABLES.map((table) => [table, before[table]]));
  const changed = FIXED_TABLES.filter((table) => !isDeepStrictEqual(config[table], before[table]));
  const isMoved = config.authority?.database !== before.authority?.database;
  return {
    config: { ...config, ...kept },
    waiting: [...changed, ...(isMoved ? ["authority.database"] : [])],
  };
}
