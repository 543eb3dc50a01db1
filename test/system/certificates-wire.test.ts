/**
 * What phones that register send over a hop where anybody may listen: one sealed part (row C1 of
 * what must work), and around it no more than the profile allows.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { readSignalling } from "../../lab/signalling.ts";
import type { TcpStream } from "../../lab/tcp-streams.ts";
import { aorOf, openTwoDomains, runDevice, type TwoDomains } from "../../lab/two-domains.ts";
import { startWireTap } from "../../lab/wire-tap.ts";
import { decodeMessage } from "../../protocol/cms/message.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import {
  certificateOf,
  IN_CLEAR,
  keptCertificate,
  registered,
  registering,
} from "./certificate-phones.ts";

const PROTECTIONS = ["certificate", "shared-key", "password"] as const;
const PROFILES = ["open", "private"] as const;
const RECIPIENT_KINDS = {
  certificate: "key-agree",
  "shared-key": "kek",
  password: "password",
} as const;

let domains: TwoDomains;

before(async () => {
  domains = openTwoDomains();
  await domains.startController("atlanta");
});
after(() => domains?.close());

/** Runs something while the link of atlanta's phones is listened to. */
async function tapped<T>(run: () => Promise<T>): Promise<{
  readonly messages: readonly SipMessage[];
  readonly streams: readonly TcpStream[];
  readonly result: T;
}> {
  const tap = await startWireTap(domains.network, "alice", join(domains.directory, "alice.pcap"));
  try {
    const result = await run();
    const streams = await tap.stop();
    return { messages: readSignalling(streams).map(({ message }) => message), streams, result };
  } catch (error) {
    await tap.stop();
    throw error;
  }
}

const isSealedRegister = (message: SipMessage): message is SipRequest =>
  message.kind === "request" && message.method === "REGISTER" && message.body.length > 0;

function recipientsOf(body: Buffer): readonly string[] {
  const message = decodeMessage(body);
  return message.kind === "encrypted" ? [] : message.recipients.map(({ kind }) => kind);
}

/** SubjectPublicKeyInfo of the certificate that a phone keeps. */
const publicKeyOf = (user: string): Buffer =>
  keptCertificate(domains, user).publicKey.export({ format: "der", type: "spki" });

describe("C1: one sealed part holds location, expiry, credentials and request", () => {
  for (const protection of PROTECTIONS)
    for (const profile of PROFILES)
      test(`sealed by ${protection}, profile ${profile}`, async () => {
        const store = `carol-${protection}-${profile}.json`;
        const sharedKey = protection === "shared-key" ? { sharedKey: "carol.sharedkey" } : {};
        const { messages, result } = await tapped(async () => {
          const { phone, event } = await registered(domains, "carol", {
            ...registering("carol", { protection, profile, store, ...sharedKey }),
            outbound: IN_CLEAR,
          });
          await phone.stop();
          return event;
        });
        assert.ok(certificateOf(result) !== undefined);
        const kinds = messages.filter(isSealedRegister).flatMap(({ body }) => recipientsOf(body));
        assert.ok(kinds.length > 0);
        for (const kind of kinds) assert.equal(kind, RECIPIENT_KINDS[protection]);
      });
});

test("what a private phone sends in clear tells neither location nor credentials nor request", async () => {
  const more = { ...registering("alice", { profile: "private" }), outbound: IN_CLEAR };
  const { messages, streams, result } = await tapped(async () => {
    const { phone, event } = await registered(domains, "alice", more);
    const key = publicKeyOf("alice");
    await runDevice(domains, "alice", ["certificate", aorOf("alice")], more);
    await phone.stop();
    return { contact: String(event["contact"]).replace(/^<|>.*$/g, ""), key };
  });
  const isRegister = (message: SipMessage): boolean =>
    /REGISTER$/.test(headerValue(message, "CSeq") ?? "");
  const [registers, others] = [messages.filter(isRegister), messages.filter((m) => !isRegister(m))];
  assert.ok(registers.length >= 2 && others.length >= 2);
  const octetsOf = (all: readonly SipMessage[]): Buffer =>
    Buffer.concat(all.map((message) => serializeMessage(message)));
  assert.equal(octetsOf(registers).includes(result.contact), false, "the location");
  assert.equal(octetsOf(registers).includes("nonce-count"), false);
  for (const message of registers.filter(({ kind }) => kind === "request"))
    for (const name of ["Contact", "Expires", "Authorization"])
      assert.equal(headerValue(message, name), undefined, name);
  assert.equal(octetsOf(registers).includes(result.key), false, "the request, the certificate");
  assert.equal(octetsOf(others).includes(result.key), true, "the search would find it");
  assert.ok(streams.every(({ octets }) => !octets.includes("CERTIFICATE REQUEST")));
});

test("with an open profile the search finds the location", async () => {
  const more = { ...registering("alice", { profile: "open" }), outbound: IN_CLEAR };
  const { messages, result } = await tapped(async () => {
    const { phone, event } = await registered(domains, "alice", more);
    await phone.stop();
    return String(event["contact"]).replace(/^<|>.*$/g, "");
  });
  assert.ok(messages.some((message) => serializeMessage(message).includes(result)));
});
