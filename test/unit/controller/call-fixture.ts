/** Messages, bodies and a driver for one call: alice inside calls bob beyond the gateway. */
import assert from "node:assert/strict";
import type { PutResult } from "../../../controller/core/agent-client-port.ts";
import { Call } from "../../../controller/core/call.ts";
import type { CallEffect, SessionRequest } from "../../../controller/core/call-effect.ts";
import type { CallInput, CallSetting } from "../../../controller/core/call-input.ts";
import type { AnswerInspection, OpenedBody } from "../../../controller/core/inspection.ts";
import type { MediaPolicy } from "../../../controller/core/media-policy.ts";
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

const SEALED_TYPE = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";

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
}

export function response(status: number, sketch: ResponseSketch = {}): SipResponse {
  const { tag = "b1", body = "", type = SEALED_TYPE } = sketch;
  return {
    kind: "response",
    status,
    reason: "whatever",
    headers: rows([
      ...COMMON,
      ["To", `<${BOB}>;tag=${tag}`],
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

export const bobAnswers = (sketch: SdpSketch = {}, answer = response(200)): AnswerInspection => ({
  kind: "opened",
  body: opened(answer, BOB, sdp({ address: "10.20.0.2", port: 30_000, key: KEYS.bob, ...sketch })),
});

export const APPLIED: PutResult = { kind: "applied", recording: "accepted" };

/** A call with its effects in plain words, and the puts apart. */
export class CallDriver {
  readonly firstKey: FirstKey = { cek: new Secret(Buffer.alloc(32, 7)), cipher: "aes-256-gcm" };
  readonly puts: SessionRequest[] = [];
  readonly call: Call;
  readonly request: SipRequest;
  now = NOW;

  constructor(setting: Partial<CallSetting> = {}) {
    let names = 0;
    this.request = setting.invite ?? invite();
    this.call = new Call({
      invite: this.request,
      body: "sealed",
      labelled: false,
      ownAddresses: ["10.10.0.2"],
      policy: POLICY,
      seen: new SeenBodies(),
      applyTimeoutMs: APPLY_TIMEOUT_MS,
      recordingRequired: true,
      nameSession: () => {
        names += 1;
        return { session: `s${names}`, recording: `r${names}` };
      },
      ...setting,
    });
  }

  /** Feeds one input; returns the effects, each as one line. */
  feed(input: CallInput): string[] {
    const effects = this.call.handle(input, this.now);
    for (const effect of effects) if (effect.kind === "put") this.puts.push(effect.put);
    return effects.map(describe);
  }

  inspected(description = sdp({}), signer = ALICE): string[] {
    const body = opened(this.request, signer, description);
    const { firstKey } = this;
    return this.feed({ kind: "offer-inspected", inspection: { kind: "opened", body, firstKey } });
  }

  settle(session: string, revision: number, result: PutResult = APPLIED): string[] {
    return this.feed({ kind: "put-result", session, revision, result });
  }

  respond(status: number, sketch: ResponseSketch = {}): string[] {
    return this.feed({ kind: "response", response: response(status, sketch) });
  }

  answer(inspection: AnswerInspection = bobAnswers(), toTag = "b1"): string[] {
    return this.feed({ kind: "answer-inspected", toTag, inspection });
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
}

function describe(effect: CallEffect): string {
  switch (effect.kind) {
    case "inspect-offer":
      return "inspect offer";
    case "inspect-answer":
      return `inspect answer ${effect.toTag}`;
    case "put":
      return `put ${effect.put.session} ${effect.put.revision} ${holes(effect.put)}`;
    case "close":
      return `close ${effect.session} (${effect.reason})`;
    case "forward-invite":
      return "forward INVITE";
    case "forward-response": {
      const tag = headerRows(effect.response, "To")[0]?.value.split("tag=")[1] ?? "";
      return `forward ${effect.response.status} ${tag}`;
    }
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

const holes = ({ pinholes }: SessionRequest): string =>
  pinholes.map(({ from, to }) => `${from.address ?? "any"}>${to.address}:${to.port}`).join(" ");
