/**
 * Calls through a real controller, between its stand-in agent and the next hop: alice's sealed
 * INVITE, bob's answer, and the requests of both within the dialog.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  CONTROLLER_LABEL,
  forgeAnswer,
  forgeInvite,
  withSealedOffer,
} from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import { readCertificate, readIdentity } from "../../lab/identities.ts";
import type { SipPeer } from "../../lab/sip-peer.ts";
import { CONTROLLER_NAME } from "../../lab/site-config.ts";
import type { SessionPut } from "../../protocol/control/messages.ts";
import {
  headerValue,
  headerValues,
  prependHeader,
  type SipRequest,
  type SipResponse,
  withHeader,
  withValues,
} from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import {
  Biloxi,
  connectCaller,
  createFolder,
  type Folder,
  type FolderOptions,
  type RunningProgram,
  removeFolder,
  StandInAgent,
  startController,
  until,
} from "./controller-harness.ts";

const FIRST_PORT = 20_000;
/** RTP and RTCP. */
const PORTS_OF_A_CALL = 2;
/** From a caller's port to the one of his callee. */
const CALLEE_OFFSET = 10_000;

export interface Answered {
  readonly invite: SipRequest;
  /** As it reached biloxi. */
  readonly forwarded: SipRequest;
  readonly response: SipResponse;
  readonly session: string;
  readonly sealedOrder: string;
}

/** What an INVITE of alice's may have instead of the usual. */
export interface OfferOptions {
  readonly recipients?: readonly string[];
  readonly sdp?: Buffer;
  readonly form?: "rfc3185" | "patent";
}

export const callIdOf = (message: SipRequest | SipResponse): string =>
  headerValue(message, "Call-ID") ?? "";

export class ControllerCalls {
  readonly folder: Folder;
  readonly agent: StandInAgent;
  readonly biloxi = new Biloxi();
  #lastPort = FIRST_PORT - PORTS_OF_A_CALL;
  #controller: RunningProgram | undefined;
  #alice: SipPeer | undefined;

  private constructor(folder: Folder) {
    this.folder = folder;
    this.agent = new StandInAgent(folder);
  }

  /** A controller with its agent and its next hop, and alice connected. */
  static async open(options?: FolderOptions): Promise<ControllerCalls> {
    const calls = new ControllerCalls(await createFolder(options));
    try {
      await Promise.all([calls.agent.listen(), calls.biloxi.listen(calls.folder)]);
      await calls.start();
      return calls;
    } catch (error) {
      await calls.close();
      throw error;
    }
  }

  /** Starts the controller, again if it ended, and connects alice. */
  async start(): Promise<void> {
    const controller = await startController(this.folder);
    this.#controller = controller;
    await until(() => controller.hasLogged("agent there"));
    this.#alice = await connectCaller(this.folder, "alice");
  }

  async close(): Promise<void> {
    this.#alice?.close();
    await this.#controller?.stop();
    await Promise.all([this.agent.close(), this.biloxi.close()]);
    removeFolder(this.folder);
  }

  get controller(): RunningProgram {
    assert.ok(this.#controller, "not started");
    return this.#controller;
  }

  get alice(): SipPeer {
    assert.ok(this.#alice, "not connected");
    return this.#alice;
  }

  /** The folder of keys and certificates. */
  get keys(): string {
    return join(this.folder.path, "keys");
  }

  /** Where alice's last call has its media. */
  get lastPort(): number {
    return this.#lastPort;
  }

  /** An INVITE of alice's; calls that run at a time share no port, unless they are told. */
  async sealedInvite(options: OfferOptions = {}): Promise<SipRequest> {
    const { recipients = ["bob", CONTROLLER_NAME], form = "rfc3185" } = options;
    const { message } = await withSealedOffer(forgeInvite(), {
      sdp: options.sdp ?? forgeSdp({ port: this.#nextPort() }),
      signer: readIdentity(this.keys, "alice"),
      recipients: recipients.map((name) => readCertificate(this.keys, name)),
      label: CONTROLLER_LABEL,
      form,
    });
    return message;
  }

  /** A sealed call as far as its 200 at alice, acknowledged. */
  async placeCall(): Promise<Answered> {
    const before = this.agent.puts.length;
    const invite = await this.sealedInvite();
    this.alice.send(invite);
    const arrived = await this.biloxi.request("INVITE", callIdOf(invite));
    const forwarded = arrived.message as SipRequest;
    const sdp = forgeSdp({ address: "10.20.0.2", port: this.#lastPort + CALLEE_OFFSET });
    const own = `<sip:127.0.0.3:${this.folder.biloxiPort};transport=tcp;lr>`;
    const recorded = prependHeader(forwarded, "Record-Route", own);
    const bob = readIdentity(this.keys, "bob");
    this.biloxi.peer?.send(await forgeAnswer(recorded, { sdp, bob }));
    const response = await this.alice.final(invite);
    assert.equal(response.status, 200);
    this.alice.send(fromAlice("ACK", { invite, response }));
    await this.biloxi.request("ACK", callIdOf(invite));
    const put = this.agent.puts.slice(before).at(-1);
    assert.ok(put?.recording, "the agent was asked for nothing");
    const { session, recording } = put;
    return { invite, forwarded, response, session, sealedOrder: recording.sealedOrder };
  }

  /** The only put that the agent was asked for since it had been asked for so many. */
  onlyPutSince(count: number): SessionPut {
    assert.equal(this.agent.puts.length, count + 1);
    return this.agent.puts[count] as SessionPut;
  }

  /** True if the agent was told to close it. */
  isClosed(session: string): boolean {
    return this.agent.asked.some(
      ({ request }) => request.kind === "session.close" && request.session === session,
    );
  }

  #nextPort(): number {
    this.#lastPort += PORTS_OF_A_CALL;
    return this.#lastPort;
  }
}

/** A request of alice's within the dialog. */
export function fromAlice(
  method: string,
  { invite, response }: Pick<Answered, "invite" | "response">,
): SipRequest {
  const routes = headerValues(response, "Record-Route").toReversed();
  const headers = invite.headers.filter(({ name }) => !/^(content-|proxy-inspect)/i.test(name));
  const uri = contactOf(response);
  const bare: SipRequest = { ...invite, method, uri, headers, body: Buffer.alloc(0) };
  const rows = [
    ["Via", `SIP/2.0/TLS 10.10.0.2:5099;branch=z9hG4bK${method}${callIdOf(invite)}`],
    ["To", headerValue(response, "To") ?? ""],
    ["CSeq", `${method === "ACK" ? 1 : 2} ${method}`],
  ] as const;
  return rows.reduce(
    (made, [name, value]) => withHeader(made, name, value),
    withValues(bare, "Route", routes),
  );
}

/** Bob's BYE, as biloxi hands it on. */
export function byeFromBob({ invite, forwarded, response }: Answered): SipRequest {
  const rows = [
    ["Via", `SIP/2.0/TCP 127.0.0.3:5060;branch=z9hG4bKbye${callIdOf(invite)}`],
    ["Max-Forwards", "70"],
    ...headerValues(forwarded, "Record-Route").map((value) => ["Route", value] as const),
    ["From", headerValue(response, "To") ?? ""],
    ["To", headerValue(invite, "From") ?? ""],
    ["Call-ID", callIdOf(invite)],
    ["CSeq", "1 BYE"],
  ] as const;
  const headers = rows.map(([name, value]) => ({ name, value }));
  const uri = contactOf(forwarded);
  return { kind: "request", method: "BYE", uri, headers, body: Buffer.alloc(0) };
}

const contactOf = (message: SipRequest | SipResponse): string =>
  parseNameAddr(headerValue(message, "Contact") ?? "").uri;
