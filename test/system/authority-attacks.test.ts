/**
 * Attacks on a controller with an authority, as a process on loopback: what was overheard, what is
 * sealed in CBC, who is a user, and another process that keeps the database to itself.
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { Secret } from "../../protocol/secret.ts";
import { appendHeader, headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import {
  aorOf,
  DOMAIN,
  newKeys,
  Office,
  register,
  requestFor,
  sealed,
} from "./certificate-office.ts";
import type { Phone } from "./registrar-phone.ts";

let office: Office;

before(async () => {
  office = new Office(["alice", "mallory"]);
  await office.start();
});

after(() => office?.close());

/** Alice's credentials of qop auth for a REGISTER of hers, as they stand on the wire. */
async function overhear(alice: Phone): Promise<string> {
  const challenge = await alice.exchange(alice.registerRequest());
  const offered = headerValue(challenge, "WWW-Authenticate") ?? "";
  const weakened = {
    ...challenge,
    headers: [{ name: "WWW-Authenticate", value: offered.replace("auth-int,auth", "auth") }],
  };
  const answered = alice.authorized(alice.registerRequest(), weakened);
  const value = headerValue(answered, "Authorization") ?? "";
  assert.match(value, /qop=auth\b(?!-)/);
  return value;
}

test("credentials overheard by TCP certify nobody else's key by TLS", async () => {
  const value = await overhear(await office.phone("alice", "tcp"));
  const thief = await office.phone("alice", "tls");
  const claim = await requestFor(aorOf("alice"), newKeys());
  const change = (request: SipRequest) => appendHeader(request, "Authorization", value);
  const { request } = await sealed(office, thief, { claim, change }, undefined);
  const response = await thief.exchange(request);
  assert.equal(response.status, 403);
  assert.match(headerValue(response, "Warning") ?? "", /do not cover/);
});

test("CBC: not opened for a stranger, and unreadable whatever is wrong for who is known", async () => {
  const mallory = await office.phone("mallory");
  const cipher = "aes-256-cbc";
  const hidden = await sealed(office, mallory, { cipher, profile: "private" }, undefined);
  assert.equal((await mallory.exchange(hidden.request)).status, 493);
  const alices = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([name, value]) =>
      name === "To" ? ([name, `<${aorOf("alice")}>`] as const) : ([name, value] as const),
    );
  const { response } = await register(office, mallory, { cipher, rows: alices });
  assert.equal(response.status, 493);
  const good = await register(office, mallory, { cipher });
  assert.equal(good.response.status, 200);
});

test("a wrong password takes as long for nobody as for a user", async () => {
  const timesMs: Record<string, number[]> = { alice: [], nobody: [] };
  for (const user of ["alice", "nobody", "alice", "nobody", "alice", "nobody"]) {
    const phone = await office.phone(user);
    const password = new Secret(Buffer.from("wrong"));
    const recipient = { kind: "password", password } as const;
    const { request } = await sealed(office, phone, { profile: "private", recipient }, undefined);
    const begun = performance.now();
    assert.equal((await phone.exchange(request)).status, 493);
    timesMs[user]?.push(performance.now() - begun);
  }
  const [alice, nobody] = [timesMs["alice"] ?? [], timesMs["nobody"] ?? []];
  assert.ok(Math.min(...nobody) > Math.min(...alice) / 2, `${nobody} of ${alice} ms`);
});

test("while another process writes to the database, others are answered", async () => {
  const [alice, mallory] = [await office.phone("alice"), await office.phone("mallory")];
  const other = new DatabaseSync(office.path("keys/authority.sqlite"));
  other.exec("BEGIN IMMEDIATE");
  const claim = await requestFor(aorOf("alice"), newKeys());
  const registered = register(office, alice, { claim });
  for (let asked = 0; asked < 10; asked += 1) {
    const begun = performance.now();
    const response = await mallory.exchange(mallory.newRequest("OPTIONS", `sip:${DOMAIN}`));
    assert.equal(response.status, 407);
    assert.ok(performance.now() - begun < 1000, "the event loop stood still");
  }
  other.exec("ROLLBACK");
  other.close();
  assert.equal((await registered).response.status, 200);
});
