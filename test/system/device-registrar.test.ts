/** The phone against a next hop that answers as no registrar should. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { holdConnection } from "../../lab/sip-peer.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import {
  headerValue,
  type SipRequest,
  type SipResponse,
  withHeader,
} from "../../protocol/sip/message.ts";
import { ALICE, BOB, freeMediaPort, freePort, Household, LOOPBACK } from "./device-harness.ts";

const CONTROLLER = "keys/ss1.atlanta.example.com.pem";
/** Less than a probe may take to be answered, and more than a slow machine needs. */
const PROMPT_MS = 7_000;

let household: Household;
before(() => {
  household = new Household();
});
after(() => household.close());

type Answers = (request: SipRequest) => SipResponse | undefined;

async function hopAt(port: number, answers: Answers): Promise<Server> {
  const server = createServer((socket) => {
    const peer = holdConnection(socket, (message) => {
      const response = message.kind === "request" ? answers(message) : undefined;
      if (response !== undefined) peer.send(response);
    });
  });
  await new Promise<void>((done) => server.listen(port, LOOPBACK, done));
  return server;
}

const tables = (port: number, store: string) => ({
  outbound: { transport: "tcp", address: LOOPBACK, port },
  registration: { store, controller: CONTROLLER },
});

const register = (port: number, store: string, ...options: readonly string[]) =>
  household.start("alice", ["register", ...options], tables(port, store));

test("a response whose Via cannot be read answers nothing, and the phone says so", async () => {
  const port = await freePort();
  const server = await hopAt(port, (request) =>
    withHeader(createResponse(request, 200), "Via", "rubbish"),
  );
  const phone = register(port, "refused.json", "--once");
  const failed = await phone.event({ event: "registration-failed" });
  assert.match(String(failed["reason"]), /does not answer/);
  assert.deepEqual(await phone.exited, { code: 1, signal: null });
  assert.ok(!existsSync(household.path("refused.json")));
  server.close();
});

test("told to stop before it knows where it is: it ends at once, and well", async () => {
  const port = await freePort();
  const probed = Promise.withResolvers<void>();
  const server = await hopAt(port, () => {
    probed.resolve();
    return undefined;
  });
  const phone = register(port, "stopped.json");
  await probed.promise;
  const stoppedAt = performance.now();
  assert.deepEqual(await phone.stop(), { code: 0, signal: null });
  assert.ok(performance.now() - stoppedAt < PROMPT_MS);
  assert.equal(phone.events({ event: "unregistered", aor: ALICE }).length, 1);
  server.close();
});

test("told to hang up while the callee's certificate is asked for: no call is made", async () => {
  const port = await freePort();
  const asked = Promise.withResolvers<SipRequest>();
  const seen: string[] = [];
  const server = await hopAt(port, (request) => {
    seen.push(request.method);
    if (request.body.length === 0) return createResponse(withOwnEnd(request), 483);
    asked.resolve(request);
    return undefined;
  });
  const phone = household.start("alice", ["call", BOB], {
    ...tables(port, "calling.json"),
    contact: [],
    media: { rtpPort: await freeMediaPort() },
  });
  await asked.promise;
  phone.send({ do: "hangup" });
  const failed = await phone.event({ event: "no-certificate" });
  assert.match(String(failed["reason"]), /hung up/);
  assert.deepEqual(await phone.exited, { code: 1, signal: null });
  assert.deepEqual(seen, ["OPTIONS", "OPTIONS"]);
  server.close();
});

test("the registrar's realm without auth-int: no password is shown", async () => {
  const port = await freePort();
  writeFileSync(household.path("alice.password"), "swordfish\n", { mode: 0o600 });
  const challenge = 'Digest realm="atlanta.example.com", nonce="n", qop="auth", algorithm=SHA-256';
  const seen: string[] = [];
  const server = await hopAt(port, (request) => {
    seen.push(request.method);
    if (request.method === "OPTIONS") return createResponse(withOwnEnd(request), 483);
    return createResponse(request, 407, { headers: [["Proxy-Authenticate", challenge]] });
  });
  const { outbound, registration } = tables(port, "downgraded.json");
  const changes = { outbound, registration: { ...registration, password: "alice.password" } };
  const phone = household.start("alice", ["register", "--once"], changes);
  const failed = await phone.event({ event: "registration-failed" });
  assert.match(String(failed["reason"]), /not accepted/);
  await phone.exited;
  assert.deepEqual(seen, ["OPTIONS", "REGISTER"]);
  server.close();
});

/** As a server notes where the request came from (RFC 3581 §4). */
const withOwnEnd = (request: SipRequest): SipRequest =>
  withHeader(request, "Via", (headerValue(request, "Via") ?? "").replace("rport", "rport=5060"));
