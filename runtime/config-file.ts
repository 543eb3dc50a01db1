/**
 * Reads a program's one TOML file and reports every fault at once, each with its path and line.
 * Touches that file only; paths inside it are relative to its folder (`ConfigPath`).
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import type { z } from "zod";
import { lineOfTomlPath } from "./toml-lines.ts";

/** Exit code of a program whose configuration is wrong (EX_CONFIG of sysexits.h). */
export const EXIT_CONFIG = 78;

export interface ConfigFault {
  /** Dotted, `listen[1].port`; empty for the file as a whole. */
  readonly path: string;
  readonly line?: number;
  readonly message: string;
}

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "ERR_CONFIG";
  readonly file: string;
  readonly faults: readonly ConfigFault[];

  constructor(file: string, faults: readonly ConfigFault[]) {
    super(faults.map((fault) => describeFault(file, fault)).join("\n"));
    this.file = file;
    this.faults = faults;
  }
}

/** @throws ConfigError with all faults: the file cannot be read, is not TOML, or does not fit. */
export function readConfig<T>(file: string, schema: z.ZodType<T>): T {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(file, [{ path: "", message: `cannot be read: ${reason(cause)}` }]);
  }
  return parseConfig(text, schema, file);
}

/** As `readConfig`, of a text; `file` is only named in faults. */
export function parseConfig<T>(text: string, schema: z.ZodType<T>, file = "config"): T {
  let table: unknown;
  try {
    table = parseToml(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const message = cause.message.split("\n", 1)[0] ?? "not TOML";
    throw new ConfigError(file, [{ path: "", line: cause.line, message }]);
  }
  const result = schema.safeParse(table);
  if (result.success) return result.data;
  throw new ConfigError(
    file,
    result.error.issues.flatMap((issue) => faultsOf(issue, text)),
  );
}

/** A path named in a config file, relative to that file. */
export function resolveConfigPath(file: string, path: string): string {
  return resolve(dirname(file), path);
}

/** The faults with the line of each, found later than by the schema. */
export function locateFaults(text: string, faults: readonly ConfigFault[]): readonly ConfigFault[] {
  return faults.map((found) => {
    const path = found.path.split(/[.[\]]+/).filter((part) => part !== "");
    const line = lineOfTomlPath(text, path);
    return line === undefined ? found : { ...found, line };
  });
}

function faultsOf(issue: z.core.$ZodIssue, text: string): readonly ConfigFault[] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => fault([...issue.path, key], "unknown key", text));
  return [fault(issue.path, issue.message, text)];
}

function fault(path: readonly PropertyKey[], message: string, text: string): ConfigFault {
  const line = lineOfTomlPath(text, path);
  return { path: dotted(path), message, ...(line === undefined ? {} : { line }) };
}

function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
}

function describeFault(file: string, { path, line, message }: ConfigFault): string {
  const place = line === undefined ? file : `${file}:${line}`;
  return path === "" ? `${place}: ${message}` : `${place}: ${path}: ${message}`;
}

function reason(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code ?? String(cause);
}
