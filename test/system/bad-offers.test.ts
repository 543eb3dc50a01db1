/**
 * Offers that must open nothing, written by hand and sent to a real controller: each gets its
 * answer, no pinhole, an entry in the log, and none goes on to biloxi.
 */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ForgedBob, openForgedBob } from "../../lab/forged-bob.ts";
import {
  CONTROLLER_LABEL,
  forgeInvite,
  type SealedParts,
  tamperedEntity,
  unsignedEntity,
  withSealedEntity,
  withSealedOffer,
} from "../../lab/forged-call.ts";
import { forgeSdp } from "../../lab/forged-sdp.ts";
import { readCertificate, readIdentity } from "../../lab/identities.ts";
import { type InnerSockets, openInnerSockets } from "../../lab/inner-sockets.ts";
import { readKernelCounters } from "../../lab/kernel-counters.ts";
import { isMatrixAsPromised, probeMatrix } from "../../lab/pinhole-matrix.ts";
import { connectToController, type SipPeer } from "../../lab/sip-peer.ts";
import { createKeys } from "../../lab/site.ts";
import { MEDIA_PORTS } from "../../lab/site-config.ts";
import { openStage, type Stage } from "../../lab/stage.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";

const CLOSE_TIMEOUT_MS = 30_000;
const CLOSE_POLL_MS = 20;
const CALL_LABEL_DIGITS = 12;
const EMPTY_ADDRESS = "10.10.0.9";

const strangersKeys = mkdtempSync(join(tmpdir(), "keyhole-strangers-"));
let stage: Stage;
let inAlice: InnerSockets;
let bob: ForgedBob;
let alice: SipPeer;
let parts: Omit<SealedParts, "sdp">;

before(async () => {
  rmSync(strangersKeys, { recursive: true });
  createKeys(strangersKeys);
  stage = await openStage({ logLevel: "debug" });
  const { keys } = stage.site;
  [inAlice, bob] = await Promise.all([
    openInnerSockets(stage.network, "alice"),
    openForgedBob(stage.network),
  ]);
  alice = await connectToController(inAlice, keys, "alice");
  parts = {
    signer: readIdentity(keys, "alice"),
    recipients: [readCertificate(keys, "bob"), readCertificate(keys, "ss1")],
    label: CONTROLLER_LABEL,
  };
});

after(async () => {
  await Promise.all([inAlice?.close(), bob?.close()]);
  await stage?.close();
  rmSync(strangersKeys, { recursive: true });
});

/** Proved with packets, and read from the kernel for ports that no firewall of ours guards. */
async function assertNothingOpened(): Promise<void> {
  assert.deepEqual(readKernelCounters(stage.network), []);
  const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
  assert(isMatrixAsPromised("beforeCall", matrix), JSON.stringify(matrix));
}

async function send(invite: SipRequest, peer: SipPeer = alice): Promise<SipResponse> {
  peer.send(invite);
  const response = await peer.final(invite);
  acknowledge(invite, response, peer);
  return response;
}

/** ACK to a final error belongs to the INVITE's transaction (RFC 3261 §17.1.1.3). */
function acknowledge(invite: SipRequest, response: SipResponse, peer: SipPeer): void {
  if (response.status < 300) return;
  const to = headerValue(response, "To") ?? "";
  const headers = invite.headers
    .filter(({ name }) => ["Via", "Max-Forwards", "From", "Call-ID"].includes(name))
    .concat([
      { name: "To", value: to },
      { name: "CSeq", value: "1 ACK" },
    ]);
  peer.send({ ...invite, method: "ACK", headers, body: Buffer.alloc(0) });
}

/** The log names a call by a hash of its Call-ID, and says what was found wrong with it. */
async function assertLogged(invite: SipRequest): Promise<void> {
  const hash = createHash("sha256").update(headerValue(invite, "Call-ID") ?? "");
  const call = hash.digest("hex").slice(0, CALL_LABEL_DIGITS);
  const isEntry = (line: string) => {
    if (!line.includes(`"call":"${call}"`)) return false;
    const { level, verdict } = JSON.parse(line);
    return level !== "debug" && verdict !== undefined;
  };
  await stage.programs.controller?.line("a verdict", isEntry);
}

const sealed = async (sdp: Buffer, more: Partial<SealedParts> = {}): Promise<SipRequest> =>
  (await withSealedOffer(forgeInvite(), { ...parts, ...more, sdp })).message;

interface BadOffer {
  readonly name: string;
  readonly status: number;
  readonly make: () => Promise<SipRequest>;
}

const BAD_ADDRESSES: Readonly<Record<string, { address?: string; port?: number }>> = {
  "a port below 1024": { port: 80 },
  "a port outside the media range": { port: 8000 },
  "a loopback address": { address: "127.0.0.1" },
  "a multicast address": { address: "239.1.2.3" },
  "the unspecified address": { address: "0.0.0.0" },
  "somebody else's address": { address: EMPTY_ADDRESS },
  "the gateway's own address": { address: "10.10.0.1" },
  "an address on the far side": { address: "10.20.0.2" },
};

const BAD_OFFERS: readonly BadOffer[] = [
  ...Object.entries(BAD_ADDRESSES).map(([name, where]) => ({
    name,
    status: 488,
    make: () => sealed(forgeSdp(where)),
  })),
  {
    name: "RTCP to somebody else",
    status: 488,
    make: () => sealed(forgeSdp({ extra: [`a=rtcp:20001 IN IP4 ${EMPTY_ADDRESS}`] })),
  },
  {
    name: "SDP that is none",
    status: 488,
    make: () => sealed(Buffer.from("v=0\r\nthis is not SDP\r\n")),
  },
  {
    name: "an envelope with one octet altered",
    status: 488,
    async make() {
      const invite = await sealed(forgeSdp());
      const body = Buffer.from(invite.body);
      body.writeUInt8(body.readUInt8(body.length - 40) ^ 1, body.length - 40);
      return { ...invite, body };
    },
  },
  {
    name: "SDP altered after it was signed",
    status: 488,
    async make() {
      const invite = forgeInvite();
      const change = (entity: Buffer): Buffer =>
        Buffer.from(entity.toString("latin1").replace("m=audio 20000", "m=audio 20002"), "latin1");
      const entity = await tamperedEntity(invite, { ...parts, sdp: forgeSdp() }, change);
      return withSealedEntity(invite, entity, parts);
    },
  },
  {
    name: "no signature",
    status: 488,
    make: async () => withSealedEntity(forgeInvite(), unsignedEntity(forgeSdp()), parts),
  },
  {
    name: "the signature of somebody else",
    status: 403,
    make: () => sealed(forgeSdp(), { signer: readIdentity(stage.site.keys, "bob") }),
  },
  {
    name: "the signature of a stranger with alice's name",
    status: 488,
    make: () => sealed(forgeSdp(), { signer: readIdentity(strangersKeys, "alice") }),
  },
  {
    name: "signed headers of another call",
    status: 403,
    make: () => sealed(forgeSdp(), { signedInstead: { "Call-ID": "another" } }),
  },
];

describe("an offer is refused and opens nothing:", () => {
  for (const { name, status, make } of BAD_OFFERS)
    test(name, async () => {
      const invite = await make();
      const response = await send(invite);
      assert.equal(response.status, status);
      if (status === 488) assert.match(headerValue(response, "Warning") ?? "", /^3\d\d /);
      await assertNothingOpened();
      await assertLogged(invite);
      assert.equal(bob.inviteOf(invite), undefined);
    });
});

test("a label naming the controller with a body it cannot open gets 496 and its certificate", async () => {
  const recipients = [readCertificate(stage.site.keys, "bob")];
  const invite = await sealed(forgeSdp(), { recipients });
  const response = await send(invite);
  assert.equal(response.status, 496);
  assert.equal(headerValue(response, "Content-Type")?.split(";")[0], "application/pkix-cert");
  const own = readCertificate(stage.site.keys, "ss1");
  assert.equal(
    new X509Certificate(response.body).fingerprint256,
    new X509Certificate(own).fingerprint256,
  );
  assert.match(headerValue(response, "Warning") ?? "", /^380 /);
  await assertNothingOpened();
  await assertLogged(invite);
  assert.equal(bob.inviteOf(invite), undefined);
});

test("a body sealed for others passes unopened and opens nothing", async () => {
  const recipients = [readCertificate(stage.site.keys, "bob")];
  const invite = await sealed(forgeSdp(), { recipients, label: [] });
  bob.answer = async (received) => createResponse(received, 486, { toTag: "bob" });
  const response = await send(invite);
  bob.answer = async () => undefined;
  assert.equal(response.status, 486);
  assert(bob.inviteOf(invite)?.body.equals(invite.body));
  await assertNothingOpened();
});

describe("who is not authenticated opens nothing:", () => {
  test("no client certificate", async () => {
    const nobody = await connectToController(inAlice, stage.site.keys);
    const invite = await sealed(forgeSdp());
    const response = await send(invite, nobody);
    assert.equal(response.status, 407);
    assert.match(headerValue(response, "Proxy-Authenticate") ?? "", /^Digest .*nonce=/);
    await assertNothingOpened();
    assert.equal(bob.inviteOf(invite), undefined);
    nobody.close();
  });

  test("a stranger's certificate in alice's name", async () => {
    const invite = await sealed(forgeSdp());
    let status: number | "refused";
    try {
      const stranger = await connectToController(inAlice, stage.site.keys, "alice", strangersKeys);
      status = (await send(invite, stranger)).status;
      stranger.close();
    } catch {
      status = "refused";
    }
    assert(status === 407 || status === "refused", String(status));
    await assertNothingOpened();
    assert.equal(bob.inviteOf(invite), undefined);
  });

  test("alice's certificate under another name", async () => {
    const invite = (
      await withSealedOffer(forgeInvite("sip:carol@atlanta.example.com"), {
        ...parts,
        sdp: forgeSdp(),
      })
    ).message;
    const response = await send(invite);
    assert([403, 407].includes(response.status), `${response.status}`);
    await assertNothingOpened();
    assert.equal(bob.inviteOf(invite), undefined);
  });

  test("a body used before, in a call of one's own", async () => {
    const first = await sealed(forgeSdp());
    bob.answer = async (received) => createResponse(received, 486, { toTag: "bob" });
    assert.equal((await send(first)).status, 486);
    bob.answer = async () => undefined;
    const again = forgeInvite();
    const rows = first.headers.filter(({ name }) => /^(content|proxy-inspect)/i.test(name));
    const response = await send({
      ...again,
      headers: [...again.headers, ...rows],
      body: first.body,
    });
    assert.equal(response.status, 403);
    await assertNothingOpened();
  });
});

test("after all that, a good offer opens its pinholes and its refusal by bob closes them", async () => {
  const invite = await sealed(forgeSdp());
  let duringCall: boolean | undefined;
  bob.answer = async (received) => {
    const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
    duringCall = isMatrixAsPromised("afterInvite", matrix);
    return createResponse(received, 486, { toTag: "bob" });
  };
  assert.equal((await send(invite)).status, 486);
  assert.equal(duringCall, true);
  await untilClosed();
  await assertNothingOpened();
});

/** The refusal does not wait for the gateway: the last hole goes a moment after it. */
async function untilClosed(): Promise<void> {
  const giveUpAt = Date.now() + CLOSE_TIMEOUT_MS;
  while (readKernelCounters(stage.network).length > 0 && Date.now() < giveUpAt)
    await sleep(CLOSE_POLL_MS);
}
