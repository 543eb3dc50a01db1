/**
 * The controller killed and started again, stopped gently, and told to read its files anew: what
 * it knew of its calls, its successor knows.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { forgeInvite } from "../../lab/forged-call.ts";
import type { SipPeer } from "../../lab/sip-peer.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { type SipRequest, withHeader } from "../../protocol/sip/message.ts";
import { byeFromBob, ControllerCalls, callIdOf, fromAlice } from "./controller-calls.ts";
import {
  type Biloxi,
  connectCaller,
  type Folder,
  type RunningProgram,
  type StandInAgent,
  until,
} from "./controller-harness.ts";

let calls: ControllerCalls;
let folder: Folder;
let agent: StandInAgent;
let biloxi: Biloxi;
let controller: RunningProgram;
let alice: SipPeer;

before(async () => {
  calls = await ControllerCalls.open({ state: true });
  ({ folder, agent, biloxi, controller, alice } = calls);
});

after(() => calls?.close());

async function start(): Promise<void> {
  await calls.start();
  ({ controller, alice } = calls);
}

/** What the agent was told from then on. */
const toldSince = (count: number) => agent.asked.slice(count).map(({ request }) => request);

test("after kill -9 the sessions are stated again as they were, order and all", async () => {
  const call = await calls.placeCall();
  const seen = agent.asked.length;
  await controller.signal("SIGKILL");
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).find((request) => request.kind === "session.put");
  assert.equal(restated?.session, call.session);
  assert.equal(restated.revision, 2);
  assert.equal(restated.recording?.sealedOrder, call.sealedOrder);

  const stranger = await connectCaller(folder);
  stranger.send(fromAlice("BYE", call));
  const refused = await stranger.final(fromAlice("BYE", call));
  assert.equal(refused.status, 407);
  assert.ok(!calls.isClosed(call.session), "a stranger's BYE closes nothing");
  stranger.close();

  const bye = withHeader(
    fromAlice("BYE", call),
    "Via",
    "SIP/2.0/TLS 10.10.0.2:5099;branch=z9hG4bKagain",
  );
  alice.send(bye);
  const { message } = await biloxi.request("BYE", callIdOf(call.invite));
  assert.equal(message.kind, "request");
  await until(() => calls.isClosed(call.session));
});

test("BYE of the far side closes the holes of a restored call, though its caller is gone", async () => {
  const [call, other] = [await calls.placeCall(), await calls.placeCall()];
  await controller.signal("SIGKILL");
  await start();
  const bob = biloxi.peer;
  const open = await calls.placeCall(); // biloxi's connection is a new one
  assert.notEqual(biloxi.peer, bob);
  biloxi.peer?.send(byeFromBob(call));
  await until(() => calls.isClosed(call.session));
  assert.equal((await biloxi.peer?.final(byeFromBob(call)))?.status, 480);
  for (const { session } of [other, open]) assert.ok(!calls.isClosed(session));
});

test("what was open for a call that nobody had answered belongs to nobody after kill -9", async () => {
  const before = agent.puts.length;
  const invite = await calls.sealedInvite();
  alice.send(invite);
  await biloxi.request("INVITE", callIdOf(invite));
  const { session } = calls.onlyPutSince(before);
  const seen = agent.asked.length;
  await controller.signal("SIGKILL");
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).filter((request) => request.kind === "session.put");
  assert.ok(!restated.some((put) => put.session === session));
});

test("a gentle stop finishes what is on its way and leaves the sessions to the successor", async () => {
  const call = await calls.placeCall();
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
  assert.ok(!calls.isClosed(call.session));
  const seen = agent.asked.length;
  await start();
  await until(() => toldSince(seen).some(({ kind }) => kind === "sync.end"));
  const restated = toldSince(seen).filter((request) => request.kind === "session.put");
  assert.ok(restated.some(({ session }) => session === call.session));
});

test("SIGHUP: other routes count at once, a faulty file changes nothing, calls go on", async () => {
  const call = await calls.placeCall();
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
  alice.send(fromAlice("BYE", call));
  await biloxi.request("BYE", callIdOf(call.invite));
  await until(() => calls.isClosed(call.session));
  writeFileSync(folder.configFile, text);
  controller.hangUp();
  await until(() => count("configuration read again") > before + 1);
});

test("SIGHUP: a file without the gateway is refused, and running calls keep it", async () => {
  const call = await calls.placeCall();
  const text = readFileSync(folder.configFile, "utf8");
  const isRefused = () =>
    controller.lines.some((line) => line.includes("a gateway comes or goes only at a start"));
  writeFileSync(folder.configFile, withoutTables(text, ["agent", "media", "body", "recording"]));
  controller.hangUp();
  await until(isRefused);
  writeFileSync(folder.configFile, text);
  const puts = agent.puts.length;
  await calls.placeCall();
  assert.ok(agent.puts.length > puts, "new calls open holes as before");
  assert.ok(!calls.isClosed(call.session));
  alice.send(fromAlice("BYE", call));
  await until(() => calls.isClosed(call.session));
});

const withoutTables = (toml: string, names: readonly string[]): string =>
  names.reduce(
    (text, name) => text.replace(new RegExp(`^\\[${name}\\]\n(?:[^[].*\n)*`, "m"), ""),
    toml,
  );
