/** Subscriptions to certificates: who else sends in their dialogs, how many there are, other rules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_WATCH_LIMITS } from "../../../controller/core/certificate-watch-limits.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import { ALICE } from "./call-fixture.ts";
import {
  DAVE,
  directory,
  FROM_BILOXI,
  FROM_NOBODY,
  peerWith,
  responsesOf,
  SIP,
  trunk,
} from "./proxy-fixture.ts";
import {
  daveIn,
  FROM_DAVE,
  refresh,
  statuses,
  subscribe,
  TO_OUR_TAG,
  told,
  usersWithout,
  WatchDriver,
} from "./watch-fixture.ts";

test("requests of the dialog: others than its subscriber are refused and change nothing", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  const stop = refresh(tag, 2, "Expires: 0");
  assert.deepEqual(statuses(driver.receive(stop, FROM_NOBODY)), [407]);
  const alice = peerWith(FROM_DAVE, { identities: [ALICE] }, "flow-alice");
  assert.deepEqual(statuses(driver.receive(stop, alice)), [403]);
  assert.deepEqual(statuses(driver.receive(stop, FROM_BILOXI)), [403]);
  const datagram = peerWith(FROM_DAVE, { transport: "udp", identities: [] });
  assert.deepEqual(statuses(driver.receive(stop, datagram)), [407]);
  assert.equal(driver.machine.size, 1);
  const again = peerWith(FROM_DAVE, { port: 41_000 }, "flow-again");
  assert.deepEqual(statuses(driver.receive(stop, again)), [200]);
});

test("a connection whose certificate is out of service ends no subscription by itself", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  driver.gone.add("k");
  const arrival = peerWith(FROM_DAVE, { certificate: { keyId: "k", fingerprint: "f" } });
  assert.deepEqual(statuses(driver.receive(refresh(tag, 2), arrival)), [407]);
});

test("requests of the dialog: what is out of order, of another package or method, is refused", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching(subscribe({ cseq: 5, rows: ["Event: certificate;id=a"] }));
  const status = (sketch: Parameters<typeof subscribe>[0]) =>
    statuses(driver.receive(subscribe({ to: TO_OUR_TAG(tag), cseq: 6, ...sketch })));
  const own = ["Event: certificate;id=a"];
  assert.deepEqual(status({ method: "BYE", rows: own }), [405]);
  assert.deepEqual(status({ rows: ["Event: presence"] }), [489]);
  assert.deepEqual(status({ rows: ["Event: certificate;id=b"] }), [481]);
  assert.deepEqual(status({ rows: ["Event: certificate"] }), [481]);
  assert.deepEqual(status({ rows: [...own, "Expires: 1"] }), [423]);
  assert.deepEqual(status({ cseq: 5, rows: own }), [500]);
  assert.deepEqual(status({ cseq: 4, rows: own }), [500]);
  assert.deepEqual(status({ rows: own }), [200]);
  assert.equal(driver.receive(refresh("other", 9)), undefined);
  assert.equal(
    driver.receive(subscribe({ to: TO_OUR_TAG(tag), from: `<${DAVE}>;tag=d2` })),
    undefined,
  );
});

test("NOTIFY repeats the subscription's id", () => {
  const { notify } = new WatchDriver().watching(subscribe({ rows: ["Event: certificate;id=a7"] }));
  assert.equal(headerValue(notify.request, "Event"), "certificate;id=a7");
});

test("a phone that subscribes again has one subscription, another phone its own", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  driver.watching(subscribe({ callId: "w2@10.10.0.3" }));
  assert.equal(driver.machine.size, 1);
  assert.equal(driver.receive(refresh(tag, 2)), undefined);
  driver.watching(subscribe({ callId: "w3" }, "Contact: <sip:dave@10.10.0.4;transport=tls>"));
  assert.equal(driver.machine.size, 2);
});

const phone = (index: number) =>
  subscribe({ callId: `p${index}` }, `Contact: <sip:dave@10.10.0.3:${index};transport=tls>`);

test("bounds: of one user 403, of all 503 with Retry-After; the same phone always may", () => {
  const driver = new WatchDriver({ watchesPerUser: 2, watches: 3 });
  assert.deepEqual(
    [1, 2, 3].flatMap((index) => statuses(driver.subscribe(phone(index)))),
    [200, 200, 403],
  );
  assert.deepEqual(statuses(driver.subscribe(phone(1))), [200]);
  const biloxi = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  const theirs = (index: number) =>
    driver.subscribe(
      subscribe({ callId: `b${index}` }, `Contact: <sip:bob@10.30.0.2:${index};transport=tcp>`),
      FROM_BILOXI,
      biloxi,
    );
  assert.deepEqual(statuses(theirs(1)), [200]);
  const [refused] = responsesOf(theirs(2));
  assert.equal(refused?.response.status, 503);
  assert.ok(headerValue(refused.response, "Retry-After") !== undefined);
  assert.equal(driver.machine.size, 3);
});

test("bounds: a trunk has its own, whoever speaks behind it", () => {
  const driver = new WatchDriver({ watchesPerTrunk: 1 });
  const origin = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  const by = (name: string) =>
    driver.subscribe(
      subscribe({ callId: name }, `Contact: <sip:${name}@10.30.0.2;transport=tcp>`),
      FROM_BILOXI,
      origin,
    );
  assert.deepEqual([...statuses(by("bob")), ...statuses(by("eve"))], [200, 403]);
});

test("bounds: what is remembered of a dialog", () => {
  const long = `Contact: <sip:dave@10.10.0.3;x=${"y".repeat(DEFAULT_WATCH_LIMITS.dialogBytes)}>`;
  const driver = new WatchDriver();
  assert.deepEqual(statuses(driver.subscribe(subscribe({}, long))), [403]);
  const { tag } = driver.watching();
  const moved = subscribe({ to: TO_OUR_TAG(tag), cseq: 2 }, long);
  assert.deepEqual(statuses(driver.receive(moved)), [403]);
  assert.deepEqual(statuses(driver.receive(refresh(tag, 2))), [200]);
});

test("other rules: who is gone is watched no more, and watches no more", () => {
  const driver = new WatchDriver();
  driver.watching();
  assert.deepEqual(told(driver.machine.reload(driver.now)), []);
  driver.site = driver.siteOf({ ...SIP, users: directory(...usersWithout(ALICE)) });
  assert.deepEqual(told(driver.machine.reload(driver.now)), ["terminated;reason=noresource"]);
  const other = new WatchDriver();
  other.watching();
  other.site = other.siteOf({ ...SIP, users: directory(...usersWithout(DAVE)) });
  assert.deepEqual(told(other.machine.reload(other.now)), ["terminated;reason=rejected one"]);
  const third = new WatchDriver();
  const origin = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  third.subscribe(subscribe(), FROM_BILOXI, origin);
  third.site = third.siteOf({ ...SIP, trunks: [] });
  assert.equal(third.machine.size, 1);
  third.machine.reload(third.now);
  assert.equal(third.machine.size, 0);
});

test("without a listener for the subscriber's transport there is no dialog", () => {
  const policy = { ...SIP, listeners: [] };
  const driver = new WatchDriver({}, policy);
  assert.deepEqual(statuses(driver.subscribe(subscribe(), FROM_DAVE, daveIn(policy))), [500]);
});
