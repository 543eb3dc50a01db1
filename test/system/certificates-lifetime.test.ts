/**
 * A certificate is in service exactly as long as its registration, whatever ends it, and whoever
 * asks or watches hears of it at once. One running controller on loopback.
 */
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { verifyQueryAnswer } from "../../protocol/body/certificate-query.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import {
  headerValue,
  headerValues,
  type SipRequest,
  type SipResponse,
} from "../../protocol/sip/message.ts";
import {
  aorOf,
  ask,
  equip,
  newKeys,
  Office,
  openAnswer,
  readAnswer,
  register,
} from "./certificate-office.ts";
import { until } from "./controller-harness.ts";
import type { Phone } from "./registrar-phone.ts";

const USERS = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];

const office = new Office(USERS);
/** Who asks. */
let bob: Phone;
let asker: Identity;

before(async () => {
  await office.start();
  bob = await office.phone("bob");
  asker = (await equip(office, bob)).identity;
});
after(() => office.close());

const about = (user: string): Promise<SipResponse> =>
  ask(office, bob, { target: aorOf(user), signer: asker });

async function certificatesOf(user: string): Promise<readonly Buffer[]> {
  const { certificates } = await readAnswer(await about(user));
  return certificates.map(({ encoded }) => encoded);
}

async function restarted(how: () => Promise<unknown>): Promise<void> {
  bob.close();
  await how();
  await office.start();
  bob = await office.phone("bob");
}

test("the certificate ends when the registration does, to the second", async () => {
  const alice = await office.phone("alice");
  const { identity, answered } = await equip(office, alice, { expiresS: 1234 });
  const [contact = ""] = headerValues(answered.response, "Contact");
  assert.match(contact, /;expires=1234$/);
  const date = Date.parse(headerValue(answered.response, "Date") ?? "");
  const { validToDate, validFromDate } = new X509Certificate(identity.certificate);
  assert.equal(validToDate.getTime(), date + 1_234_000);
  assert.equal(validFromDate.getTime(), date - 300_000);
});

test("asked for, it comes signed, with when it ends and without where the user is", async () => {
  const alice = await office.phone("alice");
  const { identity, answered } = await equip(office, alice, {
    contacts: [alice.contact],
    profile: "private",
  });
  const shown = headerValues(answered.response, "Contact").join();
  assert.equal(shown.includes(`:${alice.port}`), false, "hidden, also in the answer");
  const response = await about("alice");
  const { certificates, rows } = await readAnswer(response);
  assert.ok(certificates.some(({ encoded }) => encoded.equals(Buffer.from(identity.certificate))));
  assert.ok(rows.some(([name]) => name === "Expires"));
  assert.ok(rows.every(([name]) => name !== "Contact"));
  for (const name of ["Call-ID", "CSeq", "Date"])
    assert.equal(rows.find(([each]) => each === name)?.[1], headerValue(response, name), name);
});

test("a hidden location is not told to who fetches, and calls find it all the same", async () => {
  const erin = await office.phone("erin");
  await equip(office, erin, { profile: "private" });
  const fetched = await erin.register({ contacts: [] });
  assert.deepEqual([fetched.status, headerValues(fetched, "Contact")], [200, []]);
  assert.equal((await bob.invite(aorOf("erin"))).status, 200);
});

describe("taken out of service", () => {
  test("by its time: 480", async () => {
    const carol = await office.phone("carol");
    const { identity } = await equip(office, carol, { expiresS: 2 });
    assert.equal((await certificatesOf("carol")).length, 1);
    const end = new X509Certificate(identity.certificate).validToDate.getTime();
    await new Promise((resolve) => setTimeout(resolve, end - Date.now() + 50));
    assert.equal((await about("carol")).status, 480);
  });

  test("by Expires: 0, sealed", async () => {
    const carol = await office.phone("carol");
    await equip(office, carol);
    assert.equal((await certificatesOf("carol")).length, 1);
    const removed = await register(office, carol, { claim: { kind: "none" }, expiresS: 0 });
    assert.equal(removed.response.status, 200);
    assert.equal((await about("carol")).status, 480);
  });

  test("by Contact: * in clear", async () => {
    const carol = await office.phone("carol");
    await equip(office, carol);
    const removed = await carol.register({ contacts: ["*"], headers: [["Expires", "0"]] });
    assert.equal(removed.status, 200);
    assert.equal((await about("carol")).status, 480);
  });

  test("by a registration of the same location without one", async () => {
    const carol = await office.phone("carol");
    await equip(office, carol);
    assert.equal((await carol.register()).status, 200);
    assert.equal((await about("carol")).status, 480);
  });

  test("by revocation, at once, untold", async () => {
    const carol = await office.phone("carol");
    const { identity } = await equip(office, carol);
    const serial = new X509Certificate(identity.certificate).serialNumber;
    office.authority("revoke", serial, "--reason", "keyCompromise");
    assert.equal((await about("carol")).status, 480);
  });

  test("by its user's removal: 404, and 480 when he is there again", async () => {
    const dave = await office.phone("dave");
    await equip(office, dave);
    const reloads = (): number =>
      office.controller.lines.filter((line) => line.includes("configuration read again")).length;
    for (const [users, status] of [
      [USERS.filter((user) => user !== "dave"), 404],
      [USERS, 480],
    ] as const) {
      const before = reloads();
      office.configure({}, users);
      office.controller.hangUp();
      await until(() => reloads() > before);
      assert.equal((await about("dave")).status, status);
    }
  });
});

test("several phones have several certificates, and each goes by itself", async () => {
  const [first, second] = [await office.phone("frank"), await office.phone("frank")];
  const identities = [await equip(office, first), await equip(office, second)];
  const expected = identities.map(({ identity }) =>
    Buffer.from(identity.certificate).toString("hex"),
  );
  const now = async () =>
    (await certificatesOf("frank")).map((each) => each.toString("hex")).sort();
  assert.deepEqual(await now(), [...expected].sort());
  await register(office, first, { claim: { kind: "none" }, expiresS: 0 });
  assert.deepEqual(await now(), expected.slice(1));
});

test("a refresh keeps the key and replaces the certificate", async () => {
  const carol = await office.phone("carol");
  const keys = newKeys();
  const first = await equip(office, carol, {}, keys);
  const second = await equip(office, carol, {}, keys);
  const [served, ...more] = await certificatesOf("carol");
  assert.deepEqual([served, more.length], [Buffer.from(second.identity.certificate), 0]);
  assert.notDeepEqual(served, Buffer.from(first.identity.certificate));
});

test("a certificate that ends before the registration is handed out until it ends", async () => {
  const erin = await office.phone("erin");
  const identity = {
    certificate: office.certificate("erin"),
    privateKey: createPrivateKey(readFileSync(office.path("keys/erin.key"))),
  };
  const claim = { kind: "certificate", identity } as const;
  const answered = await register(office, erin, { claim });
  const { certificate } = await openAnswer(answered, identity);
  assert.deepEqual(certificate?.encoded ?? identity.certificate, identity.certificate);
  assert.ok((await certificatesOf("erin")).some((each) => each.equals(identity.certificate)));
});

for (const signal of ["SIGTERM", "SIGKILL"] as const)
  test(`${signal} and a new start: what was in service is in service`, async () => {
    const alice = await office.phone("alice");
    await equip(office, alice, { contacts: ["<sip:alice@127.0.0.9:5070;transport=tcp>"] });
    const before = await certificatesOf("alice");
    await restarted(() => office.controller.signal(signal));
    assert.deepEqual(await certificatesOf("alice"), before);
  });

describe("who asks is refused", () => {
  const cases: readonly (readonly [string, () => Promise<SipResponse>, readonly number[]])[] = [
    ["unsigned", () => ask(office, bob, { target: aorOf("alice") }), [403]],
    [
      "signed by another user",
      async () => {
        const { identity } = await equip(office, await office.phone("frank"));
        return ask(office, bob, { target: aorOf("alice"), signer: identity });
      },
      [403],
    ],
    [
      "an hour ago",
      () =>
        ask(office, bob, {
          ...{ target: aorOf("alice"), signer: asker, dateMs: Date.now() - 3_600_000 },
        }),
      [403],
    ],
    [
      "about somebody else than what was signed",
      () =>
        ask(office, bob, {
          ...{ target: aorOf("alice"), signer: asker },
          startLine: `OPTIONS ${aorOf("carol")} SIP/2.0`,
        }),
      [403],
    ],
    [
      "under another Call-ID than what was signed",
      () =>
        ask(office, bob, {
          ...{ target: aorOf("alice"), signer: asker },
          rows: (rows) => rows.map(([name, value]) => [name, name === "Call-ID" ? "x" : value]),
        }),
      [403],
    ],
    ["about nobody", () => about("nobody"), [404]],
  ];
  for (const [name, run, statuses] of cases)
    test(`${name}: ${statuses.join(" or ")}`, async () => {
      const { status, reason } = await run();
      assert.ok(statuses.includes(status), `${status} ${reason}`);
    });
});

test("an OPTIONS that asks for no certificate goes to the phone", async () => {
  const alice = await office.phone("alice");
  await equip(office, alice);
  const response = await ask(office, bob, { target: aorOf("alice"), accept: "application/sdp" });
  assert.equal(response.status, 200);
  assert.ok(alice.received.some((each) => each.kind === "request" && each.method === "OPTIONS"));
});

describe("whoever watches is notified (RFC 6072)", () => {
  /** A subscription of bob's to a user's certificate: the 200, and the notifications as they come. */
  async function watch(user: string, expires = "600") {
    const make = (): SipRequest =>
      bob.newRequest("SUBSCRIBE", aorOf(user), [
        ["Contact", bob.contact],
        ["Event", "certificate"],
        ["Accept", "application/pkix-cert"],
        ["Expires", expires],
      ]);
    const challenge = await bob.exchange(make());
    assert.equal(challenge.status, 407);
    const request = bob.authorized(make(), challenge);
    const response = await bob.exchange(request);
    assert.equal(response.status, 200, `${headerValue(response, "Warning")}`);
    const callId = headerValue(request, "Call-ID");
    const notices = (): readonly SipRequest[] =>
      bob.received.filter(
        (each): each is SipRequest =>
          each.kind === "request" &&
          each.method === "NOTIFY" &&
          headerValue(each, "Call-ID") === callId,
      );
    return { request, response, notices };
  }

  test("of the certificate, and at once of its end", async () => {
    const grace = await office.phone("grace");
    const { identity } = await equip(office, grace);
    const { notices } = await watch("grace");
    await until(() => notices().length > 0);
    assert.ok(notices()[0]?.body.includes(identity.certificate));
    await register(office, grace, { claim: { kind: "none" }, expiresS: 0 });
    await until(() => notices().length > 1);
    assert.equal(notices().at(-1)?.body.length, 0);
    for (const notice of notices()) {
      assert.equal(headerValue(notice, "Event"), "certificate");
      assert.match(headerValue(notice, "Subscription-State") ?? "", /^active/);
    }
  });

  test("of a revocation, at once", async () => {
    const heidi = await office.phone("heidi");
    const { identity } = await equip(office, heidi);
    const { notices } = await watch("heidi");
    await until(() => notices().length > 0);
    const seen = notices().length;
    office.authority("revoke", new X509Certificate(identity.certificate).serialNumber);
    await until(() => notices().length > seen);
    assert.equal(notices().at(-1)?.body.length, 0);
  });

  test("fetching once is a subscription of no time", async () => {
    const { notices } = await watch("bob", "0");
    await until(() => notices().length > 0);
    assert.match(
      headerValue(notices()[0] as SipRequest, "Subscription-State") ?? "",
      /^terminated/,
    );
  });
});

test("an answer that was changed on its way is no answer", async () => {
  const response = await about("bob");
  const { body } = response;
  const contentType = headerValue(response, "Content-Type") ?? "";
  const broken = Buffer.from(body);
  const at = broken.indexOf(asker.certificate) + 100;
  broken.writeUInt8(broken.readUInt8(at) ^ 1, at);
  await assert.rejects(verifyQueryAnswer({ body: broken, contentType }));
});
