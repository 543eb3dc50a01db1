/**
 * What a phone does with offers and answers that are not what they should be: real envelopes, real
 * signatures, real processes.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { LabProcess } from "../../lab/lab-process.ts";
import { openOffer } from "../../protocol/body/open-body.ts";
import { sealAnswer, sealOffer } from "../../protocol/body/seal-body.ts";
import { sealEnvelope } from "../../protocol/cms/seal-message.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import {
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
  withHeader,
} from "../../protocol/sip/message.ts";
import { stampVia } from "../../protocol/sip/transaction-key.ts";
import { createSipTransport, type SipTransportHandle } from "../../runtime/sip-transport.ts";
import { ALICE, BOB, freeMediaPort, freePort, Household, LOOPBACK } from "./device-harness.ts";

let house: Household;
before(() => {
  house = new Household();
  house.addStrangers();
});
after(() => house.close());

const SDP = Buffer.from(
  [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "c=IN IP4 127.0.0.1",
    "t=0 0",
    "m=audio 40000 RTP/SAVP 0",
    `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${Buffer.alloc(30, 7).toString("base64")}`,
    "",
  ].join("\r\n"),
);
const SIGNED = ["From", "To", "Call-ID", "CSeq", "Date", "Contact"];
const PKCS7 = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";
const PKCS7_CBC = "application/pkcs7-mime;smime-type=enveloped-data;name=smime.p7m";

const sipfragOf = (message: SipMessage) =>
  SIGNED.map((name) => [name, headerValue(message, name) ?? ""] as const);

function createInvite(at = Date.now()): SipRequest {
  return createRequest({
    ...{ method: "INVITE", uri: BOB, callId: randomBytes(8).toString("hex"), cseq: 1 },
    via: ownVia("tcp", LOOPBACK, undefined, newBranch(randomBytes)),
    from: { uri: ALICE, params: [{ name: "tag", value: "a" }] },
    to: { uri: BOB, params: [] },
    headers: [
      ["Contact", `<sip:alice@${LOOPBACK}>`],
      ["Date", serializeSipDate(at)],
    ],
  });
}

interface Body {
  readonly body: Buffer;
  readonly contentType: string;
}

const withContent = <M extends SipMessage>(message: M, { body, contentType }: Body): M => ({
  ...withHeader(message, "Content-Type", contentType),
  body,
});

/** A good offer but for what `changes` say. */
function seal(invite: SipRequest, changes: Partial<Parameters<typeof sealOffer>[0]> = {}) {
  const request = {
    ...{ sipfrag: sipfragOf(invite), sdp: SDP, signer: house.identity("alice") },
    ...{ recipients: [house.certificate("bob")], form: "rfc3185" as const, random: randomBytes },
  };
  return sealOffer({ ...request, ...changes });
}

function sealUnsigned(cipher: "aes-256-gcm" | "aes-256-cbc"): Body {
  const content = Buffer.concat([Buffer.from("Content-Type: application/sdp\r\n\r\n"), SDP]);
  const recipients = [{ kind: "certificate", certificate: house.certificate("bob") } as const];
  const { message } = sealEnvelope({ content, cipher, recipients, random: randomBytes });
  return { body: message, contentType: cipher === "aes-256-gcm" ? PKCS7 : PKCS7_CBC };
}

const TWO_HOURS_MS = 7_200_000;

type Make = () => Promise<SipRequest>;
const sealedWith =
  (changes: () => Partial<Parameters<typeof sealOffer>[0]>): Make =>
  async () => {
    const invite = createInvite();
    return withContent(invite, await seal(invite, changes()));
  };

const OFFERS: readonly (readonly [name: string, make: Make, status: number])[] = [
  ["sealed for another", sealedWith(() => ({ recipients: [house.certificate("alice")] })), 493],
  [
    "tampered with",
    async () => {
      const invite = createInvite();
      const { body, contentType } = await seal(invite);
      body.writeUInt8(body.readUInt8(body.length - 1) ^ 1, body.length - 1);
      return withContent(invite, { body, contentType });
    },
    493,
  ],
  ["noise", async () => withContent(createInvite(), { body: SDP, contentType: PKCS7 }), 493],
  ["unsigned", async () => withContent(createInvite(), sealUnsigned("aes-256-gcm")), 495],
  [
    "unsigned under CBC, where an answer of its own would be an oracle",
    async () => withContent(createInvite(), sealUnsigned("aes-256-cbc")),
    493,
  ],
  [
    "signed under an authority that nobody trusts",
    sealedWith(() => ({ signer: house.identity("alice", "strangers") })),
    403,
  ],
  ["signed by another than From", sealedWith(() => ({ signer: house.identity("bob") })), 403],
  ["signed for another call", sealedWith(() => ({ sipfrag: sipfragOf(createInvite()) })), 403],
  [
    "signed two hours ago",
    async () => {
      const invite = createInvite(Date.now() - TWO_HOURS_MS);
      return withContent(invite, await seal(invite));
    },
    403,
  ],
  ["holding no description", sealedWith(() => ({ sdp: Buffer.from("hello\r\n") })), 488],
  [
    "in clear",
    async () => withContent(createInvite(), { body: SDP, contentType: "application/sdp" }),
    488,
  ],
  [
    "of a type unknown",
    async () => withContent(createInvite(), { body: SDP, contentType: "text/plain" }),
    415,
  ],
];

describe("a called phone refuses an offer", () => {
  let bob: LabProcess;
  let peer: SipTransportHandle;
  let target: Target;
  const waiting = new Map<string, (response: SipResponse) => void>();

  before(async () => {
    target = { transport: "tcp", address: LOOPBACK, port: await freePort() };
    const listen = { transport: "tcp", port: target.port };
    bob = house.start("bob", ["answer"], { listen, media: { rtpPort: await freeMediaPort() } });
    await bob.event({ event: "listening" });
    peer = await createSipTransport({
      listeners: [],
      onClosed: () => {},
      onMessage: ({ message }) => {
        if (message.kind === "response" && message.status !== 100)
          waiting.get(headerValue(message, "Call-ID") ?? "")?.(message);
      },
    });
  });
  after(async () => {
    await peer.close();
    await bob.stop();
  });

  /** The first response but 100. */
  async function answerTo(invite: SipRequest): Promise<SipResponse> {
    const answered = new Promise<SipResponse>((resolve) => {
      waiting.set(headerValue(invite, "Call-ID") ?? "", resolve);
    });
    await peer.send(invite, target);
    return answered;
  }

  for (const [name, make, status] of OFFERS)
    test(`${name}: ${status}`, async () => {
      const before = bob.events({ event: "refused" }).length;
      assert.equal((await answerTo(await make())).status, status);
      await bob.event({ event: "refused", status }, undefined, before);
      assert.deepEqual(bob.events({ event: "incoming" }), []);
    });

  test("but a good one still rings", async () => {
    const invite = createInvite();
    assert.equal((await answerTo(withContent(invite, await seal(invite)))).status, 180);
  });
});

/** Answers alice's INVITE as `answer` says; keeps what she sends. */
async function startHostile(
  answer: (invite: SipRequest) => Promise<SipResponse>,
): Promise<SipTransportHandle & { readonly methods: string[] }> {
  const methods: string[] = [];
  const transport = await createSipTransport({
    listeners: [{ transport: "tcp", address: LOOPBACK, port: 0 }],
    onClosed: () => {},
    onMessage: async ({ message, flow, peer }) => {
      if (message.kind !== "request") return;
      const request = stampVia(message, peer);
      methods.push(request.method);
      if (request.method === "ACK") return;
      const isInvite = request.method === "INVITE";
      await transport.send(
        isInvite ? await answer(request) : createResponse(request, 200, { toTag: "h" }),
        flow,
      );
    },
  });
  return Object.assign(transport, { methods });
}

const refusal = (status: number, contentType: string, body: Buffer) => async (invite: SipRequest) =>
  createResponse(invite, status, { toTag: "h", headers: [["Content-Type", contentType]], body });

function accept(invite: SipRequest): SipResponse {
  return createResponse(invite, 200, {
    toTag: "h",
    headers: [
      ["Contact", `<sip:bob@${LOOPBACK}>`],
      ["Date", serializeSipDate(Date.now())],
    ],
  });
}

/** An answer that bob's own key could open the offer for, sealed under its first key. */
async function sealedAnswer(
  invite: SipRequest,
  changes: Partial<Parameters<typeof sealAnswer>[0]>,
): Promise<SipResponse> {
  const response = accept(invite);
  const contentType = headerValue(invite, "Content-Type") ?? "";
  const holder = house.identity("bob");
  const { firstKey } = await openOffer({ body: invite.body, contentType, holder });
  const content = { sipfrag: sipfragOf(response), sdp: SDP, signer: holder };
  return withContent(
    response,
    await sealAnswer({ ...content, firstKey, random: randomBytes, ...changes }),
  );
}

type Answer = (invite: SipRequest) => Promise<SipResponse>;

const REFUSED: readonly (readonly [name: string, answer: () => Answer, status: number])[] = [
  [
    "493 with a certificate of the attacker's",
    () => refusal(493, "application/pkcs7-mime", house.certificate("bob", "strangers")),
    493,
  ],
  [
    "496 with a certificate of the attacker's",
    () => refusal(496, "application/pkix-cert", house.certificate("bob", "strangers")),
    496,
  ],
  ["495", () => refusal(495, "text/plain", Buffer.alloc(0)), 495],
  ["415", () => refusal(415, "text/plain", Buffer.alloc(0)), 415],
];

const BAD_ANSWERS: readonly (readonly [name: string, answer: () => Answer, reason: RegExp])[] = [
  [
    "a description in clear",
    () => async (invite) =>
      withContent(accept(invite), { body: SDP, contentType: "application/sdp" }),
    /not sealed/,
  ],
  [
    "the offer itself again",
    () => async (invite) =>
      withContent(accept(invite), {
        body: invite.body,
        contentType: headerValue(invite, "Content-Type") ?? "",
      }),
    /ERR_CMS/,
  ],
  [
    "a signature under an authority that nobody trusts",
    () => (invite) => sealedAnswer(invite, { signer: house.identity("bob", "strangers") }),
    /ERR_CERTIFICATE/,
  ],
  [
    "a signature of the caller's own",
    () => (invite) => sealedAnswer(invite, { signer: house.identity("alice") }),
    /signed by somebody else/,
  ],
];

async function callHostile(answer: Answer) {
  const hostile = await startHostile(answer);
  const [listening] = hostile.listening;
  const outbound = { transport: "tcp", address: LOOPBACK, port: listening?.port };
  const media = { rtpPort: await freeMediaPort() };
  const alice = house.start("alice", ["call", BOB], { outbound, media });
  const { code } = await alice.exited;
  await hostile.close();
  assert.equal(code, 1);
  const [failed] = alice.events({ event: "failed" });
  assert(failed !== undefined, alice.tail());
  assert.deepEqual(alice.events({ event: "media-started" }), []);
  return { failed, methods: hostile.methods.filter((method) => method !== "OPTIONS") };
}

describe("a calling phone fails, and tries nothing again, when it is answered", () => {
  for (const [name, answer, status] of REFUSED)
    test(name, async () => {
      const { failed, methods } = await callHostile(answer());
      assert.equal(failed["status"], status);
      assert.deepEqual(methods, ["INVITE", "ACK"]);
    });

  for (const [name, answer, reason] of BAD_ANSWERS)
    test(`with ${name}: ACK, then BYE`, async () => {
      const { failed, methods } = await callHostile(answer());
      assert.match(String(failed["reason"]), reason);
      assert.deepEqual(methods, ["INVITE", "ACK", "BYE"]);
    });
});

test("a phone that reaches nobody fails", async () => {
  const outbound = { transport: "tcp", address: LOOPBACK, port: await freePort() };
  const media = { rtpPort: await freeMediaPort() };
  const alice = house.start("alice", ["call", BOB], { outbound, media });
  assert.equal((await alice.exited).code, 1);
  assert.equal(alice.events({ event: "failed" }).length, 1);
});

test("a configuration that does not fit is refused before anything is sent", async () => {
  const alice = house.start("alice", ["call", BOB], { media: { rtpPort: 40_001 } });
  assert.equal((await alice.exited).code, 78);
  assert.match(alice.tail(), /media\.rtpPort/);

  const keys = { certificate: "keys/bob.pem", key: "keys/alice.key" };
  const mixed = { identity: keys, media: { rtpPort: 40_000 } };
  const outbound = { transport: "tcp", address: LOOPBACK, port: 5060 };
  const mistaken = house.start("alice", ["call", BOB], { ...mixed, outbound });
  assert.equal((await mistaken.exited).code, 78);
  assert.match(mistaken.tail(), /identity\.certificate.*identity\.key/);
});
