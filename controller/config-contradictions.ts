/**
 * What contradicts itself from one table of `controller.toml` to another. Pure.
 * Looks at the tables that are right by themselves, whatever is wrong with the others.
 */
import { z } from "zod";
import { authorityFaults, type CertifiedUser, isGatewayNamed } from "./config-authority.ts";
import {
  type Contradiction,
  fault,
  fieldOf,
  repeated,
  type Tables,
  where,
} from "./config-faults.ts";

interface Listener {
  readonly transport: string;
  readonly address: string;
  readonly port: number;
  readonly clientCertificates?: string | undefined;
}

interface Route {
  readonly domain: string;
  readonly transport: string;
  readonly address?: string | undefined;
  readonly host?: string | undefined;
  readonly identities: readonly string[];
  readonly to: readonly string[];
}

interface User extends CertifiedUser {
  readonly aor: string;
}

/** How the rows of the tables look when they are sound. */
export interface RowSchemas {
  readonly listener: z.ZodType<Listener>;
  readonly route: z.ZodType<Route>;
  readonly user: z.ZodType<User>;
  readonly domain: z.ZodType<string>;
}

export function contradictions(config: Tables, rows: RowSchemas): readonly Contradiction[] {
  const listeners = sound(z.array(rows.listener), config["listen"]);
  const routes = sound(z.array(rows.route), config["route"]);
  const users = sound(z.array(rows.user), config["user"]);
  const domains = sound(z.array(rows.domain), config["domains"]);
  return [
    ...tlsFaults(config, listeners, routes),
    ...listenerFaults(listeners),
    ...routeFaults(routes, listeners, domains, config["dns"] !== undefined),
    ...userFaults(config, users, domains),
    ...emergencyFaults(config, routes),
    ...gatewayFaults(config),
    ...authorityFaults(config, users, domains),
  ];
}

function tlsFaults(config: Tables, listeners: readonly Listener[], routes: readonly Route[]) {
  const usesTls = [...listeners, ...routes].some((row) => row.transport === "tls");
  return fault(
    usesTls && config["tls"] === undefined,
    ["tls"],
    "missing, and a listener or route uses tls",
  );
}

function listenerFaults(listeners: readonly Listener[]): readonly Contradiction[] {
  return [
    ...repeated(listeners, "listen", (row) => `${row.transport} ${row.address} ${row.port}`),
    ...where(listeners, (row) => row.clientCertificates !== undefined && row.transport !== "tls", {
      path: ["listen", "clientCertificates"],
      message: "only a tls listener sees certificates",
    }),
  ];
}

function routeFaults(
  routes: readonly Route[],
  listeners: readonly Listener[],
  domains: readonly string[],
  dns: boolean,
): readonly Contradiction[] {
  const known = new Set(["users", ...routes.map((row) => row.domain)]);
  const listensTo = (name: string) => listeners.some((row) => row.transport === name);
  return [
    ...repeated(routes, "route", (row) => row.domain),
    ...where(routes, ({ domain }) => domains.includes(domain), {
      path: ["route", "domain"],
      message: "is one of our own domains",
    }),
    ...where(routes, ({ transport }) => listeners.length > 0 && !listensTo(transport), {
      path: ["route", "transport"],
      message: "no listener has this transport",
    }),
    ...where(routes, ({ address, host }) => (address === undefined) === (host === undefined), {
      path: ["route", "address"],
      message: "either address or host says where it is",
    }),
    ...where(routes, ({ host }) => host !== undefined && !dns, {
      path: ["route", "host"],
      message: "a name needs the table dns",
    }),
    ...where(routes, ({ identities, transport }) => identities.length > 0 && transport !== "tls", {
      path: ["route", "identities"],
      message: "only over tls does anybody show an identity",
    }),
    ...where(routes, ({ to }) => to.some((name) => !known.has(name)), {
      path: ["route", "to"],
      message: "names a domain without a route",
    }),
  ];
}

function userFaults(
  config: Tables,
  users: readonly User[],
  domains: readonly string[],
): readonly Contradiction[] {
  const source = config["users"];
  const both = fieldOf(source, "file") !== undefined && fieldOf(source, "database") !== undefined;
  return [
    ...repeated(users, "user", (row) => row.aor),
    ...where(users, ({ aor }) => domains.length > 0 && !domains.includes(aor.split("@")[1] ?? ""), {
      path: ["user", "aor"],
      message: "is in none of our domains",
    }),
    ...fault(both, ["users"], "either a file or a database"),
  ];
}

function emergencyFaults(config: Tables, routes: readonly Route[]): readonly Contradiction[] {
  const named = fieldOf(config["emergency"], "route");
  return fault(
    typeof named === "string" && !routes.some(({ domain }) => domain === named),
    ["emergency", "route"],
    "names a domain without a route",
  );
}

const TOGETHER = ["body", "agent", "media"];

/** A gateway is opened by all of them, or there is none; an authority needs `body` alone. */
function gatewayFaults(config: Tables): readonly Contradiction[] {
  const has = (table: string) => config[table] !== undefined;
  if (!isGatewayNamed(config) && (!has("body") || has("authority"))) return [];
  return TOGETHER.filter((table) => !has(table)).map((table) => ({
    path: [table],
    message: "missing; body, agent and media come together or, with recording, not at all",
  }));
}

function sound<Row>(schema: z.ZodType<readonly Row[]>, value: unknown): readonly Row[] {
  const result = schema.safeParse(value);
  return result.success ? result.data : [];
}
