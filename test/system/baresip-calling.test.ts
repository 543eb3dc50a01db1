/**
 * Calls of other people's phones that do not simply succeed, and calls by way of other people's
 * proxies: several phones of one user, giving up, busy, no answer; Kamailio before and behind.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { Baresip } from "../../lab/baresip.ts";
import { DOMAIN, type Exchange, openExchange, type PhoneOptions } from "../../lab/exchange.ts";
import { startEdgeKamailio } from "../../lab/kamailio-edge.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { ownMedia } from "../../lab/phone-trace.ts";
import { LEAVES } from "../../lab/topology.ts";
import {
  answer,
  assertPinholes,
  assertRecorded,
  BOB,
  hangUp,
  passedSound,
  readSound,
  ring,
  talk,
  tapLinks,
} from "./baresip-harness.ts";

const ANY_PORT = 30_200;
let exchange: Exchange;
let phones: Baresip[] = [];

before(async () => {
  exchange = await openExchange();
});
afterEach(async () => {
  await Promise.all(phones.map((phone) => phone.stop()));
  phones = [];
});
after(() => exchange?.close());

async function start(options: PhoneOptions): Promise<Baresip> {
  const phone = await exchange.startPhone(options);
  phones.push(phone);
  return phone;
}

const startAlice = (options: Partial<PhoneOptions> = {}): Promise<Baresip> =>
  start({ host: "alice", transport: "udp", ...options });
const startBob = (options: Partial<PhoneOptions> = {}): Promise<Baresip> =>
  start({ host: "bob", transport: "udp", ...options });

const assertShut = (alice: Baresip): Promise<void> =>
  assertPinholes(exchange, "afterBye", { alice: ownMedia(alice).rtpPort, bob: ANY_PORT });

describe("a user with two phones", () => {
  test("both ring, one answers, the other stops ringing and has no pinhole", async () => {
    const alice = await startAlice();
    const [desk, mobile] = [await startBob(), await startBob({ index: 1, transport: "tcp" })];
    await alice.tell("dial", BOB);
    await Promise.all([desk.event("CALL_INCOMING"), mobile.event("CALL_INCOMING")]);
    await answer({ caller: alice, callee: mobile });
    await desk.event("CALL_CLOSED");

    const ports = { alice: ownMedia(alice).rtpPort, bob: ownMedia(mobile).rtpPort };
    await assertPinholes(exchange, "afterAnswer", ports);
    await hangUp(alice, mobile);
    await assertShut(alice);
  });
});

describe("a call that does not come to be", () => {
  test("the caller gives up: the other stops ringing, and nothing stays open", async () => {
    const [alice, bob] = [await startAlice(), await startBob()];
    await ring({ caller: alice, callee: bob });
    await hangUp(alice, bob);
    await assertShut(alice);
  });

  test("the callee is busy", async () => {
    const [alice, bob] = [await startAlice(), await startBob()];
    await ring({ caller: alice, callee: bob });
    await bob.tell("hangup");
    assert.match((await alice.event("CALL_CLOSED")).param ?? "", /^486 /);
    await assertShut(alice);
  });

  test("nobody answers", async () => {
    const [alice, bob] = [await startAlice(), await startBob({ ringSeconds: 1 })];
    await ring({ caller: alice, callee: bob });
    const closed = await alice.event("CALL_CLOSED");
    assert.match(closed.param ?? "", /^4\d\d /);
    await assertShut(alice);
  });

  test("nobody is there", async () => {
    const alice = await startAlice();
    await alice.tell("dial", BOB);
    assert.match((await alice.event("CALL_CLOSED")).param ?? "", /^480 /);
    await assertShut(alice);
  });
});

describe("Kamailio on the way", () => {
  let edge: LabProcess;
  before(async () => {
    const { network, site } = exchange.stage;
    edge = await startEdgeKamailio(network, join(site.directory, "edge"));
  });
  after(() => edge?.stop());

  test("behind the gateway: a call to another domain", async () => {
    const alice = await startAlice();
    const bob = await startBob({ transport: "tcp", register: false });
    await converse(alice, bob, "sip:bob@biloxi.example.com");
  });

  test("before the gateway: a phone that registers and calls by way of it", async () => {
    const outbound = { address: LEAVES.biloxi.address, port: 5070 };
    const [alice, bob] = [await startAlice({ outbound }), await startBob()];
    await converse(alice, bob, BOB);
    await converse(bob, alice, `sip:alice@${DOMAIN}`);
  });

  /** They talk for a moment; what passed is what was recorded. */
  async function converse(caller: Baresip, callee: Baresip, uri: string): Promise<void> {
    const taps = await tapLinks(exchange, `kamailio-${caller.process.pid}-${callee.process.pid}`);
    const parties = { caller, callee };
    const callId = await ring(parties, uri);
    await answer(parties);
    await talk(1000);
    await hangUp(caller, callee);
    const passed = await passedSound(taps, parties);
    const recorded = await readSound(exchange, callId);
    assert.deepEqual(recorded.gaps, []);
    assertRecorded(recorded.caller, passed.caller, 0.5);
    assertRecorded(recorded.callee, passed.callee, 0.5);
  }
});
