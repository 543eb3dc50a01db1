/**
 * The real recorder as a process of its own, and an agent and two phones made of nothing but the
 * codecs: SRTP from `SrtpSender`, wrapped into UDP, IP and NFLOG as the kernel would.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sodium from "libsodium-wrappers";
import { programArgv } from "../../lab/program-argv.ts";
import { encodeNflog } from "../../protocol/capture/nflog.ts";
import { encodeUdp } from "../../protocol/capture/udp.ts";
import { type CapturedPacket, IngestFramer } from "../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeRecorderMessage,
  encodeAgentMessage,
  type RecorderMessage,
} from "../../protocol/ingest/messages.ts";
import type { OrderStream, RecordingOrder } from "../../protocol/ingest/order.ts";
import { encodeRtcp } from "../../protocol/rtp/rtcp-packet.ts";
import { encodeRtp } from "../../protocol/rtp/rtp-packet.ts";
import { sealOrder } from "../../protocol/sealing/order.ts";
import { Secret } from "../../protocol/secret.ts";
import { SrtpSender } from "../../protocol/srtp/srtp-sender.ts";
import { recordings } from "../../recorder/recordings.ts";

await sodium.ready;

const NODE = resolve("node_modules/.bin/node");
const KEYHOLE = resolve("bin/keyhole.ts");
const UID = 61_930;
/** Only what is broken waits so long. */
const WAIT_MS = 30_000;
const POLL_MS = 25;
const SUITE = "AES_CM_128_HMAC_SHA1_80";
/** RFC 4568 §7.1.1 prints these two keys. */
const KEYS = {
  caller: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
  callee: "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR",
} as const;

export const ALICE = { address: "10.10.0.2", port: 20_000 };
export const BOB = { address: "10.20.0.2", port: 30_000 };
/** Samples of one packet, 20 ms. */
export const PACKET_SAMPLES = 160;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits until it holds. @throws Error after half a minute. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const giveUpAt = Date.now() + WAIT_MS; !(await holds()); await sleep(POLL_MS))
    if (Date.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
}

export class RecorderHarness {
  readonly directory: string;
  readonly store: string;
  readonly #controller = generateKeyPairSync("ed25519");
  readonly #recorder = generateKeyPairSync("x25519");
  readonly #children: ChildProcess[] = [];
  readonly #resumeMs: number;
  #output = "";

  constructor(resumeMs: number) {
    this.directory = mkdtempSync(join(tmpdir(), "keyhole-recorder-"));
    chmodSync(this.directory, 0o711);
    this.store = this.#own("store");
    this.#own("run");
    this.#key("recorder.key", this.#recorder.privateKey);
    this.#key("order.pub", this.#controller.publicKey);
    for (const name of ["archive", "second", "stranger"]) this.#pair(name, "x25519");
    this.#pair("ledger", "ed25519");
    this.#resumeMs = resumeMs;
    this.configure({});
  }

  /** For recorders started from now on. */
  configure({ socket = "run/ingest.sock", resumeMs = this.#resumeMs }): void {
    writeFileSync(this.path("recorder.toml"), this.#config(socket, resumeMs));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** All that the recorders of this harness ever logged. */
  get output(): string {
    return this.#output;
  }

  /** Starts a recorder and waits until it serves. */
  async start(): Promise<ChildProcess> {
    const [command, ...argv] = programArgv(["recorder", "--config", this.path("recorder.toml")]);
    const child = spawn(command, argv, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
    this.#children.push(child);
    child.stderr.on("data", (chunk) => {
      this.#output += chunk;
    });
    await new Promise<void>((ready, fail) => {
      let own = "";
      child.stdout.on("data", (chunk: Buffer) => {
        own += chunk;
        this.#output += chunk;
        if (own.includes('"msg":"ready"')) ready();
      });
      child.once("exit", (code) => fail(new Error(`recorder exited ${code}: ${this.#output}`)));
    });
    return child;
  }

  /** Ends a recorder and waits for it. */
  async end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
    const exited = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
    child.kill(signal);
    return exited;
  }

  /** Octets of a call's file so far. */
  bytesOf({ recording }: TestCall): number {
    return statSync(join(this.store, `${recording}.khr`)).size;
  }

  /** Does what makes the recorder write to a call's file, and waits until it has. */
  async written(call: TestCall, act: () => void): Promise<void> {
    const before = this.bytesOf(call);
    act();
    await until("the file to grow", () => this.bytesOf(call) > before);
  }

  connect(): Promise<TestAgent> {
    return TestAgent.connect(this.path("run/ingest.sock"));
  }

  sealOrder(order: RecordingOrder): string {
    const key = this.#controller.privateKey;
    return sealOrder(order, key, this.#recorder.publicKey, sodium).toString("base64");
  }

  /** `keyhole recordings …` on this store, if the arguments name no other; without a process. */
  async recordings(...args: readonly string[]): Promise<Finished> {
    const store = args.includes("--store") ? [] : ["--store", this.store];
    let [stdout, stderr] = ["", ""];
    const code = await recordings([...args, ...store], {
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
    });
    return { code, stdout, stderr };
  }

  /** The same as the command that a user types. */
  recordingsCommand(...args: readonly string[]): Finished {
    const all = [KEYHOLE, "recordings", ...args, "--store", this.store];
    const { status, stdout, stderr } = spawnSync(NODE, all, { encoding: "utf8" });
    return { code: status, stdout, stderr };
  }

  /** As `recordings`, with the archive's key, as JSON; fails the test if it does not exit 0. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it field by field
  async json(...args: readonly string[]): Promise<any> {
    const finished = await this.recordings(...args, "--key", this.path("archive.key"), "--json");
    assert.equal(finished.code, 0, finished.stderr);
    return JSON.parse(finished.stdout);
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true });
  }

  #own(name: string): string {
    const path = this.path(name);
    mkdirSync(path, { mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(path, UID, UID);
    return path;
  }

  #pair(name: string, kind: "ed25519" | "x25519"): void {
    const pair =
      kind === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("x25519");
    this.#key(`${name}.key`, pair.privateKey);
    this.#key(`${name}.pub`, pair.publicKey);
  }

  #key(name: string, key: KeyObject): void {
    const type = key.type === "private" ? "pkcs8" : "spki";
    writeFileSync(this.path(name), key.export({ type, format: "pem" }), { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(this.path(name), UID, UID);
  }

  #config(socket: string, resumeMs: number): string {
    const identity = process.getuid?.() === 0 ? `[process]\nuid = ${UID}\ngid = ${UID}\n` : "";
    return `socket = "${socket}"
store = "store"
key = "recorder.key"
controllers = ["order.pub"]
archives = ["archive.pub", "second.pub"]
ledgerKey = "ledger.key"
resumeMs = ${resumeMs}
${identity}`;
  }
}

/** The agent's end of the ingest socket. */
export class TestAgent {
  readonly #socket: Socket;
  readonly #framer = new IngestFramer();
  readonly #messages: RecorderMessage[] = [];
  #wake: (() => void) | undefined;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#messages.push(...this.#framer.push(chunk).map(decodeRecorderMessage));
      this.#wake?.();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake?.();
    });
  }

  static connect(path: string): Promise<TestAgent> {
    return new Promise((done, fail) => {
      const socket = connect(path, () => {
        const agent = new TestAgent(socket);
        agent.send({ kind: "hello", version: 1 });
        done(agent);
      });
      socket.once("error", fail);
    });
  }

  send(message: AgentMessage): void {
    this.#socket.write(encodeAgentMessage(message));
  }

  sendRaw(octets: Uint8Array): void {
    this.#socket.write(octets);
  }

  /** The next message of the recorder; undefined once the connection is closed. */
  async next(): Promise<RecorderMessage | undefined> {
    const timer = setTimeout(() => this.#socket.destroy(new Error("no answer")), WAIT_MS);
    while (this.#messages.length === 0 && !this.#isClosed)
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    clearTimeout(timer);
    return this.#messages.shift();
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** A call of two phones, packet by packet, as the gateway captures it. */
export class TestCall {
  readonly recording = randomUUID();
  readonly session = `session-${this.recording}`;
  /** When its first packet passes. */
  readonly beganMicros = Date.now() * 1000 + 50_000;
  readonly #harness: RecorderHarness;
  readonly #senders = { caller: sender("caller"), callee: sender("callee") };
  readonly #passed = new Map<string, { packets: number; to: typeof ALICE }>();

  constructor(harness: RecorderHarness) {
    this.#harness = harness;
  }

  /** @param streams Others than those of an ordinary call. */
  order(revision: number, streams?: readonly OrderStream[]): AgentMessage {
    const plain = this.plainOrder(revision);
    const order = streams === undefined ? plain : { ...plain, streams: [...streams] };
    const sealedOrder = this.#harness.sealOrder(order);
    const { session, recording } = this;
    return { kind: "order", id: `order-${revision}`, session, recording, sealedOrder };
  }

  /** Revision 1 comes with the offer, when the callee's key is not known yet. */
  plainOrder(revision: number): RecordingOrder {
    return {
      version: 1,
      recording: this.recording,
      session: "a1b2",
      revision,
      callId: `call-${this.recording}@atlanta.example.com`,
      from: "sip:alice@atlanta.example.com",
      to: "sip:bob@biloxi.example.com",
      startedAt: new Date(this.beganMicros / 1000).toISOString(),
      policy: "decrypted",
      streams:
        revision === 1
          ? [toward(ALICE, undefined)]
          : [toward(ALICE, "callee"), toward(BOB, "caller")],
    };
  }

  /** One packet of speech. @param at Which 20 ms it fills; also its sequence number and timestamp. */
  speech(speaker: "caller" | "callee", at: number, octets: Uint8Array): CapturedPacket {
    const rtp = encodeRtp({
      marker: at === 0,
      payloadType: 0,
      sequenceNumber: (65_500 + at) & 0xffff,
      timestamp: (0xfffff000 + at * PACKET_SAMPLES) >>> 0,
      ssrc: speaker === "caller" ? 0x1111 : 0x2222,
      csrcs: [],
      payload: Buffer.from(octets),
    });
    return this.#captured(speaker, "rtp", at, this.#senders[speaker].protectRtp(rtp));
  }

  /** An SRTP packet that another implementation made with the speaker's key. */
  foreign(speaker: "caller" | "callee", at: number, srtp: Buffer): CapturedPacket {
    return this.#captured(speaker, "rtp", at, srtp);
  }

  /** One receiver report. */
  report(speaker: "caller" | "callee", at: number): CapturedPacket {
    const ssrc = speaker === "caller" ? 0x1111 : 0x2222;
    const rtcp = encodeRtcp([{ kind: "receiver-report", ssrc, reports: [] }]);
    return this.#captured(speaker, "rtcp", at, this.#senders[speaker].protectRtcp(rtcp));
  }

  /** The same with some octets of the UDP payload changed on the way. */
  altered({ captureMicros, nflog }: CapturedPacket): CapturedPacket {
    const octets = Buffer.from(nflog);
    octets[octets.length - 20] = (octets[octets.length - 20] ?? 0) ^ 1;
    return { captureMicros, nflog: octets };
  }

  /** What the kernel counted, one pinhole a port. */
  close(reason = "bye"): AgentMessage {
    const counters = Object.fromEntries(
      [...this.#passed].map(([id, { packets, to }]) => [id, { packets, bytes: packets * 200, to }]),
    );
    return { kind: "close", session: this.session, reason, counters, exact: true };
  }

  /** Lets the kernel count one packet more to the speaker's listener. */
  countOne(speaker: "caller" | "callee"): void {
    const to = speaker === "caller" ? BOB : ALICE;
    const passed = this.#passed.get(`${to.address}>${to.port}`);
    if (passed !== undefined) passed.packets += 1;
  }

  #captured(
    speaker: "caller" | "callee",
    component: "rtp" | "rtcp",
    at: number,
    payload: Buffer,
  ): CapturedPacket {
    const [from, to] = speaker === "caller" ? [ALICE, BOB] : [BOB, ALICE];
    const plus = component === "rtp" ? 0 : 1;
    const beside = (end: typeof ALICE) => ({ ...end, port: end.port + plus });
    return this.packet(beside(from), beside(to), at, payload);
  }

  /** Any packet that the gateway let through. */
  packet(from: typeof ALICE, to: typeof ALICE, at: number, payload: Buffer): CapturedPacket {
    const name = `${to.address}>${to.port}`;
    const packets = (this.#passed.get(name)?.packets ?? 0) + 1;
    this.#passed.set(name, { packets, to });
    const ip = encodeUdp({
      source: from.address,
      destination: to.address,
      sourcePort: from.port,
      destinationPort: to.port,
      payload,
    });
    const captureMicros = this.beganMicros + at * 20_000;
    const nflog = encodeNflog({ family: 4, group: 5, payload: ip, captureMicros });
    return { captureMicros: captureMicros + 1500, nflog };
  }
}

/** Master key and salt in hexadecimal, as other implementations want it. */
export function mediaKeyHex(speaker: keyof typeof KEYS): string {
  return Buffer.from(KEYS[speaker], "base64").toString("hex");
}

const sender = (speaker: keyof typeof KEYS): SrtpSender => senderUnder(KEYS[speaker]);

export function senderUnder(base64: string): SrtpSender {
  const masterKeySalt = new Secret(Buffer.from(base64, "base64"));
  return new SrtpSender({ suite: SUITE, masterKeySalt });
}

/** What comes to one of both, under the key of the one who speaks. */
export function toward(to: typeof ALICE, speaker: keyof typeof KEYS | undefined): OrderStream {
  return {
    label: to === ALICE ? "callee" : "caller",
    media: "audio",
    destination: to,
    rtcpPort: to.port + 1,
    payloads: [{ type: 0, codec: "PCMU", clockHz: 8000, channels: 1 }],
    protection:
      speaker === undefined
        ? { kind: "pending" }
        : { kind: "srtp", suite: SUITE, masterKeySalt: KEYS[speaker] },
  };
}
