/** A folder for a registrar with an authority, for `bench/register.ts`. Touches that folder. */
import { createHash, X509Certificate } from "node:crypto";
import { chmodSync, chownSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { runKeyhole } from "../lab/site.ts";
import { IDENTITIES } from "../lab/site-config.ts";

export interface Registrar {
  readonly keyType: "p256" | "rsa2048";
  readonly domain: string;
  readonly name: string;
  readonly configFile: string;
  readonly port: number;
  /** Names of users; a user's password is his name. */
  readonly users: readonly string[];
  /** DER. */
  readonly certificate: Buffer;
}

const DOMAIN = "atlanta.example.com";
const NAME = `ss1.${DOMAIN}`;
const USERS = 32;
export const LOOPBACK = "127.0.0.1";

/** Makes keys, users and a configuration. */
export async function makeRegistrar(
  folder: string,
  keyType: Registrar["keyType"],
): Promise<Registrar> {
  const names = ["--domain", DOMAIN, "--controller", NAME];
  runKeyhole(["ca", "init", "--out", folder, ...names, "--key-type", keyType]);
  const users = Array.from({ length: USERS }, (_, at) => `user${at}`);
  for (const user of users) {
    const ha1 = createHash("sha256").update(`${user}:${DOMAIN}:${user}`).digest("hex");
    writeFileSync(join(folder, `${user}.ha1`), `${ha1}\n`);
  }
  const port = await freePort();
  const configFile = join(folder, "controller.toml");
  writeFileSync(configFile, stringify(configOf(users, port)));
  handOver(folder);
  const certificate = new X509Certificate(readFileSync(join(folder, `${NAME}.pem`))).raw;
  return { keyType, domain: DOMAIN, name: NAME, configFile, port, users, certificate };
}

function configOf(users: readonly string[], port: number): object {
  const root = process.geteuid?.() === 0;
  return {
    name: NAME,
    domains: [DOMAIN],
    ...(root ? { process: IDENTITIES.controller } : {}),
    log: { level: "warn" },
    limits: { eventLoopLagMs: 60_000 }, // a busy machine is measured, not refused
    body: { certificate: `${NAME}.pem`, key: `${NAME}.key`, anchors: ["ca.pem"] },
    listen: [{ transport: "tcp", address: LOOPBACK, port }],
    user: users.map((user) => ({ aor: `sip:${user}@${DOMAIN}`, ha1: `${user}.ha1` })),
    state: { database: "state.sqlite" },
    authority: {
      certificate: "issuer.pem",
      key: "issuer.key",
      database: "authority.sqlite",
      registrationsPerMinute: 1_000_000,
    },
  };
}

function handOver(folder: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = IDENTITIES.controller;
  chmodSync(folder, 0o755);
  chmodSync(join(folder, ".."), 0o755);
  for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))])
    chownSync(path, uid, gid);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, LOOPBACK, done));
  const bound = server.address();
  await new Promise((done) => server.close(done));
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}
