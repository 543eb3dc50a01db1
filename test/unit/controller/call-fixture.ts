/** Messages, bodies and a driver for one call: alice inside calls bob beyond the gateway. */
import assert from "node:assert/strict";
import type { PutResult } from "../../../controller/core/agent-client-port.ts";
import { Call } from "../../../controller/core/call.ts";
import type {
  CallEffect,
  CallInput,
  CallRules,
  CallSetting,
  Inspection,
  OpenedBody,
  SessionRequest,
} from "../../../controller/core/call-port.ts";
import type { CallSnapshot } from "../../../controller/core/call-snapshot.ts";
import type { MediaPolicy } from "../../../controller/core/media-policy.ts";
import type { Party, Side } from "../../../controller/core/party.ts";
import { SeenBodies } from "../../../controller/core/seen-bodies.ts";
import type { FirstKey } from "../../../protocol/cms/first-key.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { Secret } from "../../../protocol/secret.ts";
import {
  headerRows,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../../protocol/sip/message.ts";

export const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);
export const ALICE = "sip:alice@atlanta.example.com";
export const BOB = "sip:bob@biloxi.example.com";
export const APPLY_TIMEOUT_MS = 2_000;

export const POLICY: MediaPolicy = {
  protectedPrefixes: [parsePrefix("10.10.0.0/24")],
  ports: [16_384, 65_535],
  gatewayAddresses: ["10.10.0.1", "10.20.0.1"],
};

export const KEYS = {
  alice: "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",
  bob: "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC",
  bob2: "Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND",
} as const;

const COMMON = [
  ["From", `<${ALICE}>;tag=a1`],
  ["Call-ID", "c1@atlanta.example.com"],
  ["CSeq", "1 INVITE"],
  ["Date", "Sun, 22 Nov 2026 12:00:00 GMT"],
] as const;

const rows = (pairs: readonly (readonly [string, string])[]) =>
  pairs.map(([name, value]) => ({ name, value }));

export const SEALED_TYPE = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";

export function invite(body = "sealed offer", type = SEALED_TYPE): SipRequest {
  return {
    kind: "request",
    method: "INVITE",
    uri: BOB,
    headers: rows([
      ["Via", "SIP/2.0/TLS 10.10.0.2:40000;branch=z9hG4bKalice1"],
      ["Max-Forwards", "70"],
      ...COMMON,
      ["To", `<${BOB}>`],
      ["Contact", "<sip:alice@10.10.0.2:40000;transport=tls>"],
      ...(body === "" ? [] : ([["Content-Type", type]] as const)),
    ]),
    body: Buffer.from(body),
  };
}

export interface ResponseSketch {
  readonly tag?: string;
  readonly body?: string;
  readonly type?: string;
  /** CSeq of the request that it answers. */
  readonly cseq?: string;
  /** Reliably provisional (RFC 3262). */
  readonly reliable?: boolean;
}

export function response(status: number, sketch: ResponseSketch = {}): SipResponse {
  const { tag = "b1", body = "", type = SEALED_TYPE, cseq = "1 INVITE", reliable } = sketch;
  return {
    kind: "response",
    status,
    reason: "whatever",
    headers: rows([
      ...COMMON.filter(([name]) => name !== "CSeq"),
      ["CSeq", cseq],
      ["To", `<${BOB}>;tag=${tag}`],
      ...(reliable === true
        ? ([
            ["RSeq", "1"],
            ["Require", "timer, 100rel"],
          ] as const)
        : []),
      ...(body === "" ? [] : ([["Content-Type", type]] as const)),
    ]),
    body: Buffer.from(body),
  };
}

export interface SdpSketch {
  readonly address?: string;
  readonly port?: number;
  readonly key?: string;
}

export function sdp({ address = "10.10.0.2", port = 20_000, key = KEYS.alice }: SdpSketch): Buffer {
  const lines = [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    `m=audio ${port} RTP/SAVP 0`,
    `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${key}`,
    "",
  ];
  return Buffer.from(lines.join("\r\n"));
}

/** An opened body that fits the message it came with. */
export function opened(message: SipMessage, signer: string, description: Buffer): OpenedBody {
  const sipfrag = ["From", "To", "Call-ID", "CSeq", "Date"].flatMap((name) =>
    headerRows(message, name).map(({ value }) => [name, value] as const),
  );
  return { signer: [signer], sipfrag, sdp: description };
}

export const bobAnswers = (sketch: SdpSketch = {}, answer = response(200)): Inspection => ({
  kind: "opened",
  body: opened(answer, BOB, sdp({ address: "10.20.0.2", port: 30_000, key: KEYS.bob, ...sketch })),
});

export const SDP_TYPE = "application/sdp";

/** A request of the dialog, from one of its parties. */
export function inDialog(
  method: string,
  side: Side,
  sketch: Pick<ResponseSketch, "tag" | "body" | "type"> & { readonly cseq?: number } = {},
): SipRequest {
  const { tag = "b1", body = "", type = SDP_TYPE, cseq = 2 } = sketch;
  const [alice, bob] = [`<${ALICE}>;tag=a1`, `<${BOB}>;tag=${tag}`];
  return {
    kind: "request",
    method,
    uri: side === "caller" ? BOB : ALICE,
    headers: rows([
      ["From", side === "caller" ? alice : bob],
      ["To", side === "caller" ? bob : alice],
      ["Call-ID", "c1@atlanta.example.com"],
      ["CSeq", `${cseq} ${method}`],
      ["Date", "Sun, 22 Nov 2026 12:00:00 GMT"],
      ...(body === "" ? [] : ([["Content-Type", type]] as const)),
    ]),
    body: Buffer.from(body),
  };
}

export const INSIDE: Party = {
  aor: ALICE,
  addresses: ["10.10.0.2"],
  requireSealed: false,
};
export const OUTSIDE: Party = { addresses: [], requireSealed: false };

export const APPLIED: PutResult = { kind: "applied", recording: "accepted" };

/** A call with its effects in plain words, and the puts apart. */
export class CallDriver {
  readonly firstKey: FirstKey = { cek: new Secret(Buffer.alloc(32, 7)), cipher: "aes-256-gcm" };
  readonly puts: SessionRequest[] = [];
  readonly request: SipRequest;
  readonly rules: CallRules;
  /** What was asked last to be inspected, by dialog; that of the INVITE is under `invite`. */
  readonly inspections = new Map<string, string>();
  snapshot: CallSnapshot | undefined;
  call: Call;
  now = NOW;
  #refs = 0;

  constructor(setting: Partial<CallSetting> = {}) {
    let names = 0;
    this.request = setting.invite ?? invite();
    this.rules = {
      parties: { caller: INSIDE, callee: OUTSIDE },
      policy: POLICY,
      seen: new SeenBodies(),
      applyTimeoutMs: APPLY_TIMEOUT_MS,
      mustRecord: true,
      emergency: false,
      nameSession: () => {
        names += 1;
        return { session: `s${names}`, recording: `r${names}` };
      },
      ...setting,
    };
    this.call = new Call({ labelled: false, ...setting, ...this.rules, invite: this.request });
  }

  /** Feeds one input; returns the effects, each as one line, without what is to be saved. */
  feed(input: CallInput): string[] {
    const effects = this.call.handle(input, this.now);
    for (const effect of effects) this.#note(effect);
    return effects.flatMap((effect) => (effect.kind === "save" ? [] : [describe(effect)]));
  }

  #note(effect: CallEffect): void {
    if (effect.kind === "put") this.puts.push(effect.put);
    if (effect.kind === "save") this.snapshot = effect.snapshot;
    if (effect.kind !== "inspect") return;
    const [, tag = "invite"] = effect.ref.split(" ");
    this.inspections.set(tag, effect.ref);
  }

  inspected(description = sdp({}), signer = ALICE): string[] {
    const body = opened(this.request, signer, description);
    const { firstKey } = this;
    return this.inspect("invite", { kind: "opened", body, firstKey });
  }

  /** Hands in the result of what was asked last of that dialog. */
  inspect(tag: string, inspection: Inspection): string[] {
    const ref = this.inspections.get(tag) ?? "invite";
    return this.feed({ kind: "inspected", ref, inspection });
  }

  settle(session: string, revision: number, result: PutResult = APPLIED): string[] {
    return this.feed({ kind: "put-result", session, revision, result });
  }

  /** The gateway applies what it was asked for last. */
  applied(result: PutResult = APPLIED): string[] {
    const put = this.puts.at(-1);
    assert.ok(put !== undefined);
    return this.settle(put.session, put.revision, result);
  }

  respond(status: number, sketch: ResponseSketch = {}): string[] {
    return this.feed({ kind: "response", response: response(status, sketch) });
  }

  answer(inspection: Inspection = bobAnswers(), toTag = "b1"): string[] {
    return this.inspect(toTag, inspection);
  }

  /** A request within a dialog, under a name of its own: `q1`, `q2` and so on. */
  ask(method: string, side: Side, sketch: Parameters<typeof inDialog>[2] = {}): string[] {
    this.#refs += 1;
    const request = inDialog(method, side, sketch);
    const tag = sketch.tag ?? "b1";
    return this.feed({ kind: "request", ref: `q${this.#refs}`, tag, side, request });
  }

  /** What came back for the request that was asked last, or another. */
  replied(status: number, sketch: ResponseSketch = {}, ref = `q${this.#refs}`): string[] {
    const tag = sketch.tag ?? "b1";
    const made = { type: SDP_TYPE, cseq: "2 INVITE", ...sketch };
    return this.feed({
      kind: "request-response",
      ref,
      tag,
      response: response(status, made),
    });
  }

  ack(side: Side = "caller", sketch: Parameters<typeof inDialog>[2] = {}): string[] {
    const tag = sketch.tag ?? "b1";
    return this.feed({ kind: "acknowledged", tag, side, ack: inDialog("ACK", side, sketch) });
  }

  /** Lets time pass. */
  wait(ms: number): string[] {
    this.now += ms;
    return this.feed({ kind: "tick" });
  }

  /** As far as an INVITE that has gone on. */
  placed(): this {
    this.feed({ kind: "start" });
    this.inspected();
    assert.deepEqual(this.settle("s1", 1), ["info call-opened s1", "forward INVITE"]);
    return this;
  }

  /** As far as a 200 that has gone on. */
  answered(): this {
    this.placed();
    this.respond(200, { body: "sealed answer" });
    this.answer();
    assert.equal(this.settle("s1", 2).at(-1), "forward 200 b1");
    return this;
  }

  /** Takes the call up as it was saved last, as after a restart. */
  restart(): void {
    assert.ok(this.snapshot !== undefined);
    const saved = JSON.parse(JSON.stringify(this.snapshot)) as CallSnapshot;
    this.call = Call.restore(saved, this.rules);
  }
}

function describe(effect: Exclude<CallEffect, { kind: "save" }>): string {
  switch (effect.kind) {
    case "inspect": {
      const [, tag] = effect.ref.split(" ");
      if (tag === undefined) return "inspect offer";
      return effect.message.kind === "response"
        ? `inspect answer ${tag}`
        : `inspect ${effect.message.method} ${tag}`;
    }
    case "put": {
      const { session, revision, background } = effect.put;
      return `${background ? "narrow" : "put"} ${session} ${revision} ${holes(effect.put)}`.trim();
    }
    case "close":
      return `close ${effect.session} (${effect.reason})`;
    case "forward-invite":
      return "forward INVITE";
    case "forward-response":
      return `forward ${effect.response.status} ${toTagOf(effect.response)}`;
    case "forward-request":
      return `forward ${effect.ref}`;
    case "refuse-request":
      return `refuse ${effect.ref} ${effect.refusal.status}`;
    case "forward-request-response":
      return `forward ${effect.response.status} of ${effect.ref}`;
    case "cancel-invite":
      return "cancel INVITE";
    case "refuse":
      return `refuse ${effect.refusal.status}`;
    case "report":
      return [effect.level, effect.event, effect.verdict ?? effect.session ?? effect.reason]
        .filter((word) => word !== undefined)
        .join(" ");
  }
}

const toTagOf = (message: SipResponse): string =>
  headerRows(message, "To")[0]?.value.split("tag=")[1] ?? "";

export const holes = ({ pinholes }: Pick<SessionRequest, "pinholes">): string =>
  pinholes.map(({ from, to }) => `${from.address ?? "any"}>${to.address}:${to.port}`).join(" ");
