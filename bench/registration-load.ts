/**
 * Phones that register for certificates as fast as they are answered, over one TCP connection.
 * What a phone computes (keys, requests, sealing, credentials) is computed before the clock starts.
 */
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { sealRegister } from "../lab/sealed-register.ts";
import { createCertificationRequest } from "../protocol/pki/certification-request.ts";
import { Secret } from "../protocol/secret.ts";
import { createRequest, newBranch, ownVia } from "../protocol/sip/create-request.ts";
import { DigestClient } from "../protocol/sip/digest-client.ts";
import { headerValue, type SipRequest, type SipResponse } from "../protocol/sip/message.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../protocol/sip/stream-framer.ts";
import { LOOPBACK, type Registrar } from "./registrar-site.ts";

export interface LoadResult {
  readonly tookMs: number;
  readonly latenciesMs: readonly number[];
}

interface PhoneOfLoad {
  readonly user: string;
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly digest: DigestClient;
  cseq: number;
}

interface Prepared {
  readonly octets: Buffer;
  readonly id: string;
}

const EXPIRES_S = 3600;

export class RegistrationLoad {
  readonly #site: Registrar;
  readonly #socket: Socket;
  readonly #phones: readonly PhoneOfLoad[];
  readonly #waiting = new Map<string, (response: SipResponse) => void>();
  readonly #prepared: Prepared[] = [];
  #turn = 0;

  private constructor(site: Registrar, socket: Socket) {
    this.#site = site;
    this.#socket = socket;
    this.#phones = site.users.map((user) => ({
      user,
      keys: generateKeys(site.keyType),
      digest: new DigestClient({
        username: user,
        password: new Secret(Buffer.from(user)),
        random: randomBytes,
      }),
      cseq: 0,
    }));
    const framer = new StreamFramer();
    socket.on("data", (chunk: Buffer) => {
      for (const item of framer.push(chunk)) if (item.kind === "response") this.#take(item);
    });
  }

  /** Connects, makes the phones' keys and has each of them challenged. */
  static async open(site: Registrar): Promise<RegistrationLoad> {
    const socket = connect(site.port, LOOPBACK).setNoDelay();
    await once(socket, "connect");
    const load = new RegistrationLoad(site, socket);
    for (const phone of load.#phones) {
      const request = load.#register(phone);
      const response = await load.#exchange(prepared(request));
      phone.digest.challenged(request, response);
    }
    return load;
  }

  /** Does the phones' part of so many registrations. */
  async prepare(count: number): Promise<void> {
    for (let made = 0; made < count; made += 1) this.#prepared.push(await this.#prepareNext());
  }

  /**
   * Has so many of the prepared registrations answered.
   * @param inFlight registrations under way at a time, at most the number of users
   */
  async run(count: number, inFlight: number): Promise<LoadResult> {
    const queue = this.#prepared.splice(0, count);
    const latenciesMs: number[] = [];
    const began = performance.now();
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const from = performance.now();
        const { status, reason } = await this.#exchange(next);
        if (status !== 200) throw new Error(`a registration was refused: ${status} ${reason}`);
        latenciesMs.push(performance.now() - from);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, work));
    return { tookMs: performance.now() - began, latenciesMs };
  }

  close(): void {
    this.#socket.destroy();
  }

  async #prepareNext(): Promise<Prepared> {
    const phone = this.#phones[this.#turn++ % this.#phones.length];
    if (phone === undefined) throw new RangeError("no users");
    const aor = `sip:${phone.user}@${this.#site.domain}`;
    const { request } = await sealRegister(this.#register(phone), {
      claim: {
        kind: "request",
        request: await createCertificationRequest({ aor, ...phone.keys }),
      },
      recipient: { kind: "certificate", certificate: this.#site.certificate },
      controller: this.#site.name,
    });
    return prepared(phone.digest.authorize(request));
  }

  #register(phone: PhoneOfLoad): SipRequest {
    const { domain } = this.#site;
    const aor = `sip:${phone.user}@${domain}`;
    const port = this.#socket.localPort ?? 0;
    phone.cseq += 1;
    return createRequest({
      method: "REGISTER",
      uri: `sip:${domain}`,
      via: ownVia("tcp", LOOPBACK, port, newBranch(randomBytes)),
      from: { uri: aor, params: [{ name: "tag", value: randomBytes(4).toString("hex") }] },
      to: { uri: aor, params: [] },
      callId: `load-${phone.user}`,
      cseq: phone.cseq,
      headers: [
        ["Contact", `<sip:${phone.user}@${LOOPBACK}:${port};transport=tcp>`],
        ["Expires", String(EXPIRES_S)],
      ],
    });
  }

  #exchange({ octets, id }: Prepared): Promise<SipResponse> {
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.write(octets);
    });
  }

  #take(response: SipResponse): void {
    if (response.status < 200) return;
    const id = idOf(response);
    this.#waiting.get(id)?.(response);
    this.#waiting.delete(id);
  }
}

function generateKeys(keyType: Registrar["keyType"]): PhoneOfLoad["keys"] {
  return keyType === "p256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
}

const prepared = (request: SipRequest): Prepared => ({
  octets: serializeMessage(request),
  id: idOf(request),
});

const idOf = (message: SipRequest | SipResponse): string =>
  `${headerValue(message, "Call-ID")} ${headerValue(message, "CSeq")}`;
