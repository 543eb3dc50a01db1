/**
 * REGISTERs and OPTIONS that ask for what they may not have, over a real connection to a running
 * controller: each has its answer, and none changes anything.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { sealRegistration } from "../../protocol/body/registration-body.ts";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { Secret } from "../../protocol/secret.ts";
import {
  headerValue,
  headerValues,
  type SipResponse,
  withBody,
  withHeader,
} from "../../protocol/sip/message.ts";
import { AuthorityDatabase } from "../../runtime/authority-database.ts";
import {
  type Asked,
  aorOf,
  CONTROLLER,
  DOMAIN,
  ha1Of,
  newKeys,
  Office,
  openAnswer,
  passwordOf,
  register,
  requestFor,
  sealed,
} from "./certificate-office.ts";
import { until } from "./controller-harness.ts";
import type { Phone } from "./registrar-phone.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const FLOOD = 10_000;
/** Unanswered at one time: what overloads the machine itself is turned away by other rules. */
const FLOOD_WINDOW = 100;
const PER_MINUTE = 60;

const office = new Office(["alice", "bob", "carol", "dave"]);
let alice: Phone;
let bob: Phone;
let issued: AuthorityDatabase;

before(async () => {
  office.keyhole(
    ...["ca", "init", "--out", office.path("strangers"), "--domain", DOMAIN],
    ...["--controller", CONTROLLER, "--user", aorOf("bob")],
  );
  await office.start({
    limits: { eventLoopLagMs: 60_000 }, // other rules must not turn the flood away
    authority: {
      ...{ certificate: "issuer.pem", key: "issuer.key", database: "authority.sqlite" },
      registrationsPerMinute: PER_MINUTE,
    },
  });
  [alice, bob] = await Promise.all([office.phone("alice"), office.phone("bob")]);
  issued = AuthorityDatabase.open(office.path("keys/authority.sqlite"));
});
after(async () => {
  issued?.close();
  await office.close();
});

/** What is bound to a user, and what was issued to anybody. */
async function state(phone: Phone): Promise<readonly string[]> {
  const response = await phone.register({ contacts: [] });
  assert.equal(response.status, 200);
  const contacts = headerValues(response, "Contact").map((value) =>
    value.replace(/;expires=\d+/, ""),
  );
  return [...contacts, ...issued.list().map(({ serial }) => serial)];
}

/** Asks, is refused with that status, and nothing has changed. */
async function refused(phone: Phone, asked: Asked, status: number): Promise<SipResponse> {
  const before = await state(phone);
  const { response } = await register(office, phone, asked);
  assert.equal(response.status, status, `${response.reason} ${headerValue(response, "Warning")}`);
  assert.deepEqual(await state(phone), before);
  if (status === 403) assert.match(headerValue(response, "Warning") ?? "", /^399 /);
  return response;
}

const tally = (answers: readonly SipResponse[]): string =>
  JSON.stringify(
    Object.groupBy(answers, ({ status }) => status),
    (_, value) => (Array.isArray(value) ? value.length : value),
  );

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
      await refused(bob, { claim: (await claim()) ?? { kind: "none" } }, status);
    });
});

test("a key belongs to whom it was certified for, who may have it certified again", async () => {
  const keys = newKeys();
  const first = await openAnswer(
    await register(office, alice, { claim: await requestFor(aorOf("alice"), keys) }),
  );
  await refused(bob, { claim: await requestFor(aorOf("bob"), keys) }, 403);
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
  await refused(alice, { claim: await requestFor(aorOf("alice"), keys) }, 403);
  const fresh = await requestFor(aorOf("alice"), newKeys());
  assert.equal((await register(office, alice, { claim: fresh })).response.status, 200);
});

describe("a REGISTER sent again is refused", () => {
  test("as it was, in another transaction", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const { request, response } = await register(office, bob, { claim });
    assert.equal(response.status, 200);
    const before = await state(bob);
    const again = await bob.exchange(bob.rebranched(request));
    assert.ok(again.status >= 400, `${again.status}`);
    assert.deepEqual(await state(bob), before);
  });

  test("with fresh credentials", async () => {
    const challenge = await bob.exchange(bob.registerRequest());
    const claim = await requestFor(aorOf("bob"), newKeys());
    const { request } = await sealed(office, bob, { claim }, undefined);
    const send = (count: number) =>
      bob.exchange(bob.authorized(bob.rebranched(request), challenge, {}, count));
    assert.equal((await send(0)).status, 200);
    const before = await state(bob);
    assert.equal((await send(1)).status, 403);
    assert.deepEqual(await state(bob), before);
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
      await refused(bob, { claim: { kind: "certificate", identity: await make() } }, 403);
    });

  test("that is revoked, after it was taken before", async () => {
    const identity = await certified("dave");
    const dave = await office.phone("dave");
    const claim = { kind: "certificate", identity } as const;
    assert.equal((await register(office, dave, { claim })).response.status, 200);
    office.authority("revoke", aorOf("dave"));
    await refused(dave, { claim }, 403);
  });
});

describe("a sealed part that is not for us, or not as it was", () => {
  test("sealed for somebody else: 493, with the certificate to seal for", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const recipient = { kind: "certificate", certificate: office.certificate("carol") } as const;
    const response = await refused(bob, { claim, recipient }, 493);
    assert.ok(response.body.includes(office.certificate(CONTROLLER)));
  });

  test("tampered with: 493", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const change: Asked["change"] = (request) => {
      const body = Buffer.from(request.body);
      body.writeUInt8(body.readUInt8(body.length - 200) ^ 1, body.length - 200);
      return withBody(request, body);
    };
    await refused(bob, { claim, change }, 493);
  });

  test("no CMS at all", async () => {
    const change: Asked["change"] = (request) => withBody(request, Buffer.from("hello"));
    const before = await state(bob);
    const { response } = await register(office, bob, { change });
    assert.ok([400, 493].includes(response.status), `${response.status}`);
    assert.deepEqual(await state(bob), before);
  });

  test("by a password, and no label that names us: not tried, 493", async () => {
    const password = new Secret(Buffer.from(ha1Of("bob")));
    const claim = await requestFor(aorOf("bob"), newKeys());
    const { response } = await register(office, bob, {
      claim,
      recipient: { kind: "password", password },
      change: (request) => withHeader(request, "Proxy-Inspect-Body", `other.${DOMAIN};cid="a@b"`),
    });
    assert.equal(response.status, 493);
  });

  test("another Contact inside than outside: 403", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const rows: Asked["rows"] = (all) =>
      all.map(([name, value]) =>
        name === "Contact" ? [name, "<sip:bob@192.0.2.66:5060>"] : [name, value],
      );
    await refused(bob, { claim, rows }, 403);
  });

  for (const name of ["From", "To", "Call-ID", "CSeq", "Date"])
    test(`${name} missing inside: 403`, async () => {
      const claim = await requestFor(aorOf("bob"), newKeys());
      await refused(bob, { claim, rows: (all) => all.filter(([each]) => each !== name) }, 403);
    });

  test("credentials of a wrong password inside: 401", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    await refused(bob, { claim, profile: "private", password: "guessed" }, 401);
  });

  test("another user's location: 403", async () => {
    const challenge = await bob.exchange(bob.registerRequest());
    const claim = await requestFor(aorOf("carol"), newKeys());
    const change: Asked["change"] = (request) => withHeader(request, "To", `<${aorOf("carol")}>`);
    const { request } = await sealed(office, bob, { claim, change }, challenge);
    assert.equal((await bob.exchange(request)).status, 403);
  });
});

describe("clocks", () => {
  for (const skewMs of [-4.8 * MINUTE_MS, 4.8 * MINUTE_MS])
    test(`${skewMs / MINUTE_MS} minutes off: granted`, async () => {
      const claim = await requestFor(aorOf("bob"), newKeys());
      const { response } = await register(office, bob, { claim, dateMs: Date.now() + skewMs });
      assert.equal(response.status, 200);
    });

  for (const skewMs of [-60 * MINUTE_MS, 60 * MINUTE_MS])
    test(`${skewMs / MINUTE_MS} minutes off: 403, which tells the time`, async () => {
      const claim = await requestFor(aorOf("bob"), newKeys());
      const response = await refused(bob, { claim, dateMs: Date.now() + skewMs }, 403);
      const told = Date.parse(headerValue(response, "Date") ?? "");
      assert.ok(Math.abs(told - Date.now()) < 10_000);
    });
});

test("ten thousand requests of one user at once: some are opened, the rest is told when to come again", async () => {
  const carol = await office.phone("carol", "tcp");
  const challenge = await carol.exchange(carol.registerRequest());
  const claim = await requestFor(aorOf("carol"), newKeys());
  const { request } = await sealed(office, carol, { claim }, undefined);
  const answered = (): readonly SipResponse[] =>
    carol.received.slice(1).filter((each): each is SipResponse => each.kind === "response");
  const flood = async (): Promise<void> => {
    for (let count = 0; count < FLOOD; count += 1) {
      if (count % FLOOD_WINDOW === 0)
        await until(() => carol.received.length > count - FLOOD_WINDOW);
      carol.send(carol.authorized(carol.rebranched(request), challenge, {}, count));
    }
    await until(() => answered().length >= FLOOD);
  };
  const flooded = flood();
  const other = await register(office, bob, { claim: await requestFor(aorOf("bob"), newKeys()) });
  assert.equal(other.response.status, 200, "others are served meanwhile");
  await flooded;
  const answers = answered();
  const limited = answers.filter(({ status }) => status === 500);
  assert.ok(limited.length >= FLOOD - 2 * PER_MINUTE, tally(answers));
  assert.ok(limited.every((each) => Number(headerValue(each, "Retry-After")) > 0));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
});

test("sealed by the password itself and not by what is kept of it: 493", async () => {
  const claim = await requestFor(aorOf("bob"), newKeys());
  const { body } = await sealRegistration({
    rows: [],
    claim,
    recipient: { kind: "password", password: new Secret(Buffer.from(passwordOf("bob"))) },
    random: randomBytes,
  });
  const before = await state(bob);
  const { response } = await register(office, bob, {
    claim,
    change: (request) => withBody(request, body),
  });
  assert.equal(response.status, 493);
  assert.deepEqual(await state(bob), before);
});
