/**
 * One agent in the lab's gateway, a recorder that only listens, and a controller's end of the control socket.
 */
import type { ChildProcess } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "smol-toml";
import { startProgram } from "../../lab/gateway.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { createNetwork, type Network } from "../../lab/network.ts";
import { type Flow, openProbes, type Probes } from "../../lab/probe.ts";
import type { Site } from "../../lab/site.ts";
import { agentConfig, IDENTITIES } from "../../lab/site-config.ts";
import { decodeNflog } from "../../protocol/capture/nflog.ts";
import { decodeUdp, type UdpDatagram } from "../../protocol/capture/udp.ts";
import { decodeAgentLine } from "../../protocol/control/line-codec.ts";
import type { AgentMessage } from "../../protocol/control/messages.ts";
import { IngestFramer } from "../../protocol/ingest/frames.ts";
import {
  decodeAgentMessage,
  encodeRecorderMessage,
  type AgentMessage as IngestMessage,
} from "../../protocol/ingest/messages.ts";
import { LineSplitter } from "../../runtime/line-stream.ts";

/** Only what is broken waits so long. */
const WAIT_MS = 30_000;
const TRAFFIC = `
  const [address, port, rate] = process.argv.slice(1);
  const socket = require("node:dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
  const send = () => { for (let i = 0; i < rate / 200; i++) socket.send(Buffer.alloc(32), port, address); };
  socket.bind(0, () => setInterval(send, 5));
`;

export const ALICE = { address: "10.10.0.2", port: 20_000 };
export const BOB = { address: "10.20.0.2", port: 30_000 };
export const STRANGER = { address: "10.20.0.66", port: 30_000 };

export interface Harness {
  readonly network: Network;
  readonly probes: Probes;
  readonly recorder: FakeRecorder;
  readonly config: string;
  startAgent(): Promise<LabProcess>;
  connect(): Promise<ControlClient>;
  nft(...argv: string[]): string;
  /** Sends UDP packets of 32 octets from a host, about so many a second, until killed. */
  startTraffic(host: "alice" | "bob", to: typeof ALICE, packetsPerSecond: number): ChildProcess;
  /** Counts the whole datagrams that reach a host's port, in that host's kernel: none is missed, however busy it is. */
  startSink(host: "alice" | "bob", port: number): { received(): number };
  close(): Promise<void>;
}

export async function openHarness(): Promise<Harness> {
  const directory = mkdtempSync(join(tmpdir(), "kh-"));
  const network = createNetwork();
  const agents: LabProcess[] = [];
  const clients: ControlClient[] = [];
  let sinks = 0;
  const recorder = new FakeRecorder(join(directory, "ingest.sock"));
  const controlSocket = join(directory, "control/agent.sock");
  const config = join(directory, "agent.toml");
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, "control"));
  chownSync(join(directory, "control"), IDENTITIES.agent.uid, IDENTITIES.agent.gid);
  const paths = { controlSocket, ingestSocket: recorder.path, store: "" };
  const realm = { prefixes: ["10.10.0.0/24", "2001:db8:10::/64"], ports: [16_384, 65_535] };
  writeFileSync(config, stringify({ ...agentConfig(paths, "debug"), realm }));
  const site = { configs: { agent: config }, logs: directory } as unknown as Site;
  await recorder.listen();
  const probes = await openProbes(network);
  return {
    network,
    probes,
    recorder,
    config,
    async startAgent() {
      const agent = await startProgram(network, site, "agent");
      agents.push(agent);
      return agent;
    },
    async connect() {
      const client = await ControlClient.open(controlSocket);
      clients.push(client);
      return client;
    },
    nft: (...argv) => network.run("gateway", ["nft", ...argv]),
    startTraffic(host, { address, port }, packetsPerSecond) {
      const args = [address, port, packetsPerSecond].map(String);
      return network.spawn(host, [process.execPath, "-e", TRAFFIC, ...args], { stdio: "ignore" });
    },
    startSink(host, port) {
      const table = `inet sink_${sinks++}`;
      const rules = [
        "counter got {}",
        `chain in { type filter hook input priority 0; udp dport ${port} counter name got drop; }`,
      ];
      network.run(host, ["nft", "-f", "-"], `table ${table} {\n${rules.join("\n")}\n}\n`);
      return {
        received() {
          const listed = network.run(host, ["nft", "list", "counter", ...table.split(" "), "got"]);
          return Number(/packets (\d+)/.exec(listed)?.[1]);
        },
      };
    },
    async close() {
      for (const client of clients) client.close();
      await Promise.all(agents.map((agent) => agent.stop("SIGKILL")));
      await probes.close();
      recorder.close();
      network.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Takes every order and keeps what it is told. */
export class FakeRecorder {
  readonly path: string;
  readonly messages: IngestMessage[] = [];
  /** What it says to orders; undefined: nothing. */
  answer: "accepted" | { refused: string } | undefined = "accepted";
  #server: Server | undefined;
  #sockets = new Set<Socket>();

  constructor(path: string) {
    this.path = path;
  }

  async listen(): Promise<void> {
    rmSync(this.path, { force: true });
    const server = createServer((socket) => this.#accept(socket));
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
    chmodSync(this.path, 0o666);
    this.#server = server;
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  of<Kind extends IngestMessage["kind"]>(kind: Kind): Extract<IngestMessage, { kind: Kind }>[] {
    return this.messages.filter(
      (message): message is Extract<IngestMessage, { kind: Kind }> => message.kind === kind,
    );
  }

  captured(): UdpDatagram[] {
    return this.of("batch").flatMap(({ packets }) =>
      packets.map(({ nflog }) => decodeUdp(decodeNflog(nflog).payload)),
    );
  }

  #accept(socket: Socket): void {
    const framer = new IngestFramer();
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) {
        const message = decodeAgentMessage(frame);
        this.messages.push(message);
        if (message.kind === "order" && this.answer !== undefined)
          socket.write(
            encodeRecorderMessage({ kind: "order-reply", id: message.id, result: this.answer }),
          );
      }
    });
  }
}

export class ControlClient {
  readonly messages: AgentMessage[] = [];
  readonly #socket: Socket;
  #nextId = 1;

  static async open(path: string): Promise<ControlClient> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return new ControlClient(socket);
  }

  constructor(socket: Socket) {
    const splitter = new LineSplitter(65_536);
    this.#socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      for (const line of splitter.push(chunk)) {
        const decoded = line.kind === "line" ? decodeAgentLine(line.octets) : undefined;
        if (decoded?.ok !== true) throw new Error("the agent sent a line that is none");
        this.messages.push(decoded.message);
      }
    });
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  write(octets: string | Buffer): void {
    this.#socket.write(octets);
  }

  async ask(request: object) {
    const id = `r${this.#nextId++}`;
    this.write(`${JSON.stringify({ ...request, id })}\n`);
    return this.reply(id);
  }

  async hello(controller = "ss1.atlanta.example.com"): Promise<void> {
    const reply = await this.ask({ kind: "hello", version: 1, controller });
    if (!reply.ok) throw new Error("hello refused");
  }

  /** The reply to this request; of several with a null id, the latest. */
  reply(id: string | null) {
    return waitFor(`reply ${id}`, () =>
      this.messages.findLast(
        (message): message is Extract<AgentMessage, { kind: "reply" }> =>
          message.kind === "reply" && message.id === id,
      ),
    );
  }

  event<Kind extends AgentMessage["kind"]>(kind: Kind) {
    return waitFor(kind, () =>
      this.messages.find(
        (message): message is Extract<AgentMessage, { kind: Kind }> => message.kind === kind,
      ),
    );
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function flow(from: { address: string; port: number }, to: typeof ALICE): Flow {
  return { fromHost: from.address.startsWith("10.10.") ? "alice" : "bob", from, to };
}

/** A `session.put` of pinholes written `id: [from, to]`. */
export function put(
  session: string,
  revision: number,
  pinholes: Readonly<Record<string, readonly [Partial<typeof ALICE>, typeof ALICE]>>,
  more: Record<string, unknown> = {},
) {
  return {
    kind: "session.put" as const,
    session,
    revision,
    leaseMs: 60_000,
    pinholes: Object.entries(pinholes).map(([id, [from, to]]) => ({
      id,
      from,
      to,
      media: "audio",
      component: "rtp",
    })),
    ...more,
  };
}

export async function waitFor<T>(
  what: string,
  find: () => T | undefined | false,
  timeoutMs = WAIT_MS,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = find();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Live descendants of a process, with their command lines. */
export function childrenOf(pid: number): { pid: number; command: string }[] {
  const read = (file: string) => {
    try {
      return readFileSync(file, "latin1");
    } catch {
      return "";
    }
  };
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return children.flatMap((child) => [
    { pid: child, command: read(`/proc/${child}/cmdline`).replaceAll("\0", " ") },
    ...childrenOf(child),
  ]);
}
