/**
 * Structured logs on stdout, one JSON object a line (pino). Only io and main log.
 * A `Secret` prints its length only; octets are never an argument.
 */
import { type Logger, pino } from "pino";

export type { Logger };

export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Writes synchronously: a line must not be lost when the process is killed right after it. */
export function createLogger(program: string, level: LogLevel): Logger {
  return pino(
    {
      level,
      base: { program, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 1, sync: true }),
  );
}
