/**
 * Sealed REGISTERs that are for somebody else, were changed on the way, come too late or too often:
 * each has its answer, and none changes anything. One running controller on loopback.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Secret } from "../../protocol/secret.ts";
import { headerValue, type SipResponse, withBody, withHeader } from "../../protocol/sip/message.ts";
import {
  type Asked,
  aorOf,
  CONTROLLER,
  DOMAIN,
  ha1Of,
  newKeys,
  Office,
  passwordOf,
  register,
  requestFor,
  sealed,
} from "./certificate-office.ts";
import { refused } from "./certificate-refusal.ts";
import { until } from "./controller-harness.ts";
import type { Phone } from "./registrar-phone.ts";

const MINUTE_MS = 60_000;
const FLOOD = 10_000;
/** Unanswered at one time: what overloads the machine itself is turned away by other rules. */
const FLOOD_WINDOW = 100;
const PER_MINUTE = 60;

const office = new Office(["bob", "carol"]);
let bob: Phone;

before(async () => {
  await office.start({
    limits: { eventLoopLagMs: 60_000 }, // other rules must not turn the flood away
    authority: {
      ...{ certificate: "issuer.pem", key: "issuer.key", database: "authority.sqlite" },
      registrationsPerMinute: PER_MINUTE,
    },
  });
  bob = await office.phone("bob");
});
after(() => office.close());

const tally = (answers: readonly SipResponse[]): string =>
  JSON.stringify(
    Object.groupBy(answers, ({ status }) => status),
    (_, value) => (Array.isArray(value) ? value.length : value),
  );

describe("a sealed part that is not for us, or not as it was", () => {
  test("sealed for somebody else: 493, with the certificate to seal for", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const recipient = { kind: "certificate", certificate: office.certificate("carol") } as const;
    const response = await refused(office, bob, { claim, recipient }, 493);
    assert.ok(response.body.includes(office.certificate(CONTROLLER)));
  });

  test("tampered with: 493", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const change: Asked["change"] = (request) => {
      const body = Buffer.from(request.body);
      body.writeUInt8(body.readUInt8(body.length - 200) ^ 1, body.length - 200);
      return withBody(request, body);
    };
    await refused(office, bob, { claim, change }, 493);
  });

  test("no CMS at all", async () => {
    const change: Asked["change"] = (request) => withBody(request, Buffer.from("hello"));
    await refused(office, bob, { change }, 400, 493);
  });

  test("by a password, and no label that names us: not tried, 493", async () => {
    const password = new Secret(Buffer.from(ha1Of("bob")));
    const claim = await requestFor(aorOf("bob"), newKeys());
    const recipient = { kind: "password", password } as const;
    const change: Asked["change"] = (request) =>
      withHeader(request, "Proxy-Inspect-Body", `other.${DOMAIN};cid="a@b"`);
    await refused(office, bob, { claim, recipient, change }, 493);
  });

  test("another Contact inside than outside: 403", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    const rows: Asked["rows"] = (all) =>
      all.map(([name, value]) =>
        name === "Contact" ? [name, "<sip:bob@192.0.2.66:5060>"] : [name, value],
      );
    await refused(office, bob, { claim, rows }, 403);
  });

  for (const name of ["From", "To", "Call-ID", "CSeq", "Date"])
    test(`${name} missing inside: 403`, async () => {
      const claim = await requestFor(aorOf("bob"), newKeys());
      await refused(
        office,
        bob,
        { claim, rows: (all) => all.filter(([each]) => each !== name) },
        403,
      );
    });

  test("credentials of a wrong password inside: 401", async () => {
    const claim = await requestFor(aorOf("bob"), newKeys());
    await refused(office, bob, { claim, profile: "private", password: "guessed" }, 401);
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
      const response = await refused(office, bob, { claim, dateMs: Date.now() + skewMs }, 403);
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
  const password = new Secret(Buffer.from(passwordOf("bob")));
  await refused(office, bob, { claim, recipient: { kind: "password", password } }, 493);
});
