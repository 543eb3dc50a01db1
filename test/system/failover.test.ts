/**
 * The running controller and servers that are dead, refuse or are tired, found by a real DNS server
 * (RFC 3263 §4): calls and messages get through, the second at once. Loopback only, on addresses
 * that nobody else has.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { parseMessage } from "../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../../protocol/sip/stream-framer.ts";
import {
  handOver,
  IDENTITY_TEXT,
  type RunningProgram,
  startController,
  until,
} from "./controller-harness.ts";

const NET = `127.${64 + ((process.pid >> 8) % 128)}.${process.pid % 256}`;
const [CONTROLLER, PBX, DNS, DEAD, ALIVE, TIRED] = [1, 2, 3, 4, 5, 6].map((n) => `${NET}.${n}`);
const SIP_PORT = 5060;
const T1_MS = 50;
const WAIT_MS = 15_000;
const AT_ONCE_MS = 1_500;

const srv = (name: string, target: string, priority: number): string =>
  `--srv-host=${name},${target}.far.example,${SIP_PORT},${priority},0`;
const ZONE = [
  `--host-record=dead.far.example,${DEAD}`,
  `--host-record=alive.far.example,${ALIVE}`,
  `--host-record=tired.far.example,${TIRED}`,
  ...["_sip._udp.silent", "_sip._tcp.refused"].flatMap((name) => [
    srv(`${name}.far.example`, "dead", 10),
    srv(`${name}.far.example`, "alive", 20),
  ]),
  srv("_sip._udp.tired.far.example", "tired", 10),
  srv("_sip._udp.tired.far.example", "alive", 20),
  srv("_sip._udp.gone.far.example", "dead", 10),
  `--host-record=dual.far.example,${ALIVE},2001:db8::5`,
  "--local=/far.example/",
  "--local-ttl=1",
];

const TRUNKS = [
  ["silent", "udp"],
  ["refused", "tcp"],
  ["tired", "udp"],
  ["gone", "udp"],
  ["dual", "udp"],
  ["unknown", "udp"],
] as const;

function configText(): string {
  const routes = TRUNKS.map(
    ([name, transport]) =>
      `[[route]]\ndomain = "${name}.example"\ntransport = "${transport}"\nhost = "${name}.far.example"\n`,
  );
  const to = TRUNKS.map(([name]) => `"${name}.example"`).join(", ");
  return `
name = "proxy.example.com"
domains = ["example.com"]
${IDENTITY_TEXT}
[timers]
t1Ms = ${T1_MS}
[dns]
servers = ["${DNS}"]
[[listen]]
transport = "udp"
address = "${CONTROLLER}"
port = ${SIP_PORT}
[[listen]]
transport = "tcp"
address = "${CONTROLLER}"
port = ${SIP_PORT}
[[route]]
domain = "pbx.example"
transport = "udp"
address = "${PBX}"
port = ${SIP_PORT}
to = [${to}]
${routes.join("")}`;
}

/** One UDP socket that speaks SIP: notes what comes, and answers requests as it is told. */
class Peer {
  readonly requests: SipRequest[] = [];
  readonly responses: SipResponse[] = [];
  readonly #socket: Socket = createSocket("udp4");
  readonly #answers: (request: SipRequest) => SipResponse | undefined;

  constructor(answers: (request: SipRequest) => SipResponse | undefined) {
    this.#answers = answers;
    this.#socket.on("message", (octets, { port, address }) => {
      const message = parseMessage(octets);
      if (message.kind === "response") this.responses.push(message);
      else {
        this.requests.push(message);
        const answer = this.#answers(message);
        if (answer !== undefined) this.#socket.send(serializeMessage(answer), port, address);
      }
    });
  }

  async bind(address: string | undefined): Promise<void> {
    this.#socket.bind(SIP_PORT, address);
    await once(this.#socket, "listening");
  }

  send(message: SipMessage): void {
    this.#socket.send(serializeMessage(message), SIP_PORT, CONTROLLER);
  }

  close(): void {
    this.#socket.close();
  }
}

const ok = (request: SipRequest): SipResponse | undefined =>
  request.method === "ACK"
    ? undefined
    : createResponse(request, 200, {
        toTag: "far",
        headers: [["Contact", `<sip:far@${ALIVE}:${SIP_PORT}>`]],
      });
const pbx = new Peer(() => undefined);
const alive = new Peer(ok);
const tired = new Peer((request) =>
  createResponse(request, 503, { toTag: "tired", headers: [["Retry-After", "60"]] }),
);
const streamed: SipRequest[] = [];
const streams: Server = createServer((socket) => {
  const framer = new StreamFramer();
  socket.on("data", (octets: Buffer) => {
    for (const item of framer.push(octets)) {
      if (item.kind !== "request") continue;
      streamed.push(item);
      const answer = ok(item);
      if (answer !== undefined) socket.write(serializeMessage(answer));
    }
  });
  socket.on("error", () => socket.destroy());
});

let folder: string;
let controller: RunningProgram;
let dnsmasq: ChildProcess;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "keyhole-failover-"));
  const configFile = join(folder, "controller.toml");
  writeFileSync(configFile, configText());
  handOver(folder);
  const place = [`--listen-address=${DNS}`, "--port=53", "--bind-interfaces", "--pid-file="];
  const bare = ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
  dnsmasq = spawn("dnsmasq", [...bare, ...place, ...ZONE], { stdio: "ignore" });
  await Promise.all([pbx.bind(PBX), alive.bind(ALIVE), tired.bind(TIRED)]);
  streams.listen(SIP_PORT, ALIVE);
  await once(streams, "listening");
  controller = await startController({ configFile });
});

after(async () => {
  dnsmasq?.kill();
  for (const peer of [pbx, alive, tired]) peer.close();
  streams.close();
  await controller?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

let asked = 0;

/** A request from the PBX to somebody at a trunk, and what it came to, with how long it took. */
async function ask(method: string, domain: string): Promise<{ status: number; tookMs: number }> {
  asked += 1;
  const callId = `failover-${asked}`;
  const uri = `sip:someone@${domain}.example`;
  const request = createRequest({
    method,
    uri,
    via: ownVia("udp", PBX ?? "", SIP_PORT, newBranch(randomBytes)),
    from: { uri: "sip:caller@pbx.example", params: [{ name: "tag", value: "caller" }] },
    to: { uri, params: [] },
    callId,
    cseq: 1,
    headers: [["Contact", `<sip:caller@${PBX}:${SIP_PORT}>`]],
  });
  const began = performance.now();
  pbx.send(request);
  const isFinal = ({ status, headers }: SipResponse): boolean =>
    status >= 200 && headers.some(({ value }) => value === callId);
  const tell = () => `${method} to ${domain}: ${controller.lines.join("\n")}`;
  await until(() => pbx.responses.some(isFinal), WAIT_MS, tell);
  const status = pbx.responses.find(isFinal)?.status ?? 0;
  return { status, tookMs: performance.now() - began };
}

test("a silent server: the next one answers after 64*T1, from then on at once", async () => {
  const first = await ask("INVITE", "silent");
  assert.equal(first.status, 200);
  assert.ok(first.tookMs >= 64 * T1_MS, `${first.tookMs} ms`);
  for (const method of ["INVITE", "MESSAGE"]) {
    const { status, tookMs } = await ask(method, "silent");
    assert.equal(status, 200);
    assert.ok(tookMs < AT_ONCE_MS, `${tookMs} ms`);
  }
});

test("a server that refuses the connection: the next one answers at once", async () => {
  for (const method of ["MESSAGE", "INVITE"]) {
    const { status, tookMs } = await ask(method, "refused");
    assert.equal(status, 200);
    assert.ok(tookMs < AT_ONCE_MS, `${tookMs} ms`);
  }
  assert.equal(streamed.filter(({ method }) => method !== "ACK").length, 2);
});

test("a tired server: the next one answers, and the tired one is left alone as it asked", async () => {
  for (let time = 0; time < 3; time += 1) {
    const { status, tookMs } = await ask("INVITE", "tired");
    assert.equal(status, 200);
    assert.ok(tookMs < AT_ONCE_MS, `${tookMs} ms`);
  }
  assert.equal(tired.requests.filter(({ method }) => method === "INVITE").length, 1);
});

test("all servers silent: 408", async () => {
  assert.equal((await ask("INVITE", "gone")).status, 408);
});

test("an address of a family that we do not speak is not waited for", async () => {
  const { status, tookMs } = await ask("INVITE", "dual");
  assert.equal(status, 200);
  assert.ok(tookMs < AT_ONCE_MS, `${tookMs} ms`);
});

test("a name that DNS does not know: refused at once", async () => {
  const { status, tookMs } = await ask("INVITE", "unknown");
  assert.ok(status >= 400, `${status}`);
  assert.ok(tookMs < AT_ONCE_MS, `${tookMs} ms`);
});

test("DNS itself is gone: what was known still leads there", async () => {
  dnsmasq.kill();
  await once(dnsmasq, "exit");
  await new Promise((resolve) => setTimeout(resolve, 6_000)); // beyond every time to live
  assert.equal((await ask("INVITE", "tired")).status, 200);
});
