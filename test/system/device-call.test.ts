import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { LabProcess } from "../../lab/lab-process.ts";
import { decodeMuLaw } from "../../protocol/audio/g711.ts";
import { decodeTelephoneWav } from "../../protocol/audio/wav.ts";
import { BOB, freeMediaPort, freePort, Household, LOOPBACK } from "./device-harness.ts";

let house: Household;
before(() => {
  house = new Household();
});
after(() => house.close());

interface Pair {
  readonly alice: LabProcess;
  readonly bob: LabProcess;
}

interface PairOptions {
  readonly sealing?: Readonly<Record<string, unknown>>;
  readonly aliceExtra?: readonly string[];
  readonly bobExtra?: readonly string[];
}

/** Bob listening, alice calling him; what each hears, sends and offers is stored. */
async function startPair(options: PairOptions = {}): Promise<Pair> {
  const { sealing, aliceExtra = [], bobExtra = [] } = options;
  const [port, aliceRtp, bobRtp] = [await freePort(), await freeMediaPort(), await freeMediaPort()];
  const stored = (name: "alice" | "bob"): readonly string[] =>
    ["heard", "wire", "body"].flatMap((what) => [`--${what}`, house.path(`${name}.${what}`)]);
  const changes = sealing === undefined ? {} : { sealing };
  const listen = { listen: { transport: "tcp", port }, media: { rtpPort: bobRtp }, ...changes };
  const bobPlays = ["--play", house.tone("bob", 900), ...stored("bob"), ...bobExtra];
  const bob = house.start("bob", ["answer"], listen, bobPlays);
  await bob.event({ event: "listening" });
  const outbound = { transport: "tcp", address: LOOPBACK, port };
  const call = { outbound, media: { rtpPort: aliceRtp }, ...changes };
  const alicePlays = ["--play", house.tone("alice", 510), ...stored("alice"), ...aliceExtra];
  const alice = house.start("alice", ["call", BOB], call, alicePlays);
  return { alice, bob };
}

/** What `who` heard is, sample for sample, what `speaker` put on the wire. */
function assertHeard(who: string, speaker: string): void {
  const heard = decodeTelephoneWav(readFileSync(house.path(`${who}.heard`)));
  assert.deepEqual(heard, decodeMuLaw(readFileSync(house.path(`${speaker}.wire`))));
}

async function assertEndedWell({ alice, bob }: Pair): Promise<void> {
  assert.deepEqual(await alice.exited, { code: 0, signal: null }, alice.tail());
  assert.deepEqual(await bob.exited, { code: 0, signal: null }, bob.tail());
}

for (const form of ["rfc3185", "patent"] as const)
  test(`a sealed call in the form ${form}: each hears what the other said`, async () => {
    const pair = await startPair({ sealing: { form }, bobExtra: ["--auto"] });
    await assertEndedWell(pair);
    assertHeard("alice", "bob");
    assertHeard("bob", "alice");

    const [calling] = pair.alice.events({ event: "calling" });
    const [incoming] = pair.bob.events({ event: "incoming" });
    const body = readFileSync(house.path("bob.body"));
    assert.deepEqual(body, readFileSync(house.path("alice.body")));
    const bodySha256 = createHash("sha256").update(body).digest("hex");
    assert.equal(calling?.["bodySha256"], bodySha256);
    assert.equal(incoming?.["bodySha256"], bodySha256);
    assert.equal(body.includes("a=crypto"), false);

    const [alice] = pair.alice.events({ event: "media-ended" });
    const [bob] = pair.bob.events({ event: "media-ended" });
    const fromBob = 45 + Number(bob?.["sentRtcp"]);
    const fromAlice = 26 + Number(alice?.["sentRtcp"]);
    assert.deepEqual(alice, {
      ...{ event: "media-ended", sent: 26, sentRtcp: alice?.["sentRtcp"] },
      ...{ received: fromBob, authenticated: fromBob, rejected: 0 },
    });
    assert.deepEqual(bob, {
      ...{ event: "media-ended", sent: 45, sentRtcp: bob?.["sentRtcp"] },
      ...{ received: fromAlice, authenticated: fromAlice, rejected: 0 },
    });
  });

test("a call in clear, where both sides want it so", async () => {
  const pair = await startPair({ aliceExtra: ["--plain"], bobExtra: ["--plain", "--auto"] });
  await assertEndedWell(pair);
  assertHeard("alice", "bob");
  assert.match(readFileSync(house.path("bob.body"), "latin1"), /^a=crypto:1 /m);
});

test("driven by commands: ring, answer, and the callee hangs up", async () => {
  const pair = await startPair({ aliceExtra: ["--hold-after-play"] });
  const { alice, bob } = pair;
  await bob.event({ event: "incoming" });
  bob.send({ do: "ring" });
  await alice.event({ event: "ringing" });
  bob.send({ do: "dance" });
  await bob.event({ event: "command-refused" });
  bob.send({ do: "answer" });
  await Promise.all([alice.event({ event: "played" }), bob.event({ event: "played" })]);
  bob.send({ do: "hangup" });
  await assertEndedWell(pair);
  assert.equal(bob.events({ event: "ended" })[0]?.["reason"], "hung-up");
  assert.equal(alice.events({ event: "ended" })[0]?.["reason"], "peer-hung-up");
});

test("the caller gives up while it rings, and both sides have failed", async () => {
  const { alice, bob } = await startPair();
  await alice.event({ event: "ringing" });
  alice.send({ do: "hangup" });
  assert.equal((await alice.exited).code, 1);
  assert.equal((await bob.exited).code, 1);
  assert.equal(alice.events({ event: "failed" })[0]?.["reason"], "cancelled");
});

test("told to stop in the middle of a call, a phone hangs up and ends in good order", async () => {
  const pair = await startPair({ bobExtra: ["--auto"] });
  await pair.alice.event({ event: "media-started" });
  pair.alice.signal("SIGTERM");
  await assertEndedWell(pair);
});

test("told to stop while it waits, a phone ends at once", async () => {
  const changes = { listen: { transport: "tcp", port: await freePort() } };
  const media = { rtpPort: await freeMediaPort() };
  const bob = house.start("bob", ["answer"], { ...changes, media });
  await bob.event({ event: "listening" });
  assert.deepEqual(await bob.stop(), { code: 0, signal: null });
});
