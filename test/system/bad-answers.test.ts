/**
 * Answers that must open nothing. A proxy cannot refuse an answer, so it goes on to alice; but the
 * holes of the offer are closed, nothing toward bob is opened, and an alarm says why.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { type ForgedBob, openForgedBob } from "../../lab/forged-bob.ts";
import {
  CONTROLLER_LABEL,
  forgeAnswer,
  forgeInvite,
  withSealedOffer,
} from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import { readCertificate, readIdentity } from "../../lab/identities.ts";
import { type InnerSockets, openInnerSockets } from "../../lab/inner-sockets.ts";
import { readKernelCounters } from "../../lab/kernel-counters.ts";
import type { JsonObject } from "../../lab/lab-process.ts";
import { isMatrixAsPromised, probeMatrix } from "../../lab/pinhole-matrix.ts";
import { connectToController, type SipPeer } from "../../lab/sip-peer.ts";
import { MEDIA_PORTS } from "../../lab/site-config.ts";
import { openStage, type Stage } from "../../lab/stage.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";

const BOB = { address: "10.20.0.2", port: MEDIA_PORTS.bob };
/** Only what is broken waits so long. */
const SETTLE_TIMEOUT_MS = 30_000;
const POLL_MS = 20;
const CALL_LABEL_DIGITS = 12;
let stage: Stage;
let inAlice: InnerSockets;
let bob: ForgedBob;
let alice: SipPeer;

before(async () => {
  stage = await openStage({ logLevel: "debug" });
  [inAlice, bob] = await Promise.all([
    openInnerSockets(stage.network, "alice"),
    openForgedBob(stage.network),
  ]);
  alice = await connectToController(inAlice, stage.site.keys, "alice");
});
after(async () => {
  await Promise.all([inAlice?.close(), bob?.close()]);
  await stage?.close();
});

interface Placed {
  readonly invite: SipRequest;
  readonly answer: SipResponse;
  /** What the controller has logged of the call by now. */
  log(): readonly JsonObject[];
}

/** Alice calls; bob answers as told; both messages come through. */
async function place(makeAnswer: (invite: SipRequest) => Promise<SipResponse>): Promise<Placed> {
  const { keys } = stage.site;
  const { message: invite } = await withSealedOffer(forgeInvite(), {
    sdp: forgeSdp(),
    signer: readIdentity(keys, "alice"),
    recipients: [readCertificate(keys, "bob"), readCertificate(keys, "ss1")],
    label: CONTROLLER_LABEL,
  });
  bob.answer = makeAnswer;
  alice.send(invite);
  const answer = await alice.final(invite);
  const hash = createHash("sha256").update(headerValue(invite, "Call-ID") ?? "");
  const call = hash.digest("hex").slice(0, CALL_LABEL_DIGITS);
  return { invite, answer, log: () => stage.programs.controller?.events({ call }) ?? [] };
}

/** Waits for what comes once the answer has gone on to alice; goes on without it in the end. */
async function settled(holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + SETTLE_TIMEOUT_MS;
  while (!holds() && performance.now() < giveUpAt)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

const signedBy =
  (name: "alice" | "bob", sdp: () => Buffer) =>
  (invite: SipRequest): Promise<SipResponse> =>
    forgeAnswer(invite, {
      sdp: sdp(),
      bob: readIdentity(stage.site.keys, "bob"),
      signer: readIdentity(stage.site.keys, name),
    });

async function inClear(invite: SipRequest): Promise<SipResponse> {
  const sealed = await signedBy("bob", () => forgeSdp(BOB))(invite);
  const headers = sealed.headers.map((row) =>
    row.name === "Content-Type" ? { ...row, value: "application/sdp" } : row,
  );
  return { ...sealed, headers, body: forgeSdp(BOB) };
}

async function alteredEnvelope(invite: SipRequest): Promise<SipResponse> {
  const sealed = await signedBy("bob", () => forgeSdp(BOB))(invite);
  const body = Buffer.from(sealed.body);
  body.writeUInt8(body.readUInt8(body.length - 40) ^ 1, body.length - 40);
  return { ...sealed, body };
}

const BAD_ANSWERS: Readonly<Record<string, (invite: SipRequest) => Promise<SipResponse>>> = {
  "an address inside the protected network": signedBy("bob", () =>
    forgeSdp({ address: "10.10.0.77", port: 30_000 }),
  ),
  "the gateway's own address": signedBy("bob", () =>
    forgeSdp({ address: "10.30.0.1", port: 30_000 }),
  ),
  "a loopback address": signedBy("bob", () => forgeSdp({ address: "127.0.0.1", port: 30_000 })),
  "a multicast address": signedBy("bob", () => forgeSdp({ address: "224.0.0.251", port: 30_000 })),
  "a port below 1024": signedBy("bob", () => forgeSdp({ ...BOB, port: 53 })),
  "the signature of somebody else": signedBy("alice", () => forgeSdp(BOB)),
  "an envelope with one octet altered": alteredEnvelope,
  "SDP in clear": inClear,
};

describe("an answer is forwarded, opens nothing and closes what was open:", () => {
  for (const [name, makeAnswer] of Object.entries(BAD_ANSWERS))
    test(name, async () => {
      const { answer, log } = await place(makeAnswer);
      assert.equal(answer.status, 200);
      const alarm = () => log().find(({ level }) => level === "warn" || level === "error");
      await settled(() => readKernelCounters(stage.network).length === 0);
      await settled(() => alarm() !== undefined);
      const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
      assert(isMatrixAsPromised("beforeCall", matrix), JSON.stringify(matrix));
      assert.equal(typeof alarm()?.["verdict"], "string", JSON.stringify(log()));
    });
});

test("a good answer by the same hand opens both ways", async () => {
  const { answer } = await place(signedBy("bob", () => forgeSdp(BOB)));
  assert.equal(answer.status, 200);
  const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
  assert(isMatrixAsPromised("afterAnswer", matrix), JSON.stringify(matrix));
});
