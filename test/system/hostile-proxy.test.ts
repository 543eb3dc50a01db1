/**
 * What biloxi can do to a sealed call, with all the powers of a proxy and no key of anybody's: make
 * it fail. The call is never downgraded, nor tried again in clear, and leaves nothing open.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { startPhones } from "../../lab/call.ts";
import { unsignedEntity, withSealedEntity, withSealedOffer } from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import type { Tamper } from "../../lab/hostile-hop.ts";
import { readCertificate, readIdentity } from "../../lab/identities.ts";
import { readKernelCounters } from "../../lab/kernel-counters.ts";
import { isMatrixAsPromised, probeMatrix } from "../../lab/pinhole-matrix.ts";
import { createKeys } from "../../lab/site.ts";
import { MEDIA_PORTS } from "../../lab/site-config.ts";
import { openStage, type Stage } from "../../lab/stage.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import {
  type SipMessage,
  type SipRequest,
  type SipResponse,
  withHeader,
} from "../../protocol/sip/message.ts";

const out = mkdtempSync(join(tmpdir(), "keyhole-hostile-"));
const biloxisKeys = join(out, "biloxi");
/** Long enough for a phone to try again, if it did. */
const SECOND_TRY_MS = 700;

const forward: Tamper = (message) => ({ kind: "forward", message });
let tamper = forward;
let stage: Stage;

before(async () => {
  createKeys(biloxisKeys);
  stage = await openStage({
    logLevel: "debug",
    tamper: (message, from) => tamper(message, from),
  });
});
beforeEach(() => {
  tamper = forward;
});
after(async () => {
  await stage?.close();
  rmSync(out, { recursive: true });
});

const isInvite = (message: SipMessage): message is SipRequest =>
  message.kind === "request" && message.method === "INVITE";
const isAnswer = (message: SipMessage): message is SipResponse =>
  message.kind === "response" && message.status === 200 && message.body.length > 0;

const CONTENT = /^(content-(type|id|disposition)|proxy-inspect-body)$/i;
const withoutContent = <M extends SipMessage>(message: M): M => ({
  ...message,
  headers: message.headers.filter(({ name }) => !CONTENT.test(name)),
});

async function assertNothingOpen(): Promise<void> {
  const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
  assert(isMatrixAsPromised("beforeCall", matrix), JSON.stringify(matrix));
  assert.deepEqual(readKernelCounters(stage.network), []);
}

/** Lets the phones try, and waits until both are done with it. */
async function tryCall(name: string): Promise<{ alice: string[]; bob: string[] }> {
  const { alice, bob } = await startPhones(stage, {
    results: join(out, name.replaceAll(" ", "-")),
  });
  const answering = bob.event("incoming").then(
    () => bob.tell("answer"),
    () => {},
  );
  await alice.process.exited;
  await new Promise((resolve) => setTimeout(resolve, SECOND_TRY_MS));
  bob.tell("hangup");
  await bob.process.stop();
  await answering;
  return { alice: alice.process.lines, bob: bob.process.lines };
}

function failureOf(lines: readonly string[]): { reason: string; status?: number } | undefined {
  const line = lines.find((each) => each.includes('"event":"failed"'));
  return line === undefined ? undefined : JSON.parse(line);
}

/** One INVITE came, and no SDP in clear, either way. */
function assertNoSecondTry(from: number): void {
  const passed = stage.hop?.seen.slice(from).map(({ message }) => message) ?? [];
  assert.equal(passed.filter(isInvite).length, 1);
  for (const { body } of passed) assert.equal(body.includes("m=audio"), false);
}

async function assertCallFails(name: string): Promise<{ reason: string; status?: number }> {
  const from = stage.hop?.seen.length ?? 0;
  const { alice } = await tryCall(name);
  const failure = failureOf(alice);
  assert(failure !== undefined, alice.join("\n"));
  assert.equal(
    alice.some((line) => line.includes('"event":"played"')),
    false,
  );
  assertNoSecondTry(from);
  await assertNothingOpen();
  return failure;
}

describe("biloxi makes a call fail, and no more than that:", () => {
  test("by a body of its own in place of alice's", async () => {
    const signer = readIdentity(biloxisKeys, "alice");
    tamper = async (message) => {
      if (!isInvite(message)) return { kind: "forward", message };
      const recipients = [readCertificate(stage.site.keys, "bob")];
      const forged = { sdp: forgeSdp({ address: "10.30.0.2" }), signer, recipients };
      const sealed = await withSealedOffer(withoutContent(message), forged);
      return { kind: "forward", message: sealed.message };
    };
    const failure = await assertCallFails("own body");
    assert([403, 488, 493].includes(failure.status ?? 0), JSON.stringify(failure));
  });

  test("by a body without a signature", async () => {
    tamper = (message) => {
      if (!isInvite(message)) return { kind: "forward", message };
      const recipients = [readCertificate(stage.site.keys, "bob")];
      const entity = unsignedEntity(forgeSdp({ address: "10.30.0.2" }));
      const stripped = withSealedEntity(withoutContent(message), entity, { recipients });
      return { kind: "forward", message: stripped };
    };
    const failure = await assertCallFails("no signature");
    assert([403, 488, 493, 495].includes(failure.status ?? 0), JSON.stringify(failure));
  });

  test("by SDP in clear in place of the sealed body", async () => {
    tamper = (message) =>
      isInvite(message)
        ? {
            kind: "forward",
            message: withHeader(
              { ...withoutContent(message), body: forgeSdp({ address: "10.30.0.2" }) },
              "Content-Type",
              "application/sdp",
            ),
          }
        : { kind: "forward", message };
    const failure = await assertCallFails("in clear");
    assert.equal(failure.status, 488);
  });

  test("by the answer of another call", async () => {
    let earlier: SipResponse | undefined;
    tamper = (message) => {
      if (isAnswer(message)) earlier ??= message;
      return { kind: "forward", message };
    };
    const { alice, bob } = await startPhones(stage, { results: join(out, "earlier") });
    await bob.event("incoming");
    bob.tell("answer");
    await alice.event("answered");
    alice.tell("hangup");
    await Promise.all([alice.process.exited, bob.process.exited]);
    assert(earlier !== undefined);

    const swapped = earlier;
    tamper = (message) =>
      isAnswer(message)
        ? { kind: "forward", message: { ...message, body: swapped.body } }
        : { kind: "forward", message };
    await assertCallFails("swapped answer");
  });

  for (const status of [493, 496])
    test(`by a ${status} with its own certificate`, async () => {
      const certificate = readCertificate(biloxisKeys, "bob");
      tamper = (message) =>
        isInvite(message)
          ? {
              kind: "answer",
              message: createResponse(message, status, {
                toTag: "biloxi",
                headers: [["Content-Type", "application/pkix-cert"]],
                body: certificate,
              }),
            }
          : { kind: "forward", message };
      const failure = await assertCallFails(`injected ${status}`);
      assert.equal(failure.status, status);
    });

  test("by a 415 that asks for SDP in clear", async () => {
    tamper = (message) =>
      isInvite(message)
        ? {
            kind: "answer",
            message: createResponse(message, 415, {
              toTag: "biloxi",
              headers: [["Accept", "application/sdp"]],
            }),
          }
        : { kind: "forward", message };
    const failure = await assertCallFails("injected 415");
    assert.equal(failure.status, 415);
  });
});

test("left alone, the same stage carries a call", async () => {
  const { alice, bob } = await startPhones(stage, { results: join(out, "left-alone") });
  await bob.event("incoming");
  bob.tell("answer");
  await Promise.all([alice.event("media-started"), bob.event("media-started")]);
  alice.tell("hangup");
  await Promise.all([alice.event("ended"), bob.event("ended")]);
});
