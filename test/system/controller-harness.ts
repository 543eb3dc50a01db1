/**
 * A real controller on loopback between a caller by TLS and a next hop by TCP. Only the agent is
 * a stand-in: it speaks the control protocol, applies nothing, and notes when it was asked what.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { connect as tlsConnect } from "node:tls";
import sodium from "libsodium-wrappers";
import { programArgv } from "../../lab/program-argv.ts";
import { holdConnection, type SipPeer } from "../../lab/sip-peer.ts";
import { CONTROLLER_NAME } from "../../lab/site-config.ts";
import {
  decodeControlLine,
  encodeControlLine,
  MAX_CONTROL_LINE_BYTES,
} from "../../protocol/control/line-codec.ts";
import type { ControlRequest, SessionPut } from "../../protocol/control/messages.ts";
import type { RecordingOrder } from "../../protocol/ingest/order.ts";
import { openOrder } from "../../protocol/sealing/order.ts";
import type { SipMessage } from "../../protocol/sip/message.ts";
import { LineSplitter } from "../../runtime/line-stream.ts";

const KEYHOLE = resolve(import.meta.dirname, "../../bin/keyhole.ts");
const BILOXI_ADDRESS = "127.0.0.3";
/** Only what is broken takes so long. */
const START_TIMEOUT_MS = 60_000;
const WAIT_TIMEOUT_MS = 30_000;
const POLL_MS = 10;
/** Nobody's: what a program started as root becomes. */
const NOBODY = 65_534;

export interface Folder {
  readonly path: string;
  readonly tlsPort: number;
  readonly tcpPort: number;
  readonly biloxiPort: number;
  readonly agentSocket: string;
  readonly configFile: string;
}

/** What a configuration may have beside the usual. */
export interface FolderOptions {
  /** Registrations and calls outlive the program. */
  readonly state?: boolean;
}

/** Keys, certificates and a configuration, in a folder of their own. */
export async function createFolder({ state = false }: FolderOptions = {}): Promise<Folder> {
  const path = mkdtempSync(join(tmpdir(), "keyhole-controller-"));
  const users = ["sip:alice@atlanta.example.com", "sip:bob@biloxi.example.com"];
  const made = spawnSync(process.execPath, [
    ...[KEYHOLE, "ca", "init", "--out", join(path, "keys"), "--domain", "atlanta.example.com"],
    ...["--controller", CONTROLLER_NAME, ...users.flatMap((user) => ["--user", user])],
  ]);
  assert.equal(made.status, 0, made.stderr.toString());
  const [tlsPort, tcpPort, biloxiPort] = [await freePort(), await freePort(), await freePort()];
  const agentSocket = join(path, "agent.sock");
  const configFile = join(path, "keys", "controller.toml");
  const folder = { path, tlsPort, tcpPort, biloxiPort, agentSocket, configFile };
  const kept = state ? '[state]\ndatabase = "state.sqlite"\n' : "";
  writeFileSync(configFile, `${configText(folder)}${kept}`);
  handOver(path);
  return folder;
}

export const removeFolder = ({ path }: Folder): void => rmSync(path, { recursive: true });

/** Gives a folder's files to whom the controller becomes: it gives up root before it reads its keys. */
export function handOver(path: string): void {
  if (process.geteuid?.() !== 0) return;
  chmodSync(path, 0o755);
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }))
    chownSync(join(path, name), NOBODY, NOBODY);
}

/** As whom a configuration lets it run. */
export const IDENTITY_TEXT =
  process.geteuid?.() === 0 ? `[process]\nuid = ${NOBODY}\ngid = ${NOBODY}` : "";

function configText({ tlsPort, tcpPort, biloxiPort, agentSocket }: Folder): string {
  const files = `certificate = "${CONTROLLER_NAME}.pem"\nkey = "${CONTROLLER_NAME}.key"\nanchors = ["ca.pem"]`;
  return `
name = "${CONTROLLER_NAME}"
domains = ["atlanta.example.com"]
${IDENTITY_TEXT}
[log]
level = "debug"
[tls]
${files}
[body]
${files}
[[listen]]
transport = "tls"
address = "127.0.0.1"
port = ${tlsPort}
[[listen]]
transport = "tcp"
address = "127.0.0.2"
port = ${tcpPort}
[[route]]
domain = "biloxi.example.com"
transport = "tcp"
address = "${BILOXI_ADDRESS}"
port = ${biloxiPort}
[[user]]
aor = "sip:alice@atlanta.example.com"
addresses = ["10.10.0.2"]
[agent]
socket = "${agentSocket}"
applyTimeoutMs = 1500
[media]
protectedPrefixes = ["10.10.0.0/24"]
ports = [16384, 65535]
[recording]
orderKey = "order.key"
recorder = "recorder.pub"
`;
}

/** A TCP port of 127.0.0.1 that nobody has. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const bound = server.address();
  await new Promise((done) => server.close(done));
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

export class RunningProgram {
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #exited: Promise<number | null>;

  constructor(process_: ChildProcess) {
    this.#process = process_;
    this.#exited = new Promise((done) => process_.once("exit", (code) => done(code)));
    for (const stream of [process_.stdout, process_.stderr])
      if (stream !== null)
        createInterface({ input: stream }).on("line", (line) => this.lines.push(line));
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  hasLogged(text: string): boolean {
    return this.lines.some((line) => line.includes(text));
  }

  /** Asks it to end, if it has not. */
  async stop(): Promise<number | null> {
    return this.signal("SIGTERM");
  }

  /** Sends a signal that ends it. */
  async signal(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal);
    return this.#exited;
  }

  /** Has it read its files again. */
  hangUp(): void {
    this.#process.kill("SIGHUP");
  }
}

/** Starts it and waits until it serves. @throws Error with its lines if it does not; it is dead then. */
export async function startController({
  configFile,
}: Pick<Folder, "configFile">): Promise<RunningProgram> {
  const [command, ...argv] = programArgv(["controller", "--config", configFile]);
  const child = spawn(command, argv, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  const program = new RunningProgram(child);
  const isReady = () => program.hasLogged('"msg":"ready"');
  try {
    await until(() => isReady() || program.hasEnded, START_TIMEOUT_MS);
    assert.ok(isReady(), `ended: ${program.lines.join("\n")}`);
    return program;
  } catch (error) {
    await program.signal("SIGKILL");
    throw error;
  }
}

export interface Asked {
  readonly atMs: number;
  readonly request: ControlRequest;
}

/** The agent's side of the control socket. */
export class StandInAgent {
  readonly asked: Asked[] = [];
  /** When each put was answered. */
  readonly appliedAtMs: number[] = [];
  delayMs = 0;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #path: string;

  constructor({ agentSocket }: Folder) {
    this.#path = agentSocket;
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    await new Promise<void>((done) => server.listen(this.#path, done));
    chmodSync(this.#path, 0o666);
  }

  /** Goes away, with its connections. */
  async close(): Promise<void> {
    const closed = new Promise((done) =>
      this.#server ? this.#server.close(done) : done(undefined),
    );
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get puts(): readonly SessionPut[] {
    return this.asked.flatMap(({ request }) => (request.kind === "session.put" ? [request] : []));
  }

  count(kind: ControlRequest["kind"]): number {
    return this.asked.filter(({ request }) => request.kind === kind).length;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const lines = new LineSplitter(MAX_CONTROL_LINE_BYTES);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk)) {
        assert.equal(line.kind, "line");
        const decoded = decodeControlLine(line.kind === "line" ? line.octets : Buffer.alloc(0));
        assert.ok(decoded.ok, "the controller wrote a line that is none");
        this.#answer(socket, decoded.message);
      }
    });
  }

  #answer(socket: Socket, request: ControlRequest): void {
    this.asked.push({ atMs: performance.now(), request });
    const { id } = request;
    const reply = (more: object): void =>
      void socket.write(encodeControlLine({ kind: "reply", id, ok: true, ...more }));
    if (request.kind !== "session.put") {
      reply(request.kind === "session.close" ? { counters: {}, exact: true } : {});
      return;
    }
    setTimeout(() => {
      this.appliedAtMs.push(performance.now());
      reply({ applied: request.revision, recording: "accepted" });
    }, this.delayMs);
  }
}

/** The order within a put, as the recorder would open it. */
export async function orderOf({ path }: Folder, put: SessionPut): Promise<RecordingOrder> {
  await sodium.ready;
  const read = (name: string) => readFileSync(join(path, "keys", name));
  const sealed = Buffer.from(put.recording?.sealedOrder ?? "", "base64");
  const recorder = createPrivateKey(read("recorder.key"));
  return openOrder(sealed, recorder, [createPublicKey(read("order.pub"))], sodium);
}

export interface Arrived {
  readonly atMs: number;
  readonly message: SipMessage;
}

/** The next hop, at the address that the route names. */
export class Biloxi {
  readonly arrived: Arrived[] = [];
  peer: SipPeer | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      this.peer = holdConnection(socket, (message) =>
        this.arrived.push({ atMs: performance.now(), message }),
      );
    });
  }

  async listen({ biloxiPort }: Folder): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(biloxiPort, BILOXI_ADDRESS, done));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  /** The first request of this method in this call, now or soon. */
  async request(
    method: string,
    callId: string,
  ): Promise<Arrived & { message: { kind: "request" } }> {
    const fits = ({ message }: Arrived): boolean =>
      message.kind === "request" &&
      message.method === method &&
      message.headers.some(({ value }) => value === callId);
    await until(() => this.arrived.some(fits));
    return this.arrived.find(fits) as Arrived & { message: { kind: "request" } };
  }
}

/** Alice's TLS connection; without a name, one that shows no certificate. */
export async function connectCaller({ path, tlsPort }: Folder, name?: string): Promise<SipPeer> {
  const read = (file: string): Buffer => readFileSync(join(path, "keys", file));
  const own = name === undefined ? {} : { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  const socket = tlsConnect({
    host: "127.0.0.1",
    port: tlsPort,
    ca: read("ca.pem"),
    servername: CONTROLLER_NAME,
    ...own,
  });
  await new Promise<void>((done, fail) => {
    socket.once("secureConnect", done);
    socket.once("error", fail);
  });
  return holdConnection(socket);
}

/** @param tell What to say beside, if it does not hold in time. */
export async function until(
  holds: () => boolean,
  timeoutMs = WAIT_TIMEOUT_MS,
  tell = () => "",
): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > giveUpAt)
      throw new assert.AssertionError({
        message: `not within ${timeoutMs} ms: ${holds} ${tell()}`,
      });
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
