/**
 * REGISTERs that claim a key or a certificate that they may not have, over a real connection to a
 * running controller: each has its answer, and none changes anything.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { Secret } from "../../protocol/secret.ts";
import {
  type Asked,
  aorOf,
  CONTROLLER,
  DOMAIN,
  ha1Of,
  newKeys,
  Office,
  openAnswer,
  register,
  requestFor,
  sealed,
} from "./certificate-office.ts";
import { refused, stateOf } from "./certificate-refusal.ts";
import type { Phone } from "./registrar-phone.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

const office = new Office(["alice", "bob", "carol", "dave"]);
let alice: Phone;
let bob: Phone;

before(async () => {
  office.keyhole(
    ...["ca", "init", "--out", office.path("strangers"), "--domain", DOMAIN],
    ...["--controller", CONTROLLER, "--user", aorOf("bob")],
  );
  await office.start();
  [alice, bob] = await Promise.all([office.phone("alice"), office.phone("bob")]);
});
after(() => office.close());

/** The last octet of the request's signature is another. */
function unproven(request: Buffer): Buffer {
  const copy = Buffer.from(request);
  copy.writeUInt8(copy.readUInt8(copy.length - 1) ^ 1, copy.length - 1);
  return copy;
}

/** A request that OpenSSL makes, for keys and names that we do not ask for ourselves. */
function opensslRequest(key: readonly string[], names: string): Buffer {
  const argv = ["req", "-new", "-newkey", ...key, "-nodes", "-keyout", "/dev/null"];
  const subject = ["-subj", "/CN=phone", "-addext", `subjectAltName=${names}`];
  const made = spawnSync("openssl", [...argv, ...subject, "-outform", "DER"]);
  assert.equal(made.status, 0, made.stderr.toString());
  return made.stdout;
}

/** A user's certificate by the authority of a folder, with the dates that are wanted. */
async function certified(
  user: string,
  { folder = "keys", fromMs = -DAY_MS, untilMs = DAY_MS } = {},
): Promise<Identity> {
  const read = (name: string): Buffer => readFileSync(office.path(`${folder}/${name}`));
  const { publicKey, privateKey } = newKeys();
  const now = Date.now();
  const certificate = await issueCertificate(
    {
      ...{ commonName: user, publicKey, profile: "user", serialNumber: randomBytes(16) },
      alternativeNames: [{ kind: "uri", uri: aorOf(user) }],
      notBefore: new Date(now + fromMs),
      notAfter: new Date(now + untilMs),
    },
    {
      certificate: new X509Certificate(read("ca.pem")).raw,
      privateKey: createPrivateKey(read("ca.key")),
    },
  );
  return { certificate, privateKey };
}

test("what is right is granted, by every way to seal it", async () => {
  const password = new Secret(Buffer.from(ha1Of("alice")));
  const recipients = [undefined, { kind: "password", password }] as const;
  for (const profile of ["open", "private"] as const)
    for (const recipient of recipients) {
      const claim = await requestFor(aorOf("alice"), newKeys());
      const how = recipient === undefined ? {} : { recipient };
      const answered = await register(office, alice, { claim, profile, ...how });
      const answer = await openAnswer(answered);
      assert.deepEqual(answer.certificate?.uris, [aorOf("alice")]);
    }
});

describe("a request for a certificate is refused", () => {
  const cases: readonly (readonly [
    name: string,
    claim: () => Promise<Asked["claim"]>,
    status: number,
  ])[] = [
    ["for another user", () => requestFor(aorOf("carol"), newKeys()), 403],
    [
      "for a user of another domain",
      () => requestFor("sip:bob@biloxi.example.com", newKeys()),
      403,
    ],
    [
      "for a second name beside",
      async () => ({
        kind: "request",
        request: opensslRequest(
          ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
          `URI:${aorOf("bob")},URI:${aorOf("alice")}`,
        ),
      }),
      403,
    ],
    [
      "for a host's name beside",
      async () => ({
        kind: "request",
        request: opensslRequest(
          ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
          `URI:${aorOf("bob")},DNS:${CONTROLLER}`,
        ),
      }),
      403,
    ],
    [
      "with a weak key",
      async () => ({
        kind: "request",
        request: opensslRequest(["rsa:1024"], `URI:${aorOf("bob")}`),
      }),
      403,
    ],
    [
      "not signed by its key",
      async () => {
        const { kind, request } = await requestFor(aorOf("bob"), newKeys());
        return { kind, request: unproven(request) };
      },
      403,
    ],
  ];
  for (const [name, claim, status] of cases)
    test(name, async () => {
      await refused(office, bob, { claim: (await claim()) ?? { kind: "none" } }, status);
    });
});

test("a key belongs to whom it was certified for, who may have it certified again", async () => {
  const keys = newKeys();
  const first = await openAnswer(
    await register(office, alice, { claim: await requestFor(aorOf("alice"), keys) }),
  );
  await refused(office, bob, { claim: await requestFor(aorOf("bob"), keys) }, 403);
  const second = await openAnswer(
    await register(office, alice, { claim: await requestFor(aorOf("alice"), keys) }),
  );
  assert.notEqual(second.certificate?.serial, first.certificate?.serial);
});

test("a revoked key is never certified again; a new one is", async () => {
  const keys = newKeys();
  const claim = await requestFor(aorOf("alice"), keys);
  const { certificate } = await openAnswer(await register(office, alice, { claim }));
  office.authority("revoke", certificate?.serial ?? "");
  await refused(office, alice, { claim: await requestFor(aorOf("alice"), keys) }, 403);
  const fresh = await requestFor(aorOf("alice"), newKeys());
  assert.equal((await register(office, alice, { claim: fresh })).response.status, 200);
});

describe("a REGISTER sent again is refused", () => {
  test("as it was, in another transaction", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const { request, response } = await register(office, bob, { claim });
    assert.equal(response.status, 200);
    const before = await stateOf(office, bob);
    const again = await bob.exchange(bob.rebranched(request));
    assert.ok(again.status >= 400, `${again.status}`);
    assert.deepEqual(await stateOf(office, bob), before);
  });

  test("with fresh credentials", async () => {
    const challenge = await bob.exchange(bob.registerRequest());
    const claim = await requestFor(aorOf("bob"), newKeys());
    const { request } = await sealed(office, bob, { claim }, undefined);
    const send = (count: number) =>
      bob.exchange(bob.authorized(bob.rebranched(request), challenge, {}, count));
    assert.equal((await send(0)).status, 200);
    const before = await stateOf(office, bob);
    assert.equal((await send(1)).status, 403);
    assert.deepEqual(await stateOf(office, bob), before);
  });
});

describe("a certificate that the phone has is refused", () => {
  const cases = {
    "that has expired": () => certified("bob", { untilMs: -MINUTE_MS }),
    "that is not valid yet": () => certified("bob", { fromMs: DAY_MS / 2 }),
    "of an authority that is not ours": () => certified("bob", { folder: "strangers" }),
    "of another user": () => certified("carol"),
    "whose key it does not hold": async () => ({
      ...(await certified("bob")),
      privateKey: newKeys().privateKey,
    }),
  };
  for (const [name, make] of Object.entries(cases))
    test(name, async () => {
      await refused(office, bob, { claim: { kind: "certificate", identity: await make() } }, 403);
    });

  test("that is revoked, after it was taken before", async () => {
    const identity = await certified("dave");
    const dave = await office.phone("dave");
    const claim = { kind: "certificate", identity } as const;
    assert.equal((await register(office, dave, { claim })).response.status, 200);
    office.authority("revoke", aorOf("dave"));
    await refused(office, dave, { claim }, 403);
  });
});
