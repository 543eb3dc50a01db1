/**
 * Calls between two domains by phones that know nobody's certificate: they have their own from
 * registering, ask for the callee's by themselves, and seal, or do not call at all.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DOMAINS, phoneRegistration, SIP_PORT } from "../../lab/domain-config.ts";
import { readSignalling } from "../../lab/signalling.ts";
import {
  aorOf,
  domainOf,
  openTwoDomains,
  runDevice,
  type TwoDomains,
} from "../../lab/two-domains.ts";
import { startWireTap } from "../../lab/wire-tap.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";

const WAIT_MS = 30_000;
const TONE = new URL("../../lab/voices/alice.wav", import.meta.url).pathname;

let domains: TwoDomains;

before(async () => {
  domains = openTwoDomains();
  await Promise.all([domains.startController("atlanta"), domains.startController("biloxi")]);
});
after(() => domains?.close());

const own = (user: string, rtpPort: number) => ({
  registration: phoneRegistration(domainOf(user), user, { profile: "private" }),
  media: { rtpPort },
});
const ALICE = own("alice", 20_000);
/** The hop from alice to her controller, where anybody may listen. */
const IN_CLEAR = { transport: "tcp", address: DOMAINS.atlanta.inside, port: SIP_PORT };
const BOB = { ...own("bob", 30_000), listen: { transport: "tcp", port: SIP_PORT } };

async function registerOnce(user: string, more: object): Promise<void> {
  const { code, tail } = await runDevice(domains, user, ["register", "--once"], { ...more });
  assert.equal(code, 0, tail);
}

for (const [hop, outbound] of [
  ["TLS, by her certificate", {}],
  ["TCP, by her password", { outbound: IN_CLEAR }],
] as const)
  test(`over ${hop}: the callee's certificate is asked for, and the call is sealed for him`, async () => {
    const caller = { ...ALICE, ...outbound };
    await Promise.all([registerOnce("alice", caller), registerOnce("bob", BOB)]);
    const [heard = "", body = ""] = ["heard", "body"].map((name) => join(domains.directory, name));
    const stored = ["--heard", heard, "--body", body];
    const bob = domains.device("bob", ["answer", "--auto", ...stored], BOB);
    await bob.event({ event: "listening" }, WAIT_MS);
    const alice = domains.device("alice", ["call", aorOf("bob"), "--play", TONE], caller);
    assert.deepEqual(await alice.exited, { code: 0, signal: null }, alice.tail(10));
    assert.deepEqual(await bob.exited, { code: 0, signal: null }, bob.tail(10));
    assert.equal(alice.events({ event: "certificate", aor: aorOf("bob") }).length, 1);
    assert.ok(alice.events({ event: "calling", sealed: true }).length > 0);
    assert.equal(alice.events({ event: "calling", sealed: false }).length, 0);
    assert.equal(readFileSync(body).includes("m=audio"), false);
    assert.ok(readFileSync(heard).length > 1000);
  });

test("nobody's certificate, no call: not in clear either", async () => {
  await registerOnce("alice", ALICE);
  for (const target of [aorOf("dave"), "sip:nobody@biloxi.example.com"]) {
    const tap = await startWireTap(domains.network, "alice", join(domains.directory, "call.pcap"));
    const alice = domains.device("alice", ["call", target], { ...ALICE, outbound: IN_CLEAR });
    const { code } = await alice.exited;
    const passed = readSignalling(await tap.stop()).map(({ message }) => message);
    const sent = passed.filter((each): each is SipRequest => each.kind === "request");
    assert.equal(code, 1, alice.tail(10));
    assert.deepEqual([...new Set(sent.map(({ method }) => method))], ["OPTIONS"]);
  }
});
