/**
 * `controller.toml`: where the proxy listens, whom it serves, whose bodies it opens and which media
 * it lets through. Pure. Secrets and certificates are named by file; paths are as written,
 * `resolveConfigPath` makes them relative to the config file.
 */
import { z } from "zod";
import { MIN_MEDIA_PORT } from "../protocol/net/address.ts";
import { LOG_LEVELS } from "../runtime/logger.ts";
import { processSchema } from "../runtime/rights.ts";

const DEFAULT_APPLY_TIMEOUT_MS = 2000;
const MAX_APPLY_TIMEOUT_MS = 30_000; // an INVITE that waits longer has lost its caller

const UNSPECIFIED: readonly string[] = ["0.0.0.0", "::"];

const port = z.int().min(1).max(65_535);
const mediaPort = z.int().min(MIN_MEDIA_PORT).max(65_535);
const path = z.string().min(1);
const transport = z.enum(["tcp", "tls"]);
const address = z.union([z.ipv4(), z.ipv6()], "not an IP address");
const prefix = z.union([z.cidrv4(), z.cidrv6()], "not a prefix such as 10.10.0.0/24");
const domain = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, "not a domain name");
const aor = z
  .string()
  .regex(
    /^sip:[^@\s<>;?:"]+@[a-z0-9.-]+$/,
    "not an address of record such as sip:alice@example.com",
  );

const credentials = { certificate: path, key: path, anchors: z.array(path).min(1) };

const user = z.strictObject({
  aor,
  /** File with the SHA-256 of `user:realm:password`, 64 hex digits: the user may use digest. */
  ha1: path.optional(),
  /** Where his media may come from beside the address that his signalling comes from. */
  addresses: z.array(address).default([]),
});

const media = z.strictObject({
  /** Networks behind the gateway: the only ones whose users may open holes. */
  protectedPrefixes: z.array(prefix).min(1),
  ports: z
    .tuple([mediaPort, mediaPort])
    .refine(([lowest, highest]) => lowest < highest, "the first port is not below the second"),
  /** The gateway's own addresses beside those it listens on: never a place for media. */
  gatewayAddresses: z.array(address).default([]),
});

const recording = z.strictObject({
  /** Ed25519 private key, PEM: signs the orders. */
  orderKey: path,
  /** X25519 public key of the recorder, PEM: the orders are sealed to it. */
  recorder: path,
  /** Whether a call that the recorder will not take is refused. */
  required: z.boolean().default(true),
});

/** Written into Via and Record-Route: others must be able to reach us by it. */
const ownAddress = address.refine(
  (text) => !UNSPECIFIED.includes(text),
  "names no one interface, and others must find us by it",
);
const listener = z.strictObject({ transport, address: ownAddress, port });
const route = z.strictObject({ domain, transport, address, port });

const shape = z.strictObject({
  /** The proxy's own host name, as in its certificate and in inspection labels. */
  name: domain,
  domains: z.array(domain).min(1),
  process: processSchema.optional(),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default("info") }).prefault({}),
  tls: z.strictObject(credentials).optional(),
  listen: z.array(listener).min(1),
  /** Where calls to other domains go; the same addresses may send us requests. */
  route: z.array(route).default([]),
  user: z.array(user).default([]),
  body: z.strictObject(credentials),
  agent: z.strictObject({
    socket: path,
    applyTimeoutMs: z.int().min(1).max(MAX_APPLY_TIMEOUT_MS).default(DEFAULT_APPLY_TIMEOUT_MS),
  }),
  media,
  recording: recording.optional(),
});

/** The controller's configuration, defaults filled in. */
export type ControllerConfig = z.infer<typeof shape>;

/** Refuses unknown keys, and what contradicts itself from one table to another; all at once. */
export const controllerSchema = shape.superRefine(
  (config, context) => {
    for (const { path, message } of contradictions(config))
      context.addIssue({ code: "custom", path: [...path], message });
  },
  { when: ({ value }) => typeof value === "object" && value !== null },
);

interface Contradiction {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Looks at the tables that are right by themselves, whatever is wrong with the others. */
function contradictions(config: Partial<ControllerConfig>): readonly Contradiction[] {
  const listeners = sound(z.array(listener), config.listen);
  const routes = sound(z.array(route), config.route);
  const users = sound(z.array(user), config.user);
  const domains = sound(z.array(domain), config.domains);
  const usesTls = [...listeners, ...routes].some((row) => row.transport === "tls");
  const ownDomain = (name: string) => domains.includes(name);
  const listensTo = (name: string) => listeners.some((row) => row.transport === name);
  return [
    ...(usesTls && config.tls === undefined
      ? [{ path: ["tls"], message: "missing, and a listener or route uses tls" }]
      : []),
    ...repeated(listeners, "listen", (row) => `${row.transport} ${row.address} ${row.port}`),
    ...repeated(routes, "route", (row) => row.domain),
    ...repeated(users, "user", (row) => row.aor),
    ...where(routes, ({ domain }) => ownDomain(domain), {
      path: ["route", "domain"],
      message: "is one of our own domains",
    }),
    ...where(routes, ({ transport }) => listeners.length > 0 && !listensTo(transport), {
      path: ["route", "transport"],
      message: "no listener has this transport",
    }),
    ...where(users, ({ aor }) => domains.length > 0 && !ownDomain(aor.split("@")[1] ?? ""), {
      path: ["user", "aor"],
      message: "is in none of our domains",
    }),
  ];
}

function sound<Row>(schema: z.ZodType<readonly Row[]>, value: unknown): readonly Row[] {
  const result = schema.safeParse(value);
  return result.success ? result.data : [];
}

function where<Row>(
  rows: readonly Row[],
  isWrong: (row: Row) => boolean,
  { path: [table, key], message }: { path: readonly [string, string]; message: string },
): readonly Contradiction[] {
  return rows.flatMap((row, index) =>
    isWrong(row) ? [{ path: [table, index, key], message }] : [],
  );
}

function repeated<Row>(
  rows: readonly Row[],
  table: string,
  identify: (row: Row) => string,
): readonly Contradiction[] {
  const seen = new Set<string>();
  return rows.flatMap((row, index) => {
    const identity = identify(row);
    if (seen.has(identity)) return [{ path: [table, index], message: "stands there twice" }];
    seen.add(identity);
    return [];
  });
}
