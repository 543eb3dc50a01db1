/**
 * The controller killed and started again, stopped gently, and told to read its files anew: what
 * it knew of its calls, its successor knows.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
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
import { createResponse } from "../../protocol/sip/create-response.ts";
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
  type RunningProgram,
  removeFolder,
  StandInAgent,
  startController,
  until,
} from "./controller-harness.ts";

let folder: Folder;
let agent: StandInAgent;
let biloxi: Biloxi;
let controller: RunningProgram;
let alice: SipPeer;
let lastPort = 20_000;

before(async () => {
  folder = await createFolder({ state: true });
  agent = new StandInAgent(folder);
  biloxi = new Biloxi();
  await Promise.all([agent.listen(), biloxi.listen(folder)]);
  await start();
});

after(async () => {
  alice?.close();
  await controller?.stop();
  await Promise.all([agent?.close(), biloxi?.close()]);
  removeFolder(folder);
});

async function start(): Promise<void> {
  controller = await startController(folder);
  await until(() => controller.hasLogged("agent there"));
  alice = await connectCaller(folder, "alice");
}

const keys = () => join(folder.path, "keys");
const callIdOf = (request: SipRequest) => headerValue(request, "Call-ID") ?? "";

interface Answered {
  readonly invite: SipRequest;
  readonly forwarded: SipRequest;
  readonly response: SipResponse;
  readonly session: string;
  readonly sealedOrder: string | undefined;
}

/** A sealed call, answered and acknowledged. */
async function placeCall(): Promise<Answered> {
  lastPort += 2;
  const { message: invite } = await withSealedOffer(forgeInvite(), {
    sdp: forgeSdp({ port: lastPort }),
    signer: readIdentity(keys(), "alice"),
    recipients: ["bob", CONTROLLER_NAME].map((name) => readCertificate(keys(), name)),
    label: CONTROLLER_LABEL,
  });
  alice.send(invite);
  const forwarded = (await biloxi.request("INVITE", callIdOf(invite))).message as SipRequest;
  const sdp = forgeSdp({ address: "10.20.0.2", port: lastPort + 10_000 });
  const own = `<sip:127.0.0.3:${folder.biloxiPort};transport=tcp;lr>`;
  const recorded = prependHeader(forwarded, "Record-Route", own);
  biloxi.peer?.send(await forgeAnswer(recorded, { sdp, bob: readIdentity(keys(), "bob") }));
  const response = await alice.final(invite);
  assert.equal(response.status, 200);
  alice.send(fromAlice("ACK", invite, response));
  await biloxi.request("ACK", callIdOf(invite));
  const put = agent.puts.at(-1);
  const [session = "", sealedOrder] = [put?.session, put?.recording?.sealedOrder];
  return { invite, forwarded, response, session, sealedOrder };
}

function fromAlice(method: string, invite: SipRequest, response: SipResponse): SipRequest {
  const routes = headerValues(response, "Record-Route").toReversed();
  const uri = parseNameAddr(headerValue(response, "Contact") ?? "").uri;
  const via = `SIP/2.0/TLS 10.10.0.2:5099;branch=z9hG4bK${method}${callIdOf(invite)}`;
  const headers = invite.headers.filter(({ name }) => !/^(content-|proxy-inspect)/i.test(name));
  const bare: SipRequest = { ...invite, method, uri, headers, body: Buffer.alloc(0) };
  const rows = [
    ["Via", via],
    ["To", headerValue(response, "To") ?? ""],
    ["CSeq", `${method === "ACK" ? 1 : 2} ${method}`],
  ] as const;
  return rows.reduce(
    (made, [name, value]) => withHeader(made, name, value),
    withValues(bare, "Route", routes),
  );
}

/** Bob's BYE, as biloxi hands it on. */
function byeFromBob({ invite, forwarded, response }: Answered): SipRequest {
  const uri = parseNameAddr(headerValue(forwarded, "Contact") ?? "").uri;
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
  return { kind: "request", method: "BYE", uri, headers, body: Buffer.alloc(0) };
}

const isClosed = (session: string) =>
  agent.asked.some(
    ({ request }) => request.kind === "session.close" && request.session === session,
  );

/** What the agent was told from then on. */
const toldSince = (count: number) => agent.asked.slice(count).map(({ request }) => request);

test("after kill -9 the sessions are stated again as they were, order and all", async () => {
  const call = await placeCall();
  const seen = agent.asked.length;
  await controller.signal("SIGKILL");
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).find((request) => request.kind === "session.put");
  assert.equal(restated?.session, call.session);
  assert.equal(restated.revision, 2);
  assert.equal(restated.recording?.sealedOrder, call.sealedOrder);

  const stranger = await connectCaller(folder);
  stranger.send(fromAlice("BYE", call.invite, call.response));
  const refused = await stranger.final(fromAlice("BYE", call.invite, call.response));
  assert.equal(refused.status, 407);
  assert.ok(!isClosed(call.session), "a stranger's BYE closes nothing");
  stranger.close();

  const bye = withHeader(
    fromAlice("BYE", call.invite, call.response),
    "Via",
    "SIP/2.0/TLS 10.10.0.2:5099;branch=z9hG4bKagain",
  );
  alice.send(bye);
  const { message } = await biloxi.request("BYE", callIdOf(call.invite));
  assert.equal(message.kind, "request");
  await until(() => isClosed(call.session));
});

test("BYE of the far side closes the holes of a restored call, though its caller is gone", async () => {
  const [call, other] = [await placeCall(), await placeCall()];
  await controller.signal("SIGKILL");
  await start();
  const bob = biloxi.peer;
  const open = await placeCall(); // biloxi's connection is a new one
  assert.notEqual(biloxi.peer, bob);
  biloxi.peer?.send(byeFromBob(call));
  await until(() => isClosed(call.session));
  assert.equal((await biloxi.peer?.final(byeFromBob(call)))?.status, 480);
  for (const { session } of [other, open]) assert.ok(!isClosed(session));
});

test("what was open for a call that nobody had answered belongs to nobody after kill -9", async () => {
  lastPort += 2;
  const { message: invite } = await withSealedOffer(forgeInvite(), {
    sdp: forgeSdp({ port: lastPort }),
    signer: readIdentity(keys(), "alice"),
    recipients: ["bob", CONTROLLER_NAME].map((name) => readCertificate(keys(), name)),
    label: CONTROLLER_LABEL,
  });
  alice.send(invite);
  await biloxi.request("INVITE", callIdOf(invite));
  const session = agent.puts.at(-1)?.session;
  const seen = agent.asked.length;
  await controller.signal("SIGKILL");
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).filter((request) => request.kind === "session.put");
  assert.ok(!restated.some((put) => put.session === session));
});

test("a gentle stop finishes what is on its way and leaves the sessions to the successor", async () => {
  const call = await placeCall();
  const ringing = forgeInvite();
  alice.send(ringing);
  const { message } = await biloxi.request("INVITE", callIdOf(ringing));
  const stopped = controller.stop();
  const late = forgeInvite();
  await until(() => controller.hasLogged("stopping"));
  alice.send(late);
  assert.equal((await alice.final(late)).status, 503);
  biloxi.peer?.send(createResponse(message as SipRequest, 486, { toTag: "b" }));
  assert.equal((await alice.final(ringing)).status, 486);
  assert.equal(await stopped, 0);
  assert.ok(!isClosed(call.session));
  const seen = agent.asked.length;
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).filter((request) => request.kind === "session.put");
  assert.ok(restated.some(({ session }) => session === call.session));
});

test("SIGHUP: other routes count at once, a faulty file changes nothing, calls go on", async () => {
  const call = await placeCall();
  const text = readFileSync(folder.configFile, "utf8");
  const count = (words: string) => controller.lines.filter((line) => line.includes(words)).length;
  const invite = forgeInvite();

  writeFileSync(folder.configFile, text.replace("16384", "80"));
  controller.hangUp();
  await until(() => controller.hasLogged("configuration is faulty, the old one stays"));
  assert.ok(controller.lines.some((line) => line.includes("media.ports[0]")));
  alice.send(invite);
  await biloxi.request("INVITE", callIdOf(invite));

  writeFileSync(folder.configFile, text.replace("biloxi.example.com", "chicago.example.com"));
  const before = count("configuration read again");
  controller.hangUp();
  await until(() => count("configuration read again") > before);
  const next = forgeInvite();
  alice.send(next);
  assert.equal((await alice.final(next)).status, 404);
  alice.send(fromAlice("BYE", call.invite, call.response));
  await biloxi.request("BYE", callIdOf(call.invite));
  await until(() => isClosed(call.session));
  writeFileSync(folder.configFile, text);
});
