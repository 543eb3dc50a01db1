import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_ASKS, MAX_EXPIRES_S } from "../../../device/core/registration-failure.ts";
import { MAX_RETRY_AFTER_MS, MAX_WAIT_MS } from "../../../device/core/registration-retry.ts";
import { Secret } from "../../../protocol/secret.ts";
import { parseAuthValue } from "../../../protocol/sip/credentials.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import { digestHa1, digestResponse } from "../../../protocol/sip/digest.ts";
import { headerRows, headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import {
  CHALLENGE,
  CLAIM,
  challengeFor,
  passwordOf,
  RegistrarWorld,
  refreshing,
  START,
} from "./registration-fixture.ts";

type Rows = readonly (readonly [string, string])[];

const warned: Rows = [["Warning", '399 ss1.atlanta.example.com "key of another user"']];
const REFUSALS: readonly (readonly [status: number, headers: Rows, reason: RegExp])[] = [
  [302, [], /Moved Temporarily/],
  [400, [], /Bad Request/],
  [403, warned, /Forbidden/],
  [404, [], /Not Found/],
  [403, [["Date", serializeSipDate(START + 3_600_000)]], /clock differs from ours by 60 minutes/],
  [403, [["Date", serializeSipDate(START + 300_000)]], /Forbidden/],
  [403, [["Date", "yesterday"]], /Forbidden/],
  [493, [["Content-Type", "application/pkix-cert"]], /cannot open what was sealed/],
  [500, [], /Server Internal Error/],
  [503, [], /Service Unavailable/],
  [603, [], /Decline/],
];

for (const [status, headers, reason] of REFUSALS)
  test(`${status} ${JSON.stringify(headers)}: told, what was kept stays, tried again later`, () => {
    const world = refreshing(7200);
    world.respond(status, headers);
    assert.equal(world.failure.status, status);
    assert.match(world.failure.reason, reason);
    assert.equal(world.failure.warning, headers.find(([name]) => name === "Warning")?.[1]);
    assert.equal(world.stored.length, 1);
    assert.ok((world.failure.retryAt ?? 0) > world.now);
    assert.ok(world.firstKeys.every(({ cek }) => cek.isWiped));
  });

for (const [value, waitMs] of [
  ["120", 120_000],
  ["120;duration=5", 120_000],
  ["3600 (maintenance)", 3_600_000],
  ["999999999", MAX_RETRY_AFTER_MS],
] as const)
  test(`500 with Retry-After: ${value} is obeyed`, () => {
    const world = new RegistrarWorld().register();
    world.respond(500, [["Retry-After", value]]);
    assert.equal((world.failure.retryAt ?? 0) - world.now, waitMs);
  });

for (const value of ["", "soon", "-5", "12345678901"])
  test(`a Retry-After of '${value}' says nothing`, () => {
    const world = new RegistrarWorld().register();
    world.respond(500, [["Retry-After", value]]);
    assert.ok((world.failure.retryAt ?? 0) - world.now <= MAX_WAIT_MS);
  });

test("a Retry-After that is shorter than our own patience changes nothing", () => {
  const world = new RegistrarWorld().register();
  world.respond(500, [["Retry-After", "1"]]);
  assert.ok((world.failure.retryAt ?? 0) - world.now >= 30_000);
});

test("401: answered by Digest over the sealed body, with the next CSeq", () => {
  const world = new RegistrarWorld({ digest: passwordOf() }).register();
  world.respond(401, challengeFor(401));
  assert.equal(headerValue(world.last, "CSeq"), "2 REGISTER");
  assert.ok(isProven(world.last, headerValue(world.last, "Authorization"), world.last.body));
  world.grant();
  assert.equal(world.told.at(-1), "registered");
});

test("the nonce is used again, counted, for the refresh", () => {
  const world = new RegistrarWorld({ digest: passwordOf() }).register();
  world.respond(401, challengeFor(401));
  world.grant({ expiresS: 100 });
  world.advance(68_000);
  assert.match(headerValue(world.last, "Authorization") ?? "", /nc=00000002/);
});

test("407 of a proxy and 401 of the registrar are both answered", () => {
  const world = new RegistrarWorld({ digest: passwordOf() }).register();
  world.respond(407, challengeFor(407, CHALLENGE.replace("atlanta.", "edge.")));
  world.respond(401, challengeFor(401));
  assert.equal(headerRows(world.last, "Authorization").length, 1);
  assert.equal(headerRows(world.last, "Proxy-Authorization").length, 1);
});

test("private: the credentials are sealed, over the claim; those for a proxy stay outside", () => {
  const world = new RegistrarWorld({ digest: passwordOf(), profile: "private" }).register();
  world.respond(407, challengeFor(407, CHALLENGE.replace("atlanta.", "edge.")));
  world.respond(401, challengeFor(401));
  const sealed = world.sealed.at(-1) ?? [];
  const inside = sealed.find(([name]) => name === "Authorization")?.[1];
  assert.ok(isProven(world.last, inside, CLAIM.der));
  for (const name of ["Authorization", "Contact", "Expires"])
    assert.equal(headerValue(world.last, name), undefined, name);
  assert.equal(headerRows(world.last, "Proxy-Authorization").length, 1);
  assert.ok(sealed.every(([name]) => name !== "Proxy-Authorization"));
});

for (const profile of ["open", "private"] as const) {
  test(`${profile}: a password that is not believed is not shown for ever`, () => {
    const world = new RegistrarWorld({ digest: passwordOf(), profile }).register();
    world.respond(401, challengeFor(401));
    world.respond(401, challengeFor(401, CHALLENGE.replace("n1", "n2")));
    assert.match(world.failure.reason, /not accepted/);
    assert.equal(world.sent.length, 2);
  });

  test(`${profile}: a nonce called stale for ever ends as well`, () => {
    const world = new RegistrarWorld({ digest: passwordOf(), profile }).register();
    for (let count = 0; count < MAX_ASKS && world.told.length === 1; count += 1)
      world.respond(401, challengeFor(401, `${CHALLENGE.replace("n1", `n${count}`)}, stale=true`));
    assert.equal(world.told.at(-1), "registration-failed");
    assert.ok(world.sent.length <= MAX_ASKS);
  });
}

test("a challenge by MD5 alone is not answered", () => {
  const world = new RegistrarWorld({ digest: passwordOf() }).register();
  world.respond(401, challengeFor(401, CHALLENGE.replace("SHA-256", "MD5")));
  assert.match(world.failure.reason, /not accepted/);
});

test("a challenge without a password configured says so", () => {
  const world = new RegistrarWorld().register();
  world.respond(401, challengeFor(401));
  assert.match(world.failure.reason, /none is configured/);
});

test("423: what the registrar wants at least is asked for, and granted", () => {
  const world = new RegistrarWorld({ expiresS: 10 }).register();
  world.respond(423, [["Min-Expires", "60"]]);
  assert.equal(headerValue(world.last, "Expires"), "60");
  world.grant({ expiresS: 60 });
  assert.equal(world.told.at(-1), "registered");
});

for (const [name, value] of [
  ["no", undefined],
  ["an unreadable", "long"],
  ["no longer a", "10"],
  ["too long a", String(MAX_EXPIRES_S + 1)],
] as const)
  test(`423 with ${name} Min-Expires fails`, () => {
    const world = new RegistrarWorld({ expiresS: 10 }).register();
    world.respond(423, value === undefined ? [] : [["Min-Expires", value]]);
    assert.equal(world.failure.status, 423);
    assert.equal(world.sent.length, 1);
  });

test("423 whose demand rises for ever ends", () => {
  const world = new RegistrarWorld({ expiresS: 10 }).register();
  for (let least = 20; world.told.length === 1; least += 10)
    world.respond(423, [["Min-Expires", String(least)]]);
  assert.equal(world.sent.length, MAX_ASKS);
});

test("403 to a key that is kept: tried once more with one that is made", () => {
  const world = new RegistrarWorld();
  world.desk.claim = { ...CLAIM, keyId: "ee".repeat(32), isReplaceable: true };
  world.register();
  world.respond(403, warned);
  assert.deepEqual(world.claims, [false, true]);
  assert.deepEqual(world.told, ["registering"]);
  world.respond(403, warned);
  assert.equal(world.failure.status, 403);
  assert.equal(world.stored.length, 0);
});

test("403 for the clock makes no new key", () => {
  const world = new RegistrarWorld();
  world.desk.claim = { ...CLAIM, isReplaceable: true };
  world.register();
  world.respond(403, [["Date", serializeSipDate(START - 3_600_000)]]);
  assert.deepEqual(world.claims, [false]);
});

test("403 with a Warning or a certificate in it is never more than a reason", () => {
  const world = new RegistrarWorld().register();
  world.respond(403, [...warned, ["Content-Type", "application/pkix-cert"]]);
  assert.equal(world.stored.length, 0);
  assert.equal(world.failure.warning, warned[0]?.[1]);
});

/** Whether a Digest value proves the password over these octets, by auth-int. */
function isProven(request: SipRequest, value: string | undefined, body: Uint8Array): boolean {
  const { params } = parseAuthValue(value ?? "");
  const get = (name: string): string => params.get(name) ?? "";
  const ha1 = digestHa1("alice", "atlanta.example.com", new Secret(Buffer.from("secret")));
  const { method } = request;
  const response = digestResponse({
    ...{ ha1, method, uri: get("uri"), nonce: get("nonce"), nc: get("nc") },
    ...{ cnonce: get("cnonce"), qop: "auth-int", body },
  });
  return get("qop") === "auth-int" && get("response") === response;
}
