/** Every message of RFC 5118 §4 (IPv6), and what the RFC says must come of it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";
import { findParam } from "../../../protocol/sip/grammar.ts";
import { firstValue, headerValues, type SipMessage } from "../../../protocol/sip/message.ts";
import { parseNameAddr } from "../../../protocol/sip/name-addr.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import { parseSipUri, type SipUri, serializeSipUri } from "../../../protocol/sip/uri.ts";
import { parseVia, serializeVia } from "../../../protocol/sip/via.ts";
import { fateOf } from "./fate.ts";

const FOLDER = new URL("../../vectors/rfc5118/", import.meta.url);

type Values = readonly (readonly [read: unknown, stated: unknown])[];
type Row = readonly [
  file: string,
  section: string,
  fate: string,
  values?: (message: SipMessage) => Values,
];

const target = (message: SipMessage): SipUri =>
  parseSipUri(message.kind === "request" ? message.uri : "");
const contact = (message: SipMessage): SipUri =>
  parseSipUri(parseNameAddr(firstValue(message, "Contact") ?? "").uri);
const vias = (message: SipMessage) => headerValues(message, "Via").map(parseVia);
const connections = (message: SipMessage) => {
  const { connection, media } = parseSdp(message.body);
  return [connection, ...media.map((each) => each.connection)].map((each) => each?.address);
};

const TABLE: readonly Row[] = [
  [
    "ipv6-good",
    "4.1",
    "200",
    (m) => [
      [target(m).host, "2001:db8::10"],
      [target(m).port, undefined],
      [vias(m)[0]?.host, "2001:db8::9:1"],
      [contact(m).host, "2001:db8::1"],
    ],
  ],
  ["ipv6-bad", "4.2", "400"],
  [
    "port-ambiguous",
    "4.3",
    "200",
    (m) => [
      [target(m).host, "2001:db8::10:5070"],
      [target(m).port, undefined],
    ],
  ],
  [
    "port-unambiguous",
    "4.4",
    "200",
    (m) => [
      [target(m).host, "2001:db8::10"],
      [target(m).port, 5070],
      [serializeSipUri(target(m)), "sip:[2001:db8::10]:5070"],
    ],
  ],
  [
    "via-received-param-with-delim",
    "4.5",
    "forwarded",
    (m) => [[received(m), "[2001:db8::9:255]"]],
  ],
  ["via-received-param-no-delim", "4.5", "forwarded", (m) => [[received(m), "2001:db8::9:255"]]],
  ["ipv6-in-sdp", "4.6", "forwarded", (m) => [[connections(m)[0], "2001:db8::20"]]],
  [
    "mult-ip-in-header",
    "4.7",
    "forwarded",
    (m) => [
      [vias(m).map(({ host }) => host), ["2001:db8::9:1", "192.0.2.1", "2001:db8::9:255"]],
      [vias(m)[0]?.port, 6050],
    ],
  ],
  [
    "mult-ip-in-sdp",
    "4.8",
    "forwarded",
    // Its s= is empty, which RFC 8866 §5.3 forbids: our own SDP parser is not asked.
    (m) => [
      [m.body.toString().match(/^c=.*(?=\r)/gm), ["c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::1"]],
    ],
  ],
  [
    "ipv4-mapped-ipv6",
    "4.9",
    "forwarded",
    (m) => [
      [vias(m).map(({ host }) => host), ["::ffff:192.0.2.10", "::ffff:192.0.2.2"]],
      [vias(m)[0]?.port, 19823],
      [contact(m).host, "::ffff:192.0.2.2"],
      [connections(m)[0], "::ffff:192.0.2.2"],
      [vias(m).map(serializeVia), headerValues(m, "Via")],
    ],
  ],
  [
    "ipv6-bug-abnf-3-colons",
    "4.10",
    "forwarded",
    (m) => [[target(m).host, "2001:db8:::192.0.2.1"]],
  ],
  [
    "ipv6-correct-abnf-2-colons",
    "4.10",
    "forwarded",
    (m) => [[target(m).host, "2001:db8::192.0.2.1"]],
  ],
];

const received = (message: SipMessage) =>
  findParam(vias(message)[0]?.params ?? [], "received")?.value;

for (const [file, section, fate, values] of TABLE)
  test(`${section} ${file}: ${fate}`, () => {
    const octets = readFileSync(new URL(`${file}.dat`, FOLDER));
    const found = fateOf(octets);
    assert.equal(found.kind === "answered" ? String(found.status) : found.kind, fate);
    if (values === undefined) return;
    for (const [read, stated] of values(parseMessage(octets))) assert.deepEqual(read, stated);
  });

test("the table names every file once", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".dat"));
  assert.deepEqual(TABLE.map(([file]) => `${file}.dat`).sort(), files.sort());
});
