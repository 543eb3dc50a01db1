/**
 * What can be done to a running controller over its own sockets: by a neighbour with a certificate
 * of another user, by a stranger, by whoever writes several messages at once or half of one.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { forgeInvite } from "../../lab/forged-call.ts";
import { holdConnection, type SipPeer } from "../../lab/sip-peer.ts";
import { CONTROLLER_NAME } from "../../lab/site-config.ts";
import {
  headerValue,
  type SipRequest,
  type SipResponse,
  withHeader,
} from "../../protocol/sip/message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { ControllerCalls, callIdOf } from "./controller-calls.ts";
import {
  connectCaller,
  type Folder,
  type RunningProgram,
  type StandInAgent,
  until,
} from "./controller-harness.ts";

const TCP_ADDRESS = "127.0.0.2";

let calls: ControllerCalls;
let folder: Folder;
let agent: StandInAgent;
let controller: RunningProgram;
let alice: SipPeer;
/** Another user, by TLS and a certificate that is good. */
let neighbour: SipPeer;

before(async () => {
  calls = await ControllerCalls.open();
  ({ folder, agent, controller, alice } = calls);
  neighbour = await connectCaller(folder, "bob");
});

after(async () => {
  neighbour?.close();
  await calls?.close();
});

/** A request of alice's dialog, whoever sends it. */
function inDialog(method: string, response: SipResponse): SipRequest {
  const bare = forgeInvite();
  const rows = [
    ["From", headerValue(response, "From") ?? ""],
    ["To", headerValue(response, "To") ?? ""],
    ["Call-ID", callIdOf(response)],
    ["CSeq", `2 ${method}`],
  ] as const;
  const request = { ...bare, method, uri: `sip:bob@127.0.0.3:${folder.biloxiPort}` };
  return rows.reduce((made, [name, value]) => withHeader(made, name, value), request);
}

test("a neighbour with a good certificate of another user speaks for alice in nothing", async () => {
  const { session, response } = await calls.placeCall();
  const puts = agent.puts.length;
  const stolen = await calls.sealedInvite();
  for (const request of [
    forgeInvite(),
    stolen,
    inDialog("BYE", response),
    inDialog("INFO", response),
  ]) {
    neighbour.send(request);
    assert.equal((await neighbour.final(request)).status, 403, request.method);
  }
  neighbour.send(inDialog("ACK", response));
  const cancel = { ...stolen, method: "CANCEL" };
  const named = withHeader(cancel, "CSeq", "1 CANCEL");
  neighbour.send(named);
  assert.equal((await neighbour.final(named)).status, 481);
  assert.equal(agent.puts.length, puts);
  assert.equal(calls.isClosed(session), false);
  const bye = inDialog("BYE", response);
  alice.send(bye);
  await until(() => calls.isClosed(session));
});

test("requests in one segment, one octet at a time and with rubbish behind: each its due", async () => {
  const socket = connect({ host: TCP_ADDRESS, port: folder.tcpPort });
  const stranger = holdConnection(socket);
  const [first, second, third] = [forgeInvite(), forgeInvite(), forgeInvite()];
  socket.write(Buffer.concat([first, second].map(serializeMessage)));
  for (const request of [first, second]) assert.equal((await stranger.final(request)).status, 407);
  for (const octet of serializeMessage(third)) socket.write(Buffer.from([octet]));
  assert.equal((await stranger.final(third)).status, 407);
  const closed = new Promise((done) => socket.once("close", done));
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await closed;
  await calls.placeCall();
});

test("a sealed body cut short cannot be read, and so is not for us", async () => {
  const { body } = await calls.sealedInvite({ form: "patent" });
  const type = "application/pkcs7-mime;smime-type=enveloped-data";
  for (const length of [body.length - 16, body.length - 32, 100, 1]) {
    const request = withHeader(forgeInvite(), "Content-Type", type);
    const cut = { ...request, body: body.subarray(0, length) };
    const labelled = withHeader(cut, "Proxy-Inspect-Body", `${CONTROLLER_NAME};cid="a@b"`);
    alice.send(labelled);
    assert.equal((await alice.final(labelled)).status, 496);
  }
});

test("a response out of nowhere, to nobody's request, changes nothing", async () => {
  const { session, response } = await calls.placeCall();
  const socket = connect({ host: TCP_ADDRESS, port: folder.tcpPort });
  for (const status of [200, 481, 503]) {
    const forged = withHeader(
      { ...response, status },
      "Via",
      `SIP/2.0/TCP ${TCP_ADDRESS}:${folder.tcpPort};branch=z9hG4bKnobody`,
    );
    socket.write(serializeMessage(forged));
  }
  await until(() => controller.hasLogged("stray-response"));
  assert.equal(calls.isClosed(session), false);
  socket.destroy();
});
