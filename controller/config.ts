/**
 * `controller.toml`: where the proxy listens, whom it serves, whose bodies it opens and which media
 * it lets through. Pure. Secrets and certificates are named by file; paths are as written,
 * `resolveConfigPath` makes them relative to the config file.
 */
import { z } from "zod";
import { LOG_LEVELS } from "../runtime/logger.ts";
import { processSchema } from "../runtime/rights.ts";
import { authoritySchema } from "./config-authority.ts";
import { contradictions } from "./config-contradictions.ts";
import {
  address,
  aor,
  count,
  domain,
  mediaPort,
  ownAddress,
  path,
  port,
  prefix,
  transport,
} from "./config-values.ts";

const DEFAULT_APPLY_TIMEOUT_MS = 2000;
const MAX_APPLY_TIMEOUT_MS = 30_000; // an INVITE that waits longer has lost its caller
/** Timer C is more than three minutes (RFC 3261 §16.6 item 11). */
const MIN_TIMER_C_MS = 180_001;
/** RFC 4028 §4. */
export const MIN_SESSION_EXPIRES_S = 90;

const credentials = { certificate: path, key: path, anchors: z.array(path).min(1) };

/** One user, here and in a file of users. */
export const userSchema = z.strictObject({
  aor,
  /** File with the SHA-256 of `user:realm:password` in hex, MD5 on another line: he may use digest. */
  ha1: path.optional(),
  /** File with 16 or 32 octets in hex: his registrations may be sealed under them. */
  sharedKey: path.optional(),
  /** Where his media may come from beside the address that his signalling comes from. */
  addresses: z.array(address).default([]),
  /** Plain SDP from or to him is refused. */
  requireSealed: z.boolean().default(false),
  /** Whether his calls must be recorded; absent: as `recording.required` says. */
  record: z.boolean().optional(),
  /** Whom he may call: addresses of record in which `*` stands for anything. Absent: everybody. */
  mayCall: z.array(z.string().min(1)).optional(),
  /** Calls at one time. */
  maxCalls: count.default(10),
});

const passOrRefuse = z.enum(["pass", "refuse"]);

const media = z.strictObject({
  /** Networks behind the gateway: the only ones whose users may open holes. */
  protectedPrefixes: z.array(prefix).min(1),
  ports: z
    .tuple([mediaPort, mediaPort])
    .refine(([lowest, highest]) => lowest < highest, "the first port is not below the second"),
  /** The gateway's own addresses beside those it listens on: never a place for media. */
  gatewayAddresses: z.array(address).default([]),
  /** Streams that need no hole of ours, such as those over TCP: the offer passes, or is refused. */
  otherMedia: passOrRefuse.default("pass"),
  /** Streams under keys that the recorder cannot use: let through and kept as captured, or refused. */
  undecryptable: passOrRefuse.default("refuse"),
});

const recording = z.strictObject({
  /** Ed25519 private key, PEM: signs the orders. */
  orderKey: path,
  /** X25519 public key of the recorder, PEM: the orders are sealed to it. */
  recorder: path,
  /** Whether a call that the recorder will not take is refused. */
  required: z.boolean().default(true),
  /** Certificate that phones seal their media keys for as well, handed out with theirs. */
  certificate: path.optional(),
});

const listener = z.strictObject({
  transport,
  address: ownAddress,
  port,
  /** Of a TLS listener; `request`: who shows none may still have a password. */
  clientCertificates: z.enum(["none", "request", "require"]).optional(),
});

const route = z.strictObject({
  /** Calls to this domain go there. */
  domain,
  transport,
  /** Where: an address, or a name for DNS (RFC 3263). */
  address: address.optional(),
  host: domain.optional(),
  /** Absent: by SRV, or the transport's own. */
  port: port.optional(),
  /** URIs of TLS certificates, one of which whoever sends from there must show. */
  identities: z.array(z.string().min(1)).default([]),
  from: z.array(prefix).default([]),
  /** Whom it may call: own `users`, or domains of other routes. */
  to: z.array(z.union([z.literal("users"), domain])).default(["users"]),
  /** In the same trust domain: P-Asserted-Identity passes both ways (RFC 3325). */
  trusted: z.boolean().default(false),
});

const timers = z.strictObject({
  t1Ms: z.int().min(50).max(5_000).default(500),
  t2Ms: z.int().min(100).max(40_000).default(4_000),
  t4Ms: z.int().min(100).max(50_000).default(5_000),
  timerCMs: z.int().min(MIN_TIMER_C_MS).default(200_000),
});

const registrar = z
  .strictObject({
    minExpiresS: z.int().min(1).default(60),
    maxExpiresS: z.int().min(1).default(7_200),
    defaultExpiresS: z.int().min(1).default(3_600),
    /** Contacts of one user at a time. */
    maxContacts: count.max(64).default(10),
  })
  .refine(
    ({ minExpiresS, defaultExpiresS, maxExpiresS }) =>
      minExpiresS <= defaultExpiresS && defaultExpiresS <= maxExpiresS,
    "minExpiresS, defaultExpiresS, maxExpiresS do not rise",
  );

const digest = z.strictObject({
  /** In the order offered (RFC 8760 §2.3). */
  algorithms: z
    .array(z.enum(["SHA-256", "MD5"]))
    .min(1)
    .default(["SHA-256"]),
  nonceLifetimeS: z.int().min(10).max(86_400).default(300),
});

const sessionTimer = z
  .strictObject({
    expiresS: z.int().min(MIN_SESSION_EXPIRES_S).default(1_800),
    minSeS: z.int().min(MIN_SESSION_EXPIRES_S).default(MIN_SESSION_EXPIRES_S),
  })
  .refine(({ expiresS, minSeS }) => minSeS <= expiresS, "minSeS is above expiresS");

const limits = z.strictObject({
  calls: count.default(10_000),
  /** 64*T1 of all that comes: at 1000 calls/s some 100,000. */
  transactions: count.default(100_000),
  /** Messages from one address in the long run; more are dropped. Absent: no such limit. */
  requestsPerSecond: count.optional(),
  /** New calls get 503 while the event loop lags behind by more. */
  eventLoopLagMs: z.int().min(10).default(500),
});

const shape = z.strictObject({
  /** The proxy's own host name, as in its certificate and in inspection labels. */
  name: domain,
  domains: z.array(domain).min(1),
  process: processSchema.optional(),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default("info") }).prefault({}),
  tls: z.strictObject(credentials).optional(),
  listen: z.array(listener).min(1),
  /** Other domains: where calls to them go, and who may send from there. */
  route: z.array(route).default([]),
  user: z.array(userSchema).default([]),
  /** More users: a TOML file of `[[user]]`, or the table `users` of a SQLite database. */
  users: z.strictObject({ file: path.optional(), database: path.optional() }).optional(),
  timers: timers.prefault({}),
  registrar: registrar.prefault({}),
  digest: digest.prefault({}),
  /** Absent: intervals are watched, none is asked for (RFC 4028 §8). */
  sessionTimer: sessionTimer.optional(),
  /** Registrations and calls outlive a crash here. */
  state: z.strictObject({ database: path }).optional(),
  emergency: z
    .strictObject({
      /** What users dial, beside `urn:service:sos`. */
      numbers: z.array(z.string().regex(/^[\d*#+]{1,16}$/, "not a number to dial")).default([]),
      /** Domain of the route that takes these calls. */
      route: domain,
    })
    .optional(),
  dns: z
    .strictObject({
      /** Empty: those of the system. */
      servers: z.array(address).default([]),
      /** Whether users may call any domain that DNS knows, beside the routes. */
      anyDomain: z.boolean().default(false),
    })
    .optional(),
  limits: limits.prefault({}),
  /** Absent: nobody is certified. */
  authority: authoritySchema.optional(),
  /** Bodies are sealed for it: with the next two, with `authority`, or with all of them. */
  body: z.strictObject(credentials).optional(),
  /** `body`, `agent` and `media` together, or it is a plain proxy that opens nothing. */
  agent: z
    .strictObject({
      socket: path,
      applyTimeoutMs: z.int().min(1).max(MAX_APPLY_TIMEOUT_MS).default(DEFAULT_APPLY_TIMEOUT_MS),
    })
    .optional(),
  media: media.optional(),
  recording: recording.optional(),
});

/** The controller's configuration, defaults filled in. */
export type ControllerConfig = z.infer<typeof shape>;

/** Refuses unknown keys, and what contradicts itself from one table to another; all at once. */
export const controllerSchema = shape.superRefine(
  (config, context) => {
    for (const { path, message } of contradictions(config, {
      listener,
      route,
      user: userSchema,
      domain,
    }))
      context.addIssue({ code: "custom", path: [...path], message });
  },
  { when: ({ value }) => typeof value === "object" && value !== null },
);

export type ListenerRow = z.infer<typeof listener>;
export type RouteRow = z.infer<typeof route>;
export type UserRow = z.infer<typeof userSchema>;
