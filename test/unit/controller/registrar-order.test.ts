/** What a registrar does with one REGISTER after another, and with flows that come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { forkGroups, reachOf } from "../../../controller/core/binding-reach.ts";
import type { Binding, BindingChange } from "../../../controller/core/bindings.ts";
import { isSameUri } from "../../../controller/core/contact-uri.ts";
import {
  DEFAULT_LIMITS,
  type Registrar,
  type Registration,
} from "../../../controller/core/registrar.ts";
import type { Peer, SipTransport } from "../../../protocol/sip/flow.ts";
import { parseSipUri } from "../../../protocol/sip/uri.ts";
import {
  ALICE,
  BOB,
  FROM_PHONE,
  NOW,
  newRegistrar,
  PHONE,
  type RegisterParts,
  register,
  valuesOf,
} from "./register-fixture.ts";

const CONTACT = "<sip:alice@192.0.2.4>";
const OTHER = "<sip:alice@192.0.2.5>";
const flowContact = (regId: number, instance = "1", expires = 3600) =>
  `${CONTACT};+sip.instance="<urn:uuid:${instance}>";reg-id=${regId};expires=${expires}`;
const OUTBOUND = ["Supported: outbound"];

function send(
  registrar: Registrar,
  parts: RegisterParts,
  registration: Partial<Registration> = {},
  now = NOW,
) {
  return registrar.handle(register(parts), { ...FROM_PHONE, ...registration }, now);
}
const contactsOf = (registrar: Registrar, now = NOW) =>
  registrar.lookup(ALICE, now).map(({ contact }) => contact);

interface Story {
  readonly item: string;
  readonly first: RegisterParts;
  readonly second: RegisterParts;
  readonly status: number;
  readonly bound: readonly string[];
}

const STORIES: readonly Story[] = [
  {
    item: "RFC 3261 §10.3 item 7: a refresh with a higher CSeq",
    first: { contacts: [CONTACT], callId: "x", cseq: 1 },
    second: { contacts: [`${CONTACT};expires=60`], callId: "x", cseq: 2 },
    status: 200,
    bound: ["sip:alice@192.0.2.4"],
  },
  {
    item: "RFC 3261 §10.3 item 7: one overtaken changes nothing",
    first: { contacts: [CONTACT], callId: "x", cseq: 2 },
    second: { contacts: [OTHER, `${CONTACT};expires=0`], callId: "x", cseq: 1 },
    status: 500,
    bound: ["sip:alice@192.0.2.4"],
  },
  {
    item: "RFC 3261 §10.3 item 7: nor does the same CSeq again",
    first: { contacts: [CONTACT], callId: "x", cseq: 2 },
    second: { contacts: [`${CONTACT};expires=0`], callId: "x", cseq: 2 },
    status: 500,
    bound: ["sip:alice@192.0.2.4"],
  },
  {
    item: "RFC 3261 §10.3 item 7: another Call-ID begins anew",
    first: { contacts: [CONTACT], callId: "x", cseq: 9 },
    second: { contacts: [`${CONTACT};expires=0`], callId: "y", cseq: 1 },
    status: 200,
    bound: [],
  },
  {
    item: "RFC 3261 §10.3 item 6: * takes all",
    first: { contacts: [CONTACT, OTHER], callId: "x", cseq: 1 },
    second: { contacts: ["*"], rows: ["Expires: 0"], callId: "x", cseq: 2 },
    status: 200,
    bound: [],
  },
  {
    item: "RFC 3261 §10.3 item 6: * overtaken takes none",
    first: { contacts: [CONTACT, OTHER], callId: "x", cseq: 2 },
    second: { contacts: ["*"], rows: ["Expires: 0"], callId: "x", cseq: 1 },
    status: 500,
    bound: ["sip:alice@192.0.2.4", "sip:alice@192.0.2.5"],
  },
  {
    item: "RFC 3261 §19.1.4: a contact spelled otherwise is the same",
    first: { contacts: [CONTACT] },
    second: { contacts: ["<sip:%61lice@192.0.2.4;newparam=5>"] },
    status: 200,
    bound: ["sip:%61lice@192.0.2.4;newparam=5"],
  },
  {
    item: "RFC 3261 §10.2.2: Expires: 0 for one of two",
    first: { contacts: [CONTACT, OTHER] },
    second: { contacts: [CONTACT], rows: ["Expires: 0"] },
    status: 200,
    bound: ["sip:alice@192.0.2.5"],
  },
  {
    item: "RFC 5626 §6: the same instance and reg-id replace, whatever the contact",
    first: { contacts: [flowContact(1)], rows: OUTBOUND },
    second: {
      contacts: [flowContact(1).replace(CONTACT, "<sip:alice@10.9.9.9>")],
      rows: OUTBOUND,
    },
    status: 200,
    bound: ["sip:alice@10.9.9.9"],
  },
  {
    item: "RFC 5626 §6: another reg-id stands beside",
    first: { contacts: [flowContact(1)], rows: OUTBOUND },
    second: { contacts: [flowContact(2)], rows: OUTBOUND },
    status: 200,
    bound: ["sip:alice@192.0.2.4", "sip:alice@192.0.2.4"],
  },
  {
    item: "RFC 5626 §6: one flow goes",
    first: { contacts: [flowContact(1)], rows: OUTBOUND },
    second: { contacts: [flowContact(1, "1", 0)], rows: OUTBOUND },
    status: 200,
    bound: [],
  },
  {
    item: "no more contacts than allowed, also one by one",
    first: { contacts: Array.from({ length: 10 }, (_, n) => `<sip:a@192.0.2.${n + 1}>`) },
    second: { contacts: ["<sip:a@192.0.2.77>"] },
    status: 403,
    bound: Array.from({ length: 10 }, (_, n) => `sip:a@192.0.2.${n + 1}`),
  },
  {
    item: "room made in the same request counts",
    first: { contacts: Array.from({ length: 10 }, (_, n) => `<sip:a@192.0.2.${n + 1}>`) },
    second: { contacts: ["<sip:a@192.0.2.1>;expires=0", "<sip:a@192.0.2.77>;q=0.1"] },
    status: 200,
    bound: [...Array.from({ length: 9 }, (_, n) => `sip:a@192.0.2.${n + 2}`), "sip:a@192.0.2.77"],
  },
];

for (const { item, first, second, status, bound } of STORIES)
  test(item, () => {
    const registrar = newRegistrar();
    assert.equal(send(registrar, first).response.status, 200);
    const answer = send(registrar, second);
    assert.equal(answer.response.status, status);
    assert.deepEqual(contactsOf(registrar), bound);
    if (status !== 200) assert.deepEqual(answer.changes, []);
    assert.equal(registrar.size, bound.length);
  });

test("a fetch lists what is there with the time that is left", () => {
  const registrar = newRegistrar();
  send(registrar, { contacts: [`${CONTACT};expires=100;q=0.5`, `${OTHER};expires=60`] });
  const answer = send(registrar, {}, {}, NOW + 30_500);
  assert.deepEqual(valuesOf(answer, "Contact"), [
    "<sip:alice@192.0.2.5>;expires=29",
    "<sip:alice@192.0.2.4>;q=0.5;expires=69",
  ]);
  assert.deepEqual(valuesOf(send(registrar, {}, {}, NOW + 60_000), "Contact"), [
    "<sip:alice@192.0.2.4>;q=0.5;expires=40",
  ]);
});

test("what has expired leaves on its deadline, and is not returned before it has left", () => {
  const registrar = newRegistrar();
  send(registrar, { contacts: [`${CONTACT};expires=60`, `${OTHER};expires=90`] });
  assert.equal(registrar.deadline(), NOW + 60_000);
  assert.deepEqual(contactsOf(registrar, NOW + 60_000), ["sip:alice@192.0.2.5"]);
  assert.equal(registrar.size, 2);
  assert.deepEqual(registrar.expire(NOW + 60_000), [
    { kind: "delete", aor: ALICE, key: "sip:alice@192.0.2.4" },
  ]);
  assert.equal(registrar.size, 1);
  assert.equal(registrar.deadline(), NOW + 90_000);
  registrar.expire(NOW + 90_000);
  assert.equal(registrar.deadline(), undefined);
});

test("with leave, another is registered; who is nobody's user is not found", () => {
  const registrar = newRegistrar();
  const mayRegister = () => true;
  const to = `<${BOB}>`;
  assert.equal(send(registrar, { to, contacts: [CONTACT] }, { mayRegister }).response.status, 200);
  assert.equal(registrar.lookup(BOB, NOW).length, 1);
  const nobody = { to: "<sip:zed@atlanta.example.com>", contacts: [CONTACT] };
  assert.equal(send(registrar, nobody, { mayRegister }).response.status, 404);
  assert.equal(send(registrar, nobody).response.status, 403, "and strangers learn not even that");
});

test("limits that contradict each other are refused", () => {
  for (const limits of [
    { minExpiresS: 3601 },
    { minExpiresS: 100, defaultExpiresS: 60 },
    { defaultExpiresS: 9000 },
  ])
    assert.throws(() => newRegistrar({ limits }), RangeError);
});

test("RFC 3261 §10.3 item 7: an hour is never too brief", () => {
  const registrar = newRegistrar({ limits: { minExpiresS: 7200, defaultExpiresS: 7200 } });
  const brief = send(registrar, { contacts: [`${CONTACT};expires=3599`] });
  assert.deepEqual([brief.response.status, valuesOf(brief, "Min-Expires")], [423, ["3600"]]);
  assert.equal(send(registrar, { contacts: [`${CONTACT};expires=3600`] }).response.status, 200);
});

interface Way {
  readonly name: string;
  readonly peer: Partial<Peer>;
  readonly flow: string;
  readonly contact: string;
  readonly parts?: RegisterParts;
  readonly alive: "flow" | "uri";
  readonly dropped: "uri" | "dead";
}

const EDGE = ["Supported: path, outbound", "Path: <sip:edge.example.com;lr;ob>"];
const WAYS: readonly Way[] = [
  {
    name: "UDP from the contact itself",
    peer: {},
    flow: "udp/1",
    contact: CONTACT,
    alive: "flow",
    dropped: "uri",
  },
  {
    name: "UDP through a NAT",
    peer: { address: "203.0.113.9", port: 40_000 },
    flow: "udp/1",
    contact: CONTACT,
    alive: "flow",
    dropped: "dead",
  },
  {
    name: "UDP from another port of the same phone",
    peer: { port: 40_000 },
    flow: "udp/1",
    contact: CONTACT,
    alive: "uri",
    dropped: "uri",
  },
  {
    name: "UDP with a name for a contact",
    peer: {},
    flow: "udp/1",
    contact: "<sip:alice@pc.example.com>",
    alive: "flow",
    dropped: "dead",
  },
  {
    name: "TCP without NAT: another connection can be made",
    peer: { transport: "tcp", port: 40_000 },
    flow: "tcp/1",
    contact: "<sip:alice@192.0.2.4;transport=tcp>",
    alive: "flow",
    dropped: "uri",
  },
  {
    name: "TLS through a NAT",
    peer: { transport: "tls", address: "203.0.113.9", port: 40_000 },
    flow: "tls/1",
    contact: CONTACT,
    alive: "flow",
    dropped: "dead",
  },
  {
    name: "outbound: the flow or nothing",
    peer: { transport: "tcp", port: 40_000 },
    flow: "tcp/1",
    contact: flowContact(1),
    parts: { rows: OUTBOUND },
    alive: "flow",
    dropped: "dead",
  },
  {
    name: "through an edge proxy: by its Path",
    peer: { transport: "tcp", address: "198.51.100.1" },
    flow: "tcp/1",
    contact: flowContact(1),
    parts: { vias: 2, rows: EDGE },
    alive: "uri",
    dropped: "uri",
  },
  {
    name: "through a proxy without Path: by the contact",
    peer: { transport: "tcp", address: "198.51.100.1" },
    flow: "tcp/1",
    contact: CONTACT,
    parts: { vias: 2 },
    alive: "uri",
    dropped: "uri",
  },
];

for (const { name, peer, flow, contact, parts, alive, dropped } of WAYS)
  test(`reached ${name}`, () => {
    const registrar = newRegistrar();
    const from = { peer: { ...PHONE, ...peer }, flow };
    const answer = send(registrar, { ...parts, contacts: [contact] }, from);
    assert.equal(answer.response.status, 200);
    const reach = () => registrar.lookup(ALICE, NOW).map((each) => reachOf(each).kind);
    const uris = registrar.lookup(ALICE, NOW).map(reachOf);
    const uri = parts?.rows === EDGE ? "sip:edge.example.com;lr;ob" : /<(.*)>/.exec(contact)?.[1];
    if (alive === "uri") assert.deepEqual(uris, [{ kind: "uri", uri }]);
    assert.deepEqual(reach(), [alive]);
    const [bound] = registrar.lookup(ALICE, NOW);
    const isDirect = parts?.vias === undefined;
    assert.deepEqual(bound?.addresses, isDirect ? [from.peer.address] : []);
    const changes = registrar.dropFlow(flow);
    assert.deepEqual(reach(), [dropped]);
    assert.equal(changes.length, isDirect ? 1 : 0);
    assert.deepEqual(registrar.dropFlow(flow), []);
  });

test("after a restart only flows that are addresses live on", () => {
  const before = newRegistrar();
  const nat = { address: "203.0.113.9", port: 40_000 };
  for (const [transport, flow] of [
    ["udp", "udp/1"],
    ["tcp", "tcp/1"],
  ] as const)
    send(
      before,
      { contacts: [`<sip:${transport}@10.0.0.1>`] },
      { flow, peer: { ...PHONE, ...nat, transport } },
    );
  const registrar = newRegistrar();
  registrar.load(before.lookup(ALICE, NOW));
  assert.deepEqual(
    registrar.lookup(ALICE, NOW).map((each) => [each.contact, reachOf(each).kind]),
    [
      ["sip:udp@10.0.0.1", "flow"],
      ["sip:tcp@10.0.0.1", "dead"],
    ],
  );
});

test("a phone that comes back by another connection takes the place of what can be reached no more", () => {
  const registrar = newRegistrar({ limits: { maxContacts: 2 } });
  const by = (port: number): Partial<Registration> => ({
    flow: `tcp/${port}`,
    peer: { ...PHONE, transport: "tcp", address: "203.0.113.9", port },
  });
  const contact = (port: number) => `<sip:alice@10.0.0.1:${port};transport=tcp>`;
  for (const port of [1, 2])
    assert.equal(send(registrar, { contacts: [contact(port)] }, by(port)).response.status, 200);
  const third = { contacts: [contact(3)] };
  assert.equal(send(registrar, third, by(3), NOW + 1).response.status, 403);
  registrar.dropFlow("tcp/1");
  assert.equal(send(registrar, third, by(3), NOW + 2).response.status, 200);
  assert.deepEqual(contactsOf(registrar), [
    "sip:alice@10.0.0.1:3;transport=tcp",
    "sip:alice@10.0.0.1:2;transport=tcp",
  ]);
});

test("a fork asks phones of equal q at once, and the flows of one phone one by one", () => {
  const registrar = newRegistrar();
  send(registrar, { contacts: ["<sip:a@192.0.2.1>;q=0.5", "<sip:b@192.0.2.2>;q=0.5"] });
  send(registrar, { contacts: ["<sip:c@192.0.2.3>;q=0.9"] });
  send(registrar, { contacts: [`${flowContact(1)};q=0.5`], rows: OUTBOUND });
  send(registrar, { contacts: [`${flowContact(2)};q=0.5`], rows: OUTBOUND }, {}, NOW + 1);
  const groups = forkGroups(registrar.lookup(ALICE, NOW + 1));
  assert.deepEqual(
    groups.map((group) =>
      group.map((branch) => branch.map(({ regId, contact }) => regId ?? contact)),
    ),
    [[["sip:c@192.0.2.3"]], [[2, 1], ["sip:a@192.0.2.1"], ["sip:b@192.0.2.2"]]],
  );
});

/** RFC 3261 §19.1.4. */
const PAIRS: readonly [same: boolean, one: string, other: string][] = [
  [true, "sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"],
  [true, "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"],
  [true, "sip:carol@chicago.com", "sip:carol@chicago.com;security=on"],
  [true, "sip:alice@a.com?subject=x&priority=urgent", "sip:alice@a.com?priority=urgent&subject=x"],
  [false, "sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"],
  [false, "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"],
  [false, "sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com:6000;transport=tcp"],
  [false, "sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"],
  [false, "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"],
  [false, "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"],
  [false, "sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.1"],
  [false, "sip:bob@biloxi.com", "sip:bob@biloxi.com;user=phone"],
  [false, "sip:bob@biloxi.com", "sips:bob@biloxi.com"],
  [false, "sip:bob:x@biloxi.com", "sip:bob@biloxi.com"],
];

for (const [same, one, other] of PAIRS)
  test(`§19.1.4: ${one} ${same ? "is" : "is not"} ${other}`, () => {
    assert.equal(isSameUri(parseSipUri(one), parseSipUri(other)), same);
    assert.equal(isSameUri(parseSipUri(other), parseSipUri(one)), same);
  });

const transports: readonly SipTransport[] = ["udp", "tcp"];
const step = fc.record({
  contacts: fc.array(
    fc.record({ host: fc.integer({ min: 1, max: 6 }), expires: fc.constantFrom(0, 60, 61, 600) }),
    { maxLength: 4 },
  ),
  star: fc.boolean(),
  callId: fc.constantFrom("x", "y"),
  cseq: fc.integer({ min: 1, max: 20 }),
  user: fc.constantFrom(ALICE, BOB),
  regId: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  transport: fc.constantFrom(...transports),
  flow: fc.integer({ min: 1, max: 3 }),
  drop: fc.boolean(),
  waitMs: fc.constantFrom(0, 1000, 61_000),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The REGISTER of a step. */
function partsOf({ contacts, star, callId, cseq, user, regId }: Step): RegisterParts {
  const named = contacts.map(({ host, expires }) =>
    regId === undefined
      ? `<sip:a@192.0.2.${host}>;expires=${expires}`
      : flowContact(regId, String(host), expires),
  );
  const common = { to: `<${user}>`, callId, cseq };
  return star
    ? { ...common, contacts: ["*"], rows: ["Expires: 0"] }
    : { ...common, contacts: named, rows: OUTBOUND };
}

function apply(store: Map<string, Binding>, changes: readonly BindingChange[]): void {
  for (const change of changes)
    if (change.kind === "put")
      store.set(`${change.binding.aor} ${change.binding.key}`, change.binding);
    else assert.ok(store.delete(`${change.aor} ${change.key}`), "a change deletes what is there");
}

test("any REGISTERs: within the limit, nothing expired, and the store says what memory does", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const limits = { ...DEFAULT_LIMITS, maxContacts: 3 };
      const registrar = newRegistrar({ limits });
      const store = new Map<string, Binding>();
      let now = NOW;
      for (const each of steps) {
        now += each.waitMs;
        const flow = `${each.transport}/${each.flow}`;
        const peer = { ...PHONE, transport: each.transport, port: 5060 + each.flow };
        const before = [ALICE, BOB].map((aor) => registrar.lookup(aor, now));
        const answer = send(registrar, partsOf(each), { by: each.user, flow, peer }, now);
        if (answer.response.status !== 200)
          assert.deepEqual(
            [ALICE, BOB].map((aor) => registrar.lookup(aor, now)),
            before,
          );
        apply(store, answer.changes);
        if (each.drop) apply(store, registrar.dropFlow(flow));
        for (const aor of [ALICE, BOB]) {
          const bindings = registrar.lookup(aor, now);
          assert.ok(bindings.length <= limits.maxContacts);
          assert.ok(bindings.every((binding) => binding.expiresAt > now && binding.aor === aor));
          const stored = [...store.values()].filter((binding) => binding.aor === aor);
          assert.deepEqual(new Set(stored), new Set(bindings));
        }
      }
      apply(store, registrar.expire(Number.MAX_SAFE_INTEGER));
      assert.deepEqual([store.size, registrar.size, registrar.deadline()], [0, 0, undefined]);
    }),
    { numRuns: 200 },
  );
});
