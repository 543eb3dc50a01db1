/**
 * baresip, other people's phone: each one a process in alice's or bob's host with a configuration of
 * its own, told what to do over ctrl_tcp and heard from by its events. Plays a voice over and over,
 * writes down what it hears. Touches processes and one folder a phone.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeWav, encodeWav } from "../protocol/audio/wav.ts";
import type { InnerSockets } from "./inner-sockets.ts";
import { LabProcess } from "./lab-process.ts";
import { NetstringReader, netstring } from "./netstring.ts";
import type { Network } from "./network.ts";
import { LEAVES } from "./topology.ts";
import type { UdpEndpoint } from "./udp-frame.ts";

export interface BaresipOptions {
  /** An own folder. */
  readonly directory: string;
  readonly host: "alice" | "bob";
  readonly user: string;
  readonly domain: string;
  readonly password?: string;
  readonly transport: "udp" | "tcp" | "tls";
  /** Where it sends every request first. */
  readonly outbound: UdpEndpoint;
  /** PEM files for TLS: whom it trusts. */
  readonly anchors?: string;
  /** Only calls with SRTP, keys by SDES (RFC 4568). */
  readonly srtp?: boolean;
  /** False: it tells nobody where it is. */
  readonly register?: boolean;
  /** Tells phones of one host apart; each takes ports of its own. */
  readonly index?: number;
  /** How long it rings before it says that nobody answers. */
  readonly ringSeconds?: number;
}

export interface BaresipEvent {
  readonly type: string;
  /** The Call-ID. */
  readonly id?: string;
  readonly param?: string;
}

/** The events of baresip 1.0 that tests wait for. */
export type EventName =
  | "CALL_INCOMING"
  | "CALL_RINGING"
  | "CALL_ESTABLISHED"
  | "CALL_REMOTE_SDP"
  | "CALL_CLOSED";

export interface Baresip {
  readonly process: LabProcess;
  readonly address: string;
  readonly sipPort: number;
  /** It says so on its output: the event comes before anybody can listen. @throws Error at the timeout. */
  registered(timeoutMs?: number): Promise<void>;
  /** The next event of this name that no earlier call returned. @throws Error at the timeout. */
  event(name: EventName, timeoutMs?: number): Promise<BaresipEvent>;
  /** Runs a command (`dial`, `accept`, `hangup`, `hold`, `resume`, …). @throws Error if refused, or if it is gone. */
  tell(command: string, params?: string): Promise<string>;
  /** What it heard, as it decoded it, whole once it has stopped: one piece a call, and one after each change of a call's media. */
  heard(): readonly Int16Array[];
  /** SIP messages that it says it sent and received, as text: all of its output. */
  trace(): string;
  stop(): Promise<void>;
}

const MODULES = ["g711", "aufile", "aubridge", "sndfile", "srtp"];
const MODULE_DIRECTORIES = "/usr/lib/baresip/modules";
const VOICES = fileURLToPath(new URL("./voices/", import.meta.url));
/** It ends the call when its file ends. */
const VOICE_SECONDS = 120;
const SIP_PORT = 5060;
const CONTROL_PORT = 4444;
const RTP_PORTS = { alice: 20_000, bob: 30_000 } as const;
/** Ports of the second phone in a host lie so far above those of the first. */
const INDEX_STEP = 100;
const RTP_PORT_COUNT = 99;
const EVENT_TIMEOUT_MS = 10_000;
/** Its decoder gives the two zeros of mu-law as 2 and -2, and every other value as G.711 has it. */
const ITS_ZERO = 2;
const REGISTRATION_S = 600;
const REGISTERED = /: \{\d+\/.*\} 200 /;

/** Starts a phone and returns when it takes commands. `sockets` reach its host. */
export async function startBaresip(
  network: Network,
  sockets: InnerSockets,
  options: BaresipOptions,
): Promise<Baresip> {
  const { directory, host, index = 0 } = options;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "voice.wav"), longVoice(host));
  writeFileSync(join(directory, "config"), configText(options));
  writeFileSync(join(directory, "accounts"), `${accountText(options)}\n`);
  const argv = ["baresip", "-s", "-f", directory];
  const child = network.spawn(host, argv, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  const process = new LabProcess(`baresip ${options.user}`, child, join(directory, "baresip.log"));
  await process.line("readiness", (line) => line.includes("baresip is ready"));
  const socket = await sockets.connect({ address: "127.0.0.1", port: CONTROL_PORT + index });
  const control = openControl(process, socket);
  return {
    ...{ process, event: control.event, tell: control.tell },
    address: LEAVES[host].address,
    sipPort: SIP_PORT + INDEX_STEP * index,
    async registered(timeoutMs = EVENT_TIMEOUT_MS) {
      await process.line("registration", (line) => REGISTERED.test(line), timeoutMs);
    },
    heard: () => readHeard(directory),
    trace: () => process.lines.join("\r\n"),
    async stop() {
      socket.destroy();
      await process.stop();
    },
  };
}

function configText(options: BaresipOptions): string {
  const { directory, host, index = 0, anchors, ringSeconds = 120 } = options;
  const rtpPort = RTP_PORTS[host] + INDEX_STEP * index;
  const rows: readonly (readonly [string, string | number])[] = [
    ["poll_method", "epoll"],
    ["sip_listen", `${LEAVES[host].address}:${SIP_PORT + INDEX_STEP * index}`],
    ...(anchors === undefined ? [] : [["sip_cafile", anchors] as const]),
    ["call_local_timeout", ringSeconds],
    ["call_max_calls", 4],
    ["audio_path", "/nonexistent"],
    ["audio_player", "aubridge,nil"],
    ["audio_source", `aufile,${join(directory, "voice.wav")}`],
    ["audio_alert", "aubridge,alert"],
    ["ausrc_srate", 8000],
    ["auplay_srate", 8000],
    ["ausrc_channels", 1],
    ["auplay_channels", 1],
    ["rtp_ports", `${rtpPort}-${rtpPort + RTP_PORT_COUNT}`],
    ["module_path", MODULE_DIRECTORIES],
    ...MODULES.map((name) => ["module", `${name}.so`] as const),
    ["module_tmp", "uuid.so"],
    ["module_tmp", "account.so"],
    ["module_app", "menu.so"],
    ["module_app", "ctrl_tcp.so"],
    ["ctrl_tcp_listen", `127.0.0.1:${CONTROL_PORT + index}`],
    ["snd_path", directory],
  ];
  return rows.map(([name, value]) => `${name}\t${value}\n`).join("");
}

/** With a stream, what comes for it comes down the connection that it made (RFC 5626). */
function accountText(options: BaresipOptions): string {
  const { user, domain, password = "", transport, outbound, srtp = false } = options;
  const proxy = `sip:${outbound.address}:${outbound.port};transport=${transport}`;
  const parameters = [
    ...(password === "" ? [] : [`auth_user=${user}`, `auth_pass=${password}`]),
    `outbound="${proxy}"`,
    ...(transport === "udp" ? [] : ["sipnat=outbound"]),
    `regint=${options.register === false ? 0 : REGISTRATION_S}`,
    "audio_codecs=PCMU/8000/1",
    "answermode=manual",
    ...(srtp ? ["mediaenc=srtp-mand"] : []),
  ];
  return `<sip:${user}@${domain};transport=${transport}>;${parameters.join(";")}`;
}

function longVoice(host: "alice" | "bob"): Buffer {
  const { sampleRateHz, channels } = decodeWav(readFileSync(join(VOICES, `${host}.wav`)));
  const [voice = new Int16Array()] = channels;
  const long = Int16Array.from(
    { length: VOICE_SECONDS * sampleRateHz },
    (_, at) => voice[at % voice.length] ?? 0,
  );
  return encodeWav({ sampleRateHz, channels: [long] });
}

function readHeard(directory: string): readonly Int16Array[] {
  return readdirSync(directory)
    .filter((name) => /^dump-.*-dec\.wav$/.test(name))
    .sort()
    .map((name) => decodeWav(readFileSync(join(directory, name))).channels[0] ?? new Int16Array())
    .map((sound) => sound.map((sample) => (Math.abs(sample) === ITS_ZERO ? 0 : sample)));
}

interface Response {
  readonly response: true;
  readonly ok: boolean;
  readonly data: string;
  readonly token: string;
}
type ControlMessage = Response | ({ readonly event: true } & BaresipEvent);

function openControl(process: LabProcess, socket: Socket): Pick<Baresip, "event" | "tell"> {
  const reader = new NetstringReader();
  const unread: BaresipEvent[] = [];
  const waiting = new Set<() => void>();
  const answers = new Map<string, PromiseWithResolvers<Response>>();
  let commands = 0;
  socket.on("error", () => socket.destroy());
  const gone = () => new Error(`${process.name}: the connection is gone: ${process.tail()}`);
  socket.on("close", () => {
    for (const { reject } of answers.values()) reject(gone());
  });
  socket.on("data", (chunk: Buffer) => {
    for (const octets of reader.push(chunk)) {
      const message = JSON.parse(octets.toString("utf8")) as ControlMessage;
      if ("response" in message) {
        answers.get(message.token)?.resolve(message);
        continue;
      }
      unread.push(message);
    }
    for (const wake of waiting) wake();
  });
  return {
    event: (name, timeoutMs = EVENT_TIMEOUT_MS) =>
      new Promise((resolve, reject) => {
        const settle = (): void => {
          const at = unread.findIndex(({ type }) => type === name);
          if (at < 0) return;
          clearTimeout(timer);
          waiting.delete(settle);
          resolve(unread.splice(at, 1)[0] as BaresipEvent);
        };
        const timer = setTimeout(() => {
          waiting.delete(settle);
          const seen = unread.map(({ type, param = "" }) => `${type} ${param}`).join(", ");
          reject(new Error(`${process.name}: no ${name} in ${timeoutMs} ms, but: ${seen}`));
        }, timeoutMs);
        waiting.add(settle);
        settle();
      }),
    async tell(command, params = "") {
      if (socket.destroyed) throw gone();
      const token = String(++commands);
      const answer = Promise.withResolvers<Response>();
      answers.set(token, answer);
      socket.write(netstring(JSON.stringify({ command, params, token })));
      const { ok, data } = await answer.promise.finally(() => answers.delete(token));
      if (!ok) throw new Error(`${process.name}: ${command}: ${data}`);
      return data;
    },
  };
}
