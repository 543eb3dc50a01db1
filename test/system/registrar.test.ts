/**
 * The registrar as a process, over real UDP, TCP and TLS: digest, bindings that survive `kill -9`,
 * and calls that find the phones. A plain proxy: no gateway, no recorder.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { MAX_ADDRESS_GUESSES, MAX_GUESSES } from "../../controller/core/guess-limit.ts";
import { users } from "../../controller/users-command.ts";
import type { SipTransport } from "../../protocol/sip/flow.ts";
import {
  headerRows,
  headerValue,
  headerValues,
  type SipResponse,
} from "../../protocol/sip/message.ts";
import {
  freePort,
  handOver,
  IDENTITY_TEXT,
  type RunningProgram,
  startController,
  until,
} from "./controller-harness.ts";
import { Phone, type PhoneSetting } from "./registrar-phone.ts";

const KEYHOLE = resolve(import.meta.dirname, "../../bin/keyhole.ts");
const DOMAIN = "atlanta.example.com";
const NAME = `proxy.${DOMAIN}`;
const ADDRESS = "127.0.0.1";
const TRANSPORTS: readonly SipTransport[] = ["udp", "tcp", "tls"];
const USERS = ["alice", "bob", "carol", "dave", "erin", "frank", "victim"];
const password = (user: string): string => `the word of ${user}`;

let folder: string;
let ports: Record<SipTransport, number>;
let controller: RunningProgram;
const runs: RunningProgram[] = [];
const phones: Phone[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "keyhole-registrar-"));
  const keys = join(folder, "keys");
  const made = spawnSync(process.execPath, [
    ...[KEYHOLE, "ca", "init", "--out", keys, "--domain", DOMAIN, "--controller", NAME],
    ...["--user", `sip:alice@${DOMAIN}`],
  ]);
  assert.equal(made.status, 0, made.stderr.toString());
  const [udp = 0, tcp = 0, tls = 0] = [await freePort(), await freePort(), await freePort()];
  ports = { udp, tcp, tls };
  for (const user of USERS) await addUser(user);
  writeFileSync(join(keys, "controller.toml"), configText());
  handOver(folder);
  await start();
});

after(async () => {
  for (const phone of phones) phone.close();
  await controller?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

function configText(): string {
  const listeners = TRANSPORTS.map(
    (transport) =>
      `[[listen]]\ntransport = "${transport}"\naddress = "${ADDRESS}"\nport = ${ports[transport]}\n`,
  );
  return `
name = "${NAME}"
domains = ["${DOMAIN}"]
${IDENTITY_TEXT}
[tls]
certificate = "${NAME}.pem"
key = "${NAME}.key"
anchors = ["ca.pem"]
${listeners.join("")}
[users]
file = "users.toml"
[state]
database = "state.db"
[registrar]
minExpiresS = 60
maxContacts = 10
`;
}

async function addUser(user: string): Promise<void> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(`${password(user)}\n`);
  const file = join(folder, "keys", "users.toml");
  const argv = ["add", `sip:${user}@${DOMAIN}`, "--users", file, "--md5"];
  assert.equal(await users(argv, { stdin, stdout, stderr }), 0, String(stderr.read()));
}

async function start(): Promise<void> {
  controller = await startController({ configFile: join(folder, "keys", "controller.toml") });
  runs.push(controller);
}

async function phone(
  user: string,
  transport: SipTransport = "udp",
  more: Partial<PhoneSetting> = {},
): Promise<Phone> {
  const made = await Phone.connect({
    ...{ transport, user, domain: DOMAIN, password: password(user), serverName: NAME },
    controller: { address: ADDRESS, port: ports[transport] },
    ca: readFileSync(join(folder, "keys", "ca.pem")),
    ...more,
  });
  phones.push(made);
  return made;
}

const contactsOf = (response: SipResponse): readonly string[] => headerValues(response, "Contact");
const FETCH = { contacts: [] };
const CLEAR = { contacts: ["*"], headers: [["Expires", "0"]] } as const;

for (const transport of TRANSPORTS)
  test(`${transport}: registered by digest, fetched, taken away`, async () => {
    const carol = await phone("carol", transport);
    const challenge = await carol.exchange(carol.registerRequest());
    assert.equal(challenge.status, 401);
    const rows = headerRows(challenge, "WWW-Authenticate").map(({ value }) => value);
    assert.ok(rows.length === 1 && rows[0]?.includes("algorithm=SHA-256"), "MD5 is not offered");
    const registered = await carol.register({ contacts: [`${carol.contact};expires=90`] });
    assert.equal(registered.status, 200);
    assert.deepEqual(contactsOf(registered), [`${carol.contact};expires=90`]);
    assert.ok(headerValue(registered, "Date") !== undefined);
    const fetched = await carol.register(FETCH);
    assert.match(contactsOf(fetched)[0] ?? "", /;expires=(90|8\d)$/);
    const gone = await carol.register({ contacts: [carol.contact], headers: [["Expires", "0"]] });
    assert.deepEqual([gone.status, contactsOf(gone)], [200, []]);
  });

test("a registration too brief is refused with Min-Expires", async () => {
  const carol = await phone("carol");
  const refused = await carol.register({ contacts: [`${carol.contact};expires=5`] });
  assert.deepEqual([refused.status, headerValue(refused, "Min-Expires")], [423, "60"]);
});

test("MD5, not offered, is not taken either", async () => {
  const carol = await phone("carol");
  const challenge = await carol.exchange(carol.registerRequest());
  const rows = challenge.headers.map((row) => ({
    ...row,
    value: row.value.replace("algorithm=SHA-256", "algorithm=MD5"),
  }));
  const weak = { ...challenge, headers: rows.map(({ name, value }) => ({ name, value })) };
  const request = carol.authorized(carol.registerRequest(), weak, { algorithms: ["MD5"] });
  assert.match(headerValue(request, "Authorization") ?? "", /algorithm=MD5/);
  assert.equal((await carol.exchange(request)).status, 401);
  assert.deepEqual(contactsOf(await carol.register(FETCH)), []);
});

test("credentials seen on the wire are good for nothing", async () => {
  const carol = await phone("carol");
  const challenge = await carol.exchange(carol.registerRequest(FETCH));
  const first = carol.authorized(carol.registerRequest(FETCH), challenge);
  assert.equal((await carol.exchange(first)).status, 200);
  const authorization = headerRows(first, "Authorization");
  const forged = carol.registerRequest();
  const replayed = { ...forged, headers: [...forged.headers, ...authorization] };
  const refused = await carol.exchange(replayed);
  assert.equal(refused.status, 401);
  assert.match(headerValue(refused, "WWW-Authenticate") ?? "", /stale=true/);
  const counted = carol.authorized(carol.registerRequest(FETCH), challenge, {}, 1);
  assert.deepEqual(contactsOf(await carol.exchange(counted)), [], "the next count is good");
});

test("nobody registers another", async () => {
  const carol = await phone("carol");
  const refused = await carol.register({ to: `sip:bob@${DOMAIN}` });
  assert.equal(refused.status, 403);
  const bob = await phone("bob");
  assert.deepEqual(contactsOf(await bob.register(FETCH)), []);
});

test("an overtaken REGISTER changes nothing", async () => {
  const dave = await phone("dave");
  assert.equal((await dave.register({ callId: "one", cseq: 10 })).status, 200);
  const late = {
    callId: "one",
    cseq: 9,
    contacts: [dave.contact],
    headers: [["Expires", "0"]],
  } as const;
  const challenge = await dave.exchange(dave.registerRequest({ ...late, callId: "other" }));
  const request = dave.authorized(dave.registerRequest(late), challenge);
  assert.equal((await dave.exchange(request)).status, 500);
  assert.equal(contactsOf(await dave.register(FETCH)).length, 1);
  await dave.register(CLEAR);
});

for (const transport of TRANSPORTS)
  test(`a call by ${transport} reaches the registered phone, by the contact that it registered`, async () => {
    const [alice, bob] = [await phone("alice", transport), await phone("bob", transport)];
    assert.equal((await bob.register()).status, 200);
    const final = await alice.invite(bob.aor);
    assert.equal(final.status, 200);
    const invite = await bob.request("INVITE");
    assert.equal(`<${invite.uri}>`, bob.contact);
    await bob.request("ACK");
    assert.equal((await bob.register(CLEAR)).status, 200);
    assert.equal((await alice.invite(bob.aor)).status, 480);
  });

test("a call between transports", async () => {
  const [alice, bob] = [await phone("alice", "udp"), await phone("bob", "tls")];
  assert.equal((await bob.register()).status, 200);
  assert.equal((await alice.invite(bob.aor)).status, 200);
  await bob.request("ACK");
  await bob.register(CLEAR);
});

test("a phone behind a NAT is reached by the way it came", async () => {
  const [alice, bob] = [await phone("alice"), await phone("bob", "udp", { address: "127.0.0.7" })];
  const hidden = "<sip:bob@10.11.12.13:5060>";
  assert.equal((await bob.register({ contacts: [hidden] })).status, 200);
  assert.equal((await alice.invite(bob.aor)).status, 200);
  assert.equal((await bob.request("INVITE")).uri, "sip:bob@10.11.12.13:5060");
  await bob.register(CLEAR);
});

test("a phone behind an edge proxy is reached by its Path", async () => {
  const [alice, edge] = [await phone("alice"), await phone("bob")];
  const path = `<sip:127.0.0.1:${edge.port};lr;ob>`;
  const hidden = "<sip:bob@10.11.12.13:5060>";
  const headers = [
    ["Via", "SIP/2.0/UDP 10.11.12.13:5060;branch=z9hG4bKphone"],
    ["Path", path],
    ["Supported", "path, outbound"],
  ] as const;
  const contact = `${hidden};+sip.instance="<urn:uuid:2>";reg-id=1`;
  const registered = await edge.register({ contacts: [contact], headers });
  assert.equal(registered.status, 200);
  assert.deepEqual(headerValues(registered, "Path"), [path]);
  assert.equal(headerValue(registered, "Require"), "outbound");
  assert.equal((await alice.invite(edge.aor)).status, 200);
  const invite = await edge.request("INVITE");
  assert.equal(invite.uri, "sip:bob@10.11.12.13:5060");
  assert.deepEqual(headerValues(invite, "Route"), [path]);
  const headless = await edge.register({ contacts: [contact], headers: headers.slice(0, 1) });
  assert.equal(headless.status, 200, "reg-id is nothing without the option tag");
  const first = await edge.register({
    contacts: [contact],
    headers: [...headers.slice(0, 1), ["Supported", "outbound"]],
  });
  assert.equal(first.status, 439);
  await edge.register(CLEAR);
});

test("ten phones of one user ring; the first to answer has the call, the others are cancelled", async () => {
  const alice = await phone("alice");
  const ten = await Promise.all(Array.from({ length: 10 }, () => phone("erin")));
  const answering = ten[7] as Phone;
  for (const each of ten) each.answers = [180];
  for (const each of ten) assert.equal((await each.register()).status, 200);
  const eleventh = await phone("erin");
  assert.equal((await eleventh.register()).status, 403, "one more than allowed");
  const call = alice.invite(answering.aor);
  const invites = await Promise.all(ten.map((each) => each.request("INVITE")));
  answering.answer(invites[7] ?? assert.fail(), 200);
  assert.equal((await call).status, 200);
  await answering.request("ACK");
  const others = ten.filter((each) => each !== answering);
  await Promise.all(others.map((each) => each.request("CANCEL")));
  await answering.register(CLEAR);
});

test("after kill -9 the registrations are there, and the nonces of before are stale", async () => {
  const [alice, bob] = [await phone("alice"), await phone("bob")];
  const old = await bob.exchange(bob.registerRequest());
  assert.equal((await bob.register()).status, 200);
  await controller.signal("SIGKILL");
  await start();
  const stale = await bob.exchange(bob.authorized(bob.registerRequest(FETCH), old));
  assert.equal(stale.status, 401);
  assert.match(headerValue(stale, "WWW-Authenticate") ?? "", /stale=true/);
  const fetched = await bob.register(FETCH);
  assert.equal(contactsOf(fetched).length, 1);
  assert.ok(contactsOf(fetched)[0]?.startsWith(`${bob.contact};expires=`));
  assert.equal((await alice.invite(bob.aor)).status, 200);
  await bob.register(CLEAR);
});

test("SIGHUP lets a new user in; a file with a fault changes nothing", async () => {
  const grace = await phone("grace");
  assert.equal((await grace.register()).status, 401);
  await addUser("grace");
  await hangUp("configuration read again");
  assert.equal((await grace.register()).status, 200);
  const file = join(folder, "keys", "users.toml");
  const sound = readFileSync(file, "utf8");
  writeFileSync(file, `${sound}[[user]]\naor = "henry"\n`);
  await hangUp("the old one stays");
  assert.equal((await grace.register(FETCH)).status, 200);
  writeFileSync(file, sound);
  await hangUp("configuration read again");
  await grace.register(CLEAR);
});

async function hangUp(message: string): Promise<void> {
  const from = controller.lines.length;
  controller.hangUp();
  await until(() => controller.lines.slice(from).some((line) => line.includes(message)));
}

test("a connection that is gone is no way to a phone that had only that", async () => {
  const [alice, bob] = [await phone("alice"), await phone("bob", "tcp")];
  const contact = `${bob.contact};+sip.instance="<urn:uuid:1>";reg-id=1`;
  const registered = await bob.register({
    contacts: [contact],
    headers: [["Supported", "path, outbound"]],
  });
  assert.equal(registered.status, 200);
  assert.equal(headerValue(registered, "Require"), "outbound");
  assert.equal((await alice.invite(bob.aor)).status, 200);
  await bob.request("ACK");
  bob.close();
  await new Promise((done) => setTimeout(done, 200));
  const final = await alice.invite(bob.aor);
  assert.ok([430, 480].includes(final.status), String(final.status));
  const again = await phone("bob", "udp");
  await again.register(CLEAR);
});

test("who guesses passwords is not heard for a while, not even with the right one", async () => {
  const victim = await phone("victim");
  for (let guess = 0; guess < MAX_GUESSES; guess += 1)
    assert.equal((await victim.register({ password: `guess ${guess}` })).status, 401);
  assert.notEqual((await victim.register()).status, 200);
  const elsewhere = await phone("victim", "udp", { address: "127.0.0.9" });
  assert.equal((await elsewhere.register(FETCH)).status, 200, "others are");
});

test("nor for ever by changing the name", async () => {
  const guesser = await phone("frank", "udp", { address: "127.0.0.11" });
  for (let guess = 0; guess < MAX_ADDRESS_GUESSES; guess += 1) {
    const from = { from: `sip:${guess}@${DOMAIN}`, password: `guess ${guess}` };
    assert.equal((await guesser.register(from)).status, 401);
  }
  const right = await guesser.register({ from: `sip:last@${DOMAIN}` });
  assert.equal(right.status, 401, "not even told that it was right");
});

test("nothing that anybody sent was logged with its password or its digest", () => {
  const text = runs.flatMap(({ lines }) => lines).join("\n");
  assert.ok(text.length > 0);
  for (const user of USERS) assert.ok(!text.includes(password(user)));
  assert.ok(!/response="[0-9a-f]{16}/.test(text));
});
