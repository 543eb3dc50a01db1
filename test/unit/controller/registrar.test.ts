import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS, MAX_BINDING_BYTES } from "../../../controller/core/registrar.ts";
import {
  ALICE,
  BOB,
  FROM_PHONE,
  NOW,
  newRegistrar,
  OWN_HOST,
  PHONE,
  type RegisterParts,
  register,
  valuesOf,
} from "./register-fixture.ts";

const CONTACT = "<sip:alice@192.0.2.4>";
const INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"';
const FLOW_CONTACT = `${CONTACT};${INSTANCE};reg-id=1`;
const PATH_OB = "Path: <sip:edge.example.com;lr;ob>";

interface Row {
  readonly item: string;
  readonly parts: RegisterParts;
  readonly status: number;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  /** Contacts bound afterwards. */
  readonly bound?: readonly string[];
}

const URI = "sip:alice@192.0.2.4";

/** Each against a registrar that knows nothing yet. */
const FRESH: readonly Row[] = [
  {
    item: "RFC 3261 §10.3: a contact without expires gets the default, and is listed",
    parts: { contacts: [CONTACT] },
    status: 200,
    headers: { Contact: [`<${URI}>;expires=3600`], Date: ["Sun, 22 Nov 2026 12:00:00 GMT"] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.2.1.1: the Contact's expires comes before the field",
    parts: { contacts: [`${CONTACT};expires=120`], rows: ["Expires: 600"] },
    status: 200,
    headers: { Contact: [`<${URI}>;expires=120`] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.2.1.1: Expires counts where the Contact says nothing",
    parts: { contacts: [CONTACT], rows: ["Expires: 600"] },
    status: 200,
    headers: { Contact: [`<${URI}>;expires=600`] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.2.1.1: what is no number means 3600",
    parts: { contacts: [`${CONTACT};expires=soon`] },
    status: 200,
    headers: { Contact: [`<${URI}>;expires=3600`] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.3 item 7: more than the greatest is cut to it",
    parts: { contacts: [`${CONTACT};expires=4294967295`] },
    status: 200,
    headers: { Contact: [`<${URI}>;expires=${DEFAULT_LIMITS.maxExpiresS}`] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.3 item 7: too brief is refused with the least",
    parts: { contacts: [`${CONTACT};expires=59`] },
    status: 423,
    headers: { "Min-Expires": ["60"] },
  },
  {
    item: "RFC 3261 §10.3 item 8: one contact too brief, and none of the request is bound",
    parts: { contacts: [CONTACT, "<sip:alice@192.0.2.5>;expires=1"] },
    status: 423,
  },
  {
    item: "RFC 3261 §10.3: contacts in the order of q",
    parts: { contacts: ["<sip:a@192.0.2.5>;q=0.3", `${CONTACT};q=0.7`, "<sip:c@192.0.2.6>"] },
    status: 200,
    headers: {
      Contact: [
        "<sip:c@192.0.2.6>;expires=3600",
        `<${URI}>;q=0.7;expires=3600`,
        "<sip:a@192.0.2.5>;q=0.3;expires=3600",
      ],
    },
    bound: ["sip:c@192.0.2.6", URI, "sip:a@192.0.2.5"],
  },
  { item: "RFC 3261 §25.1: q beyond 1", parts: { contacts: [`${CONTACT};q=2`] }, status: 400 },
  {
    item: "RFC 3261 §10.3: Contact parameters come back",
    parts: { contacts: [`${CONTACT};methods="INVITE"`] },
    status: 200,
    headers: { Contact: [`<${URI}>;methods="INVITE";expires=3600`] },
    bound: [URI],
  },
  {
    item: "RFC 3261 §10.2.3: without Contact nothing changes",
    parts: {},
    status: 200,
    headers: { Contact: [] },
    bound: [],
  },
  {
    item: "RFC 3261 §10.2.2: expires=0 for what is not there",
    parts: { contacts: [`${CONTACT};expires=0`] },
    status: 200,
    bound: [],
  },
  { item: "§10.3 item 6: * without Expires", parts: { contacts: ["*"] }, status: 400 },
  {
    item: "§10.3 item 6: * with another Expires",
    parts: { contacts: ["*"], rows: ["Expires: 60"] },
    status: 400,
  },
  {
    item: "§10.3 item 6: * beside a contact",
    parts: { contacts: ["*", CONTACT], rows: ["Expires: 0"] },
    status: 400,
  },
  {
    item: "§10.3 item 6: * with Expires 0",
    parts: { contacts: ["*"], rows: ["Expires: 0"] },
    status: 200,
    bound: [],
  },
  {
    item: "§10.3 item 2: an extension that is unknown",
    parts: { contacts: [CONTACT], rows: ["Require: gruu, path, foo"] },
    status: 420,
    headers: { Unsupported: ["gruu", "foo"] },
  },
  {
    item: "§10.3 item 4: for another without leave",
    parts: { to: `<${BOB}>`, contacts: [CONTACT] },
    status: 403,
  },
  {
    item: "§10.3 item 5: the scheme of To does not make another user",
    parts: { to: "<sips:alice@ATLANTA.example.com:5061>", contacts: [CONTACT] },
    status: 200,
    bound: [URI],
  },
  { item: "a To that cannot be read", parts: { to: "alice", contacts: [CONTACT] }, status: 400 },
  { item: "a tel: contact", parts: { contacts: ["<tel:+4930110>"] }, status: 403 },
  { item: "a contact at the proxy", parts: { contacts: [`<sip:x@${OWN_HOST}>`] }, status: 403 },
  { item: "a multicast contact", parts: { contacts: ["<sip:x@224.0.1.75>"] }, status: 403 },
  { item: "by maddr, too", parts: { contacts: [`<${URI};maddr=224.0.1.75>`] }, status: 403 },
  { item: "loopback from afar", parts: { contacts: ["<sip:x@127.0.0.1>"] }, status: 403 },
  { item: "IPv6 loopback from afar", parts: { contacts: ["<sip:x@[::1]>"] }, status: 403 },
  {
    item: "a Path to loopback from afar",
    parts: {
      contacts: [CONTACT],
      vias: 2,
      rows: ["Path: <sip:127.0.0.1:22;transport=tcp;lr>", "Supported: path"],
    },
    status: 403,
  },
  { item: "localhost from afar", parts: { contacts: ["<sip:x@localhost>"] }, status: 403 },
  {
    item: "more contacts than a user may have",
    parts: { contacts: Array.from({ length: 11 }, (_, n) => `<sip:a@192.0.2.${n + 10}>`) },
    status: 403,
  },
  {
    item: "more than is kept of a contact",
    parts: { contacts: [`<sip:${"a".repeat(MAX_BINDING_BYTES)}@192.0.2.4>`] },
    status: 403,
  },
  {
    item: "RFC 3327 §5.3: Path comes back",
    parts: {
      contacts: [CONTACT],
      vias: 3,
      rows: ["Path: <sip:p3;lr>, <sip:p1;lr>", "Supported: path"],
    },
    status: 200,
    headers: { Path: ["<sip:p3;lr>", "<sip:p1;lr>"], Supported: ["path", "outbound"] },
    bound: [URI],
  },
  {
    item: "RFC 3327 §5.3: Path for a phone that does not know it",
    parts: { contacts: [CONTACT], vias: 2, rows: ["Path: <sip:p1;lr>"] },
    status: 420,
    headers: { Unsupported: ["path"] },
  },
  {
    item: "RFC 5626 §6: a flow straight to us",
    parts: { contacts: [FLOW_CONTACT], rows: ["Supported: path, outbound"] },
    status: 200,
    headers: {
      Require: ["outbound"],
      "Flow-Timer": ["120"],
      Contact: [`<${URI}>;${INSTANCE};reg-id=1;expires=3600`],
    },
    bound: [URI],
  },
  {
    item: "RFC 5626 §6: a flow to an edge proxy",
    parts: { contacts: [FLOW_CONTACT], vias: 2, rows: ["Supported: path, outbound", PATH_OB] },
    status: 200,
    headers: { Require: ["outbound"] },
    bound: [URI],
  },
  {
    item: "RFC 5626 §6: the first hop lacks outbound",
    parts: {
      contacts: [FLOW_CONTACT],
      vias: 2,
      rows: ["Supported: path, outbound", "Path: <sip:edge.example.com;lr>"],
    },
    status: 439,
  },
  {
    item: "RFC 5626 §6: the first hop adds no Path at all",
    parts: { contacts: [FLOW_CONTACT], vias: 2, rows: ["Supported: outbound"] },
    status: 439,
  },
  {
    item: "RFC 5626 §6: reg-id without the option tag behind such a hop is ignored",
    parts: { contacts: [FLOW_CONTACT], vias: 2 },
    status: 200,
    headers: { Require: [], "Flow-Timer": [] },
    bound: [URI],
  },
  {
    item: "RFC 5626 §6: reg-id without instance is ignored",
    parts: { contacts: [`${CONTACT};reg-id=1`], rows: ["Supported: outbound"] },
    status: 200,
    headers: { Require: [] },
    bound: [URI],
  },
  {
    item: "RFC 5626 §6: instance without reg-id is an ordinary contact",
    parts: { contacts: [`${CONTACT};${INSTANCE}`], rows: ["Supported: outbound"] },
    status: 200,
    headers: { Require: [] },
    bound: [URI],
  },
  {
    item: "RFC 5626 §6: one flow, one contact",
    parts: { contacts: [FLOW_CONTACT, "<sip:b@192.0.2.9>"], rows: ["Supported: outbound"] },
    status: 400,
  },
  {
    item: "RFC 5626 §4.2: reg-id is a positive number",
    parts: { contacts: [`${CONTACT};${INSTANCE};reg-id=0`] },
    status: 400,
  },
];

for (const { item, parts, status, headers = {}, bound = [] } of FRESH)
  test(item, () => {
    const registrar = newRegistrar();
    const answer = registrar.handle(register(parts), FROM_PHONE, NOW);
    assert.equal(answer.response.status, status);
    for (const [name, values] of Object.entries(headers))
      assert.deepEqual(valuesOf(answer, name), values, name);
    const contacts = registrar.lookup(ALICE, NOW).map(({ contact }) => contact);
    assert.deepEqual(contacts, bound);
    assert.equal(answer.changes.length, bound.length);
    if (status !== 200) assert.equal(registrar.size, 0);
  });

test("a phone on this machine may have a loopback contact", () => {
  const peer = { ...PHONE, address: "127.0.0.9" };
  const registrar = newRegistrar();
  const answer = registrar.handle(
    register({ contacts: ["<sip:alice@127.0.0.1:5070>"] }),
    { ...FROM_PHONE, peer },
    NOW,
  );
  assert.equal(answer.response.status, 200);
});
