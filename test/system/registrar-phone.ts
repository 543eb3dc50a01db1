/** A small phone on loopback: registers by digest over UDP, TCP or TLS, calls and is called. */
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { Secret } from "../../protocol/secret.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { DigestAlgorithm } from "../../protocol/sip/digest.ts";
import { answerChallenge } from "../../protocol/sip/digest-client.ts";
import type { SipTransport } from "../../protocol/sip/flow.ts";
import {
  appendHeader,
  headerRows,
  headerValue,
  headerValues,
  type SipMessage,
  type SipRequest,
  type SipResponse,
  withHeader,
} from "../../protocol/sip/message.ts";
import { parseMessage } from "../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../../protocol/sip/stream-framer.ts";
import { parseVia, serializeVia } from "../../protocol/sip/via.ts";

const FINAL_TIMEOUT_MS = 10_000;
const RESEND_MS = 500;

/** One end of UDP, or one connection. */
interface Wire {
  readonly port: number;
  send(octets: Buffer): void;
  close(): void;
}

export interface PhoneSetting {
  readonly transport: SipTransport;
  /** Where the controller listens. */
  readonly controller: { readonly address: string; readonly port: number };
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  /** PEM of the authority, for TLS; the controller's name. */
  readonly ca?: Buffer;
  readonly serverName?: string;
  readonly address?: string;
}

export interface RegisterOptions {
  readonly contacts?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly password?: string;
  readonly algorithms?: readonly DigestAlgorithm[];
}

export class Phone {
  readonly received: SipMessage[] = [];
  readonly aor: string;
  readonly callId = randomBytes(8).toString("hex");
  /** What an INVITE is answered with, by status; 200 unless told. */
  answers: readonly number[] = [180, 200];
  readonly #setting: PhoneSetting;
  #wire: Wire | undefined;
  #cseq = 0;
  readonly #listeners = new Set<() => void>();

  private constructor(setting: PhoneSetting) {
    this.#setting = setting;
    this.aor = `sip:${setting.user}@${setting.domain}`;
  }

  static async connect(setting: PhoneSetting): Promise<Phone> {
    const phone = new Phone(setting);
    const take = (message: SipMessage): void => phone.#take(message);
    phone.#wire =
      setting.transport === "udp" ? await openUdp(setting, take) : await openStream(setting, take);
    return phone;
  }

  get port(): number {
    return this.#wire?.port ?? 0;
  }

  /** The phone's own address as a Contact. */
  get contact(): string {
    const { user, transport } = this.#setting;
    return `<sip:${user}@${this.#address}:${this.port};transport=${transport}>`;
  }

  close(): void {
    this.#wire?.close();
  }

  /** The last answer to a REGISTER, the challenge met where it can be. */
  async register(options: RegisterOptions = {}): Promise<SipResponse> {
    const first = await this.exchange(this.registerRequest(options));
    if (first.status !== 401) return first;
    return this.exchange(this.authorized(this.registerRequest(options), first, options));
  }

  registerRequest(options: RegisterOptions = {}): SipRequest {
    const { domain } = this.#setting;
    this.#cseq += 1;
    const contacts = (options.contacts ?? [this.contact]).map(
      (value) => ["Contact", value] as const,
    );
    return createRequest({
      method: "REGISTER",
      uri: `sip:${domain}`,
      via: this.#via(),
      from: {
        uri: options.from ?? this.aor,
        params: [{ name: "tag", value: randomBytes(4).toString("hex") }],
      },
      to: { uri: options.to ?? this.aor, params: [] },
      callId: options.callId ?? this.callId,
      cseq: options.cseq ?? this.#cseq,
      headers: [...contacts, ...(options.headers ?? [])],
    });
  }

  /** A request outside any dialog to somebody, or to the server itself. */
  newRequest(
    method: string,
    uri: string,
    headers: readonly (readonly [name: string, value: string])[] = [],
  ): SipRequest {
    return createRequest({
      ...{ method, uri, via: this.#via(), headers, cseq: ++this.#cseq },
      from: { uri: this.aor, params: [{ name: "tag", value: randomBytes(4).toString("hex") }] },
      to: { uri, params: [] },
      callId: randomBytes(8).toString("hex"),
    });
  }

  /** The same as a new transaction. */
  rebranched(request: SipRequest): SipRequest {
    return withHeader(request, "Via", serializeVia(this.#via()));
  }

  /** The request with credentials for a challenge; `count` is how often its nonce was used. */
  authorized(
    request: SipRequest,
    challenge: SipResponse,
    options: Pick<RegisterOptions, "password" | "algorithms"> = {},
    count = 0,
  ): SipRequest {
    const { user, password } = this.#setting;
    const client = {
      username: user,
      password: new Secret(Buffer.from(options.password ?? password)),
      random: randomBytes,
      ...(options.algorithms === undefined ? {} : { algorithms: options.algorithms }),
    };
    const answer = answerChallenge(request, challenge, client, count);
    return answer === undefined ? request : appendHeader(request, ...answer);
  }

  /** Calls and waits for the final response; 2xx and others are acknowledged, challenges met. */
  async invite(aor: string): Promise<SipResponse> {
    const parts = {
      method: "INVITE",
      uri: aor,
      from: { uri: this.aor, params: [{ name: "tag", value: randomBytes(4).toString("hex") }] },
      to: { uri: aor, params: [] },
      callId: randomBytes(8).toString("hex"),
      headers: [["Contact", this.contact]] as const,
    };
    const first = createRequest({ ...parts, via: this.#via(), cseq: 1 });
    const challenge = await this.exchange(first);
    this.#acknowledge(first, challenge);
    if (challenge.status !== 407) return challenge;
    const second = createRequest({ ...parts, via: this.#via(), cseq: 2 });
    const sent = this.authorized(second, challenge);
    const final = await this.exchange(sent);
    this.#acknowledge(sent, final);
    return final;
  }

  /** Sends a request, again by UDP until it is answered; resolves with its final response. */
  async exchange(request: SipRequest): Promise<SipResponse> {
    this.send(request);
    const again = setInterval(() => {
      if (this.#setting.transport === "udp") this.send(request);
    }, RESEND_MS);
    try {
      return await this.wait((message) => isFinalTo(request, message));
    } finally {
      clearInterval(again);
    }
  }

  send(message: SipMessage): void {
    this.#wire?.send(serializeMessage(message));
  }

  /** The first message received that fits, past or future. */
  wait<T>(fits: (message: SipMessage) => T | undefined, timeoutMs = FINAL_TIMEOUT_MS): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.received.map(fits).find((each) => each !== undefined);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#listeners.delete(look);
        reject(new Error(`${this.#setting.user}: nothing that fits in ${timeoutMs} ms`));
      }, timeoutMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** The first request of that method, now or soon. */
  request(method: string): Promise<SipRequest> {
    return this.wait((message) =>
      message.kind === "request" && message.method === method ? message : undefined,
    );
  }

  /** Answers a request that was received, later than at once. */
  answer(request: SipRequest, status: number): void {
    const toTag = createHash("sha256").update(`${this.aor}${this.port}`).digest("hex").slice(0, 8);
    this.send(createResponse(request, status, { toTag, headers: [["Contact", this.contact]] }));
  }

  #take(message: SipMessage): void {
    this.received.push(message);
    for (const look of [...this.#listeners]) look();
    if (message.kind === "request") this.#serve(message);
  }

  #serve(request: SipRequest): void {
    const reply = (to: SipRequest, status: number): void => this.answer(to, status);
    if (request.method === "INVITE") for (const status of this.answers) reply(request, status);
    else if (request.method === "CANCEL") {
      reply(request, 200);
      const invite = this.received.find(
        (each) => each.kind === "request" && each.method === "INVITE" && isOfOne(each, request),
      );
      if (invite?.kind === "request") reply(invite, 487);
    } else if (request.method !== "ACK") reply(request, 200);
  }

  #acknowledge(request: SipRequest, response: SipResponse): void {
    const base: SipRequest = {
      ...request,
      method: "ACK",
      headers: request.headers.filter(({ name }) => !/^(contact|proxy-authorization)$/i.test(name)),
    };
    const numbered = withHeader(
      base,
      "CSeq",
      `${Number.parseInt(headerValue(request, "CSeq") ?? "", 10)} ACK`,
    );
    const toward = withHeader(numbered, "To", headerValue(response, "To") ?? "");
    if (response.status >= 300) {
      this.send(toward);
      return;
    }
    const contact = headerValue(response, "Contact") ?? `<${request.uri}>`;
    const routes = headerValues(response, "Record-Route").toReversed();
    const uri = /<([^>]*)>/.exec(contact)?.[1] ?? request.uri;
    const fresh = withHeader({ ...toward, uri }, "Via", serializeVia(this.#via()));
    this.send(routes.reduce((made, value) => appendHeader(made, "Route", value), fresh));
  }

  #via() {
    return ownVia(this.#setting.transport, this.#address, this.port, newBranch(randomBytes));
  }

  get #address(): string {
    return this.#setting.address ?? "127.0.0.1";
  }
}

const isOfOne = (one: SipRequest, other: SipRequest): boolean =>
  headerValue(one, "Call-ID") === headerValue(other, "Call-ID") &&
  headerValues(one, "Via")[0] === headerValues(other, "Via")[0];

function isFinalTo(request: SipRequest, message: SipMessage): SipResponse | undefined {
  if (message.kind === "request" || message.status < 200) return undefined;
  const [sent, back] = [request, message].map((each) => {
    const via = headerRows(each, "Via")[0]?.value;
    return via === undefined
      ? ""
      : parseVia(via).params.find(({ name }) => name === "branch")?.value;
  });
  return sent === back ? message : undefined;
}

async function openUdp(
  { controller, address = "127.0.0.1" }: PhoneSetting,
  take: (message: SipMessage) => void,
): Promise<Wire> {
  const socket = createSocket("udp4");
  socket.bind(0, address);
  await once(socket, "listening");
  socket.on("message", (octets) => take(parseMessage(octets)));
  socket.on("error", () => undefined);
  return {
    port: socket.address().port,
    send: (octets) => socket.send(octets, controller.port, controller.address),
    close: () => socket.close(),
  };
}

async function openStream(
  { transport, controller, ca, serverName = "", address = "127.0.0.1" }: PhoneSetting,
  take: (message: SipMessage) => void,
): Promise<Wire> {
  const tcp = connect({ host: controller.address, port: controller.port, localAddress: address });
  await once(tcp, "connect");
  const port = tcp.localPort ?? 0;
  let socket: Socket = tcp;
  if (transport === "tls") {
    const secured = tlsConnect({
      socket: tcp,
      servername: serverName,
      ...(ca === undefined ? {} : { ca }),
    });
    await once(secured, "secureConnect");
    socket = secured;
  }
  const framer = new StreamFramer();
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    for (const item of framer.push(chunk))
      if (item.kind === "request" || item.kind === "response") take(item);
  });
  return {
    port,
    send: (octets) => void socket.write(octets),
    close: () => void socket.destroy(),
  };
}
