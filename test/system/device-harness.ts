/**
 * Phones as processes on the loopback interface, with an authority of their own, and a peer that
 * speaks SIP as it likes.
 */
import { execFileSync, spawn } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "smol-toml";
import { LabProcess } from "../../lab/lab-process.ts";
import { encodeWav } from "../../protocol/audio/wav.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";

export const ALICE = "sip:alice@atlanta.example.com";
export const BOB = "sip:bob@biloxi.example.com";
export const LOOPBACK = "127.0.0.1";

const KEYHOLE = fileURLToPath(new URL("../../bin/keyhole.ts", import.meta.url));
const HOST = "ss1.atlanta.example.com";

export type Name = "alice" | "bob";
type Table = Readonly<Record<string, unknown>>;

/** A folder with certificates, sound and configurations; removed by `close`. */
export class Household {
  readonly folder = mkdtempSync(join(tmpdir(), "kh-device-"));
  readonly #phones: LabProcess[] = [];

  constructor() {
    this.#makeKeys("keys");
  }

  /** A second authority for the same names, that nobody here trusts. */
  addStrangers(): void {
    this.#makeKeys("strangers");
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  certificate(name: Name, keys = "keys"): Buffer {
    return new X509Certificate(readFileSync(this.path(`${keys}/${name}.pem`))).raw;
  }

  identity(name: Name, keys = "keys"): Identity {
    const privateKey = createPrivateKey(readFileSync(this.path(`${keys}/${name}.key`)));
    return { certificate: this.certificate(name, keys), privateKey };
  }

  /** Starts a phone. `changes` replace whole tables of its configuration. */
  start(name: Name, verb: readonly string[], changes: Table, extra: readonly string[] = []) {
    const config = this.path(`${name}-${this.#phones.length}.toml`);
    writeFileSync(config, stringify({ ...this.#config(name), ...changes }));
    const argv = [KEYHOLE, "device", ...verb, "--config", config, ...extra];
    const child = spawn(process.execPath, argv, { stdio: ["pipe", "pipe", "pipe"] });
    const phone = new LabProcess(name, child);
    this.#phones.push(phone);
    return phone;
  }

  /** A tone of its own for each phone, `ms` long. */
  tone(name: Name, ms: number): string {
    const hz = name === "alice" ? 440 : 330;
    const samples = Int16Array.from(
      { length: 8 * ms },
      (_, at) => 8000 * Math.sin((2 * Math.PI * hz * at) / 8000),
    );
    const file = this.path(`${name}-${ms}.wav`);
    writeFileSync(file, encodeWav({ sampleRateHz: 8000, channels: [samples] }));
    return file;
  }

  async close(): Promise<void> {
    await Promise.all(this.#phones.map((phone) => phone.exit ?? phone.stop()));
    rmSync(this.folder, { recursive: true });
  }

  #makeKeys(folder: string): void {
    const out = ["--out", this.path(folder), "--domain", "example.com", "--controller", HOST];
    const ca = ["ca", "init", ...out, "--user", ALICE, "--user", BOB];
    execFileSync(process.execPath, [KEYHOLE, ...ca], { stdio: "ignore" });
  }

  #config(name: Name): Table {
    const other = name === "alice" ? "bob" : "alice";
    return {
      aor: name === "alice" ? ALICE : BOB,
      address: LOOPBACK,
      identity: { certificate: `keys/${name}.pem`, key: `keys/${name}.key` },
      trust: { anchors: ["keys/ca.pem"] },
      contact: [{ aor: name === "alice" ? BOB : ALICE, certificate: `keys/${other}.pem` }],
      sealing: { controllers: [`keys/${HOST}.pem`] },
    };
  }
}

/** A TCP port that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, LOOPBACK, () => {
      const bound = server.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** An even UDP port that is free now, with the one after it. */
export async function freeMediaPort(): Promise<number> {
  for (;;) {
    const port = await boundUdpPort(0).catch(() => 0);
    if (port === 0 || port % 2 === 1) continue;
    const next = await boundUdpPort(port + 1).catch(() => 0);
    if (next === port + 1) return port;
  }
}

function boundUdpPort(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4").once("error", reject);
    socket.bind(port, LOOPBACK, () => {
      const bound = socket.address().port;
      socket.close(() => resolve(bound));
    });
  });
}
