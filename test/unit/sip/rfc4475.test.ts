/**
 * Every message of RFC 4475, and what the RFC says must come of it: valid ones are read to the
 * values it states and go on; invalid ones are refused with its code by the element it means. Where
 * it leaves a choice, `why` says what was chosen. None is left out.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAuthValue } from "../../../protocol/sip/credentials.ts";
import { messageCSeq } from "../../../protocol/sip/cseq.ts";
import { parseSipDate } from "../../../protocol/sip/date.ts";
import { findParam } from "../../../protocol/sip/grammar.ts";
import {
  headerRows,
  headerValue,
  headerValues,
  type SipMessage,
} from "../../../protocol/sip/message.ts";
import { messageAddress, messageTag, parseNameAddr } from "../../../protocol/sip/name-addr.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { parseSipUri, unescapeUri, uriParam } from "../../../protocol/sip/uri.ts";
import { parseVia, topVia, viaBranch } from "../../../protocol/sip/via.ts";
import { fateOf } from "./fate.ts";

const FOLDER = new URL("../../vectors/rfc4475/", import.meta.url);

interface Row {
  readonly file: string;
  readonly section: string;
  /** `forwarded`, `discarded`, or a status code and who answers with it. */
  readonly fate: string;
  readonly why?: string;
  /** Values as [read, stated by the RFC]. */
  readonly values?: (message: SipMessage) => readonly (readonly [read: unknown, stated: unknown])[];
}

const uriOf = (message: SipMessage) => (message.kind === "request" ? message.uri : "");
const vias = (message: SipMessage) => headerValues(message, "Via").map(parseVia);
const contacts = (message: SipMessage) => headerValues(message, "Contact").map(parseNameAddr);
const utf8 = (text: string) => Buffer.from(text, "latin1").toString("utf8");
const reason = (message: SipMessage) => (message.kind === "response" ? message.reason : "");

const VALID: readonly Row[] = [
  {
    file: "wsinv",
    section: "3.1.1.1",
    fate: "forwarded",
    values: (m) => [
      [messageAddress(m, "To").uri, "sip:vivekg@chair-dnrc.example.com"],
      [messageTag(m, "To"), "1918181833n"],
      [messageAddress(m, "From").displayName, 'J Rosenberg \\"'],
      [messageTag(m, "From"), "98asjd8"],
      [Number(headerValue(m, "Max-Forwards")), 68],
      [messageCSeq(m), { number: 9, method: "INVITE" }],
      [vias(m).map(({ transport }) => transport), ["UDP", "TCP", "UDP"]],
      [viaBranch(vias(m)[1] ?? topVia(m)), "z9hG4bK9ikj8"],
      [headerValue(m, "NewFangledHeader"), "newfangled value continued newfangled value"],
      [headerValue(m, "Subject"), ""],
      [contacts(m)[0]?.displayName, 'Quoted string ""'],
      [findParam(contacts(m)[0]?.params ?? [], "q")?.value, "0.33"],
    ],
  },
  {
    file: "intmeth",
    section: "3.1.1.2",
    fate: "forwarded",
    values: (m) => [
      [m.kind === "request" && m.method, "!interesting-Method0123456789_*+`.%indeed'~"],
      [parseSipUri(uriOf(m)).user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"],
      [parseSipUri(uriOf(m)).password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"],
      [messageAddress(m, "To").displayName?.startsWith("BEL:\x07 NUL:\x00 DEL:\x7f"), true],
      [utf8(messageAddress(m, "From").params[0]?.value ?? ""), '"работающий"'],
      [headerRows(m, "extensionHeader-!.%*+_`'~").length, 1],
    ],
  },
  {
    file: "esc01",
    section: "3.1.1.3",
    fate: "forwarded",
    values: (m) => [
      [unescapeUri(parseSipUri(uriOf(m)).user ?? ""), "sips:user@example.com"],
      [parseSipUri(uriOf(m)).scheme, "sip"],
      [parseSipUri(uriOf(m)).host, "example.net"],
      [unescapeUri(parseSipUri(messageAddress(m, "To").uri).user ?? ""), "user"],
      [uriParam(parseSipUri(contacts(m)[0]?.uri ?? ""), "lr"), ""],
      [uriParam(parseSipUri(contacts(m)[0]?.uri ?? ""), "name"), "value%41"],
    ],
  },
  {
    file: "escnull",
    section: "3.1.1.4",
    fate: "200 registrar",
    values: (m) => [
      [contacts(m).map(({ uri }) => unescapeUri(parseSipUri(uri).user ?? "")), ["\0", "\0\0"]],
    ],
  },
  {
    file: "esc02",
    section: "3.1.1.5",
    fate: "forwarded",
    why: "a method nobody knows, and not REGISTER",
    values: (m) => [
      [m.kind === "request" && m.method, "RE%47IST%45R"],
      [messageAddress(m, "To").displayName, "%Z%45"],
      [contacts(m).length, 2],
    ],
  },
  {
    file: "lwsdisp",
    section: "3.1.1.6",
    fate: "forwarded",
    values: (m) => [[messageAddress(m, "From").displayName, "caller"]],
  },
  {
    file: "longreq",
    section: "3.1.1.7",
    fate: "forwarded",
    values: (m) => [[vias(m).length, 34]],
  },
  {
    file: "dblreq",
    section: "3.1.1.8",
    fate: "200 registrar",
    why: "what follows the body is no part of the request",
    values: (m) => [[m.body.length, 0]],
  },
  {
    file: "semiuri",
    section: "3.1.1.9",
    fate: "forwarded",
    values: (m) => [
      [unescapeUri(parseSipUri(uriOf(m)).user ?? ""), "user;par=u@example.net"],
      [headerValues(m, "Accept").length, 6],
    ],
  },
  {
    file: "transports",
    section: "3.1.1.10",
    fate: "forwarded",
    values: (m) => [
      [vias(m).map((via) => via.transport), ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]],
    ],
  },
  {
    file: "mpart01",
    section: "3.1.1.11",
    fate: "forwarded",
    values: (m) => [
      [m.body.length, 553],
      [m.body.includes(0), true],
    ],
  },
  {
    file: "unreason",
    section: "3.1.1.12",
    fate: "forwarded",
    values: (m) => [[utf8(reason(m)), "= 2**3 * 5**2 но сто девяносто девять - простое"]],
  },
  {
    file: "noreason",
    section: "3.1.1.13",
    fate: "forwarded",
    values: (m) => [[reason(m), ""]],
  },
  {
    file: "badbranch",
    section: "3.2.1",
    fate: "forwarded",
    why: "a cookie with nothing behind it is matched as RFC 2543 has it",
    values: (m) => [[viaBranch(topVia(m)), undefined]],
  },
];

const INVALID: readonly Row[] = [
  { file: "badinv01", section: "3.1.2.1", fate: "400 transaction layer" },
  { file: "clerr", section: "3.1.2.2", fate: "400 parser" },
  { file: "ncl", section: "3.1.2.3", fate: "400 parser" },
  { file: "scalar02", section: "3.1.2.4", fate: "400 transaction layer" },
  { file: "scalarlg", section: "3.1.2.5", fate: "discarded" },
  { file: "quotbal", section: "3.1.2.6", fate: "400 transaction layer" },
  { file: "ltgtruri", section: "3.1.2.7", fate: "400 transaction layer" },
  { file: "lwsruri", section: "3.1.2.8", fate: "400 parser" },
  { file: "lwsstart", section: "3.1.2.9", fate: "400 parser" },
  { file: "trws", section: "3.1.2.10", fate: "400 parser" },
  { file: "escruri", section: "3.1.2.11", fate: "400 transaction layer" },
  {
    file: "baddate",
    section: "3.1.2.12",
    fate: "forwarded",
    why: "a proxy does not look at Date; whoever does refuses it",
    values: (m) => [[isReadable(() => parseSipDate(headerValue(m, "Date") ?? "")), false]],
  },
  { file: "regbadct", section: "3.1.2.13", fate: "400 transaction layer" },
  { file: "badaspec", section: "3.1.2.14", fate: "400 transaction layer" },
  { file: "baddn", section: "3.1.2.15", fate: "400 transaction layer" },
  { file: "badvers", section: "3.1.2.16", fate: "505 parser" },
  { file: "mismatch01", section: "3.1.2.17", fate: "400 transaction layer" },
  {
    file: "mismatch02",
    section: "3.1.2.18",
    fate: "400 transaction layer",
    why: "501 or 400: a proxy knows no unknown methods",
  },
  { file: "bigcode", section: "3.1.2.19", fate: "discarded" },
];

const SEMANTICS: readonly Row[] = [
  { file: "insuf", section: "3.3.1", fate: "400 transaction layer" },
  { file: "unkscm", section: "3.3.2", fate: "416 proxy" },
  { file: "novelsc", section: "3.3.3", fate: "416 proxy" },
  {
    file: "unksm2",
    section: "3.3.4",
    fate: "400 registrar",
    values: (m) => [[contacts(m)[0]?.uri, "name:John_Smith"]],
  },
  {
    file: "bext01",
    section: "3.3.5",
    fate: "420 proxy (Unsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis)",
    values: (m) => [
      [headerValues(m, "Require"), ["nothingSupportsThis", "nothingSupportsThisEither"]],
    ],
  },
  {
    file: "invut",
    section: "3.3.6",
    fate: "forwarded",
    why: "415 is the called device's answer",
    values: (m) => [[headerValue(m, "Content-Type"), "application/unknownformat"]],
  },
  {
    file: "regaut01",
    section: "3.3.7",
    fate: "401 registrar",
    values: (m) => [
      [parseAuthValue(headerValue(m, "Authorization") ?? "").scheme, "nooneknowsthisscheme"],
    ],
  },
  { file: "multi01", section: "3.3.8", fate: "400 transaction layer" },
  { file: "mcl01", section: "3.3.9", fate: "400 parser" },
  { file: "bcast", section: "3.3.10", fate: "discarded" },
  { file: "zeromf", section: "3.3.11", fate: "483 proxy" },
  {
    file: "cparam01",
    section: "3.3.12",
    fate: "200 registrar (Contact: <sip:+19725552222@gw1.example.net>;unknownparam;expires=3600)",
  },
  {
    file: "cparam02",
    section: "3.3.13",
    fate: "200 registrar (Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=3600)",
  },
  {
    file: "regescrt",
    section: "3.3.14",
    fate: "200 registrar (Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600)",
  },
  {
    file: "sdp01",
    section: "3.3.15",
    fate: "forwarded",
    why: "406 is the called device's answer",
    values: (m) => [[headerValues(m, "Accept"), ["text/nobodyKnowsThis"]]],
  },
  {
    file: "inv2543",
    section: "3.4.1",
    fate: "forwarded",
    values: (m) => [
      [viaBranch(topVia(m)), undefined],
      [messageTag(m, "From"), undefined],
      [m.body.length > 0, true],
    ],
  },
  {
    file: "test",
    section: "none: in the archive, not in the text",
    fate: "discarded",
  },
];

const ROWS = [...VALID, ...INVALID, ...SEMANTICS];
/** Responses that a request of ours waits for; the one of 3.3.10 is nobody's. */
const ASKED = ["unreason", "noreason", "scalarlg"];
/** What a header row in `fate` may name; other rows of an answer are not the RFC's. */
const SHOWN = ["Unsupported", "Contact"];

for (const { file, section, fate, why, values } of ROWS)
  test(`${section} ${file}: ${fate}${why === undefined ? "" : ` (${why})`}`, () => {
    const found = fateOf(octets(file), ASKED.includes(file));
    const said =
      found.kind === "answered"
        ? `${found.status} ${found.by}${shown(fate, found.headers ?? [])}`
        : found.kind;
    assert.equal(said, fate);
    if (values === undefined) return;
    assert.ok(found.kind !== "discarded" && found.message !== undefined);
    for (const [read, stated] of values(found.message)) assert.deepEqual(read, stated);
  });

function shown(fate: string, headers: readonly (readonly [string, string])[]): string {
  if (!fate.includes("(")) return "";
  const rows = headers.filter(([name]) => SHOWN.includes(name));
  return ` (${rows.map(([name, value]) => `${name}: ${value}`).join(", ")})`;
}

function isReadable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

/** The octets of the archive; that of 3.1.2.15 lacks its last line. */
function octets(file: string): Buffer {
  const stored = readFileSync(new URL(`${file}.dat`, FOLDER));
  return file === "baddn" ? Buffer.concat([stored, Buffer.from("\r\n")]) : stored;
}

test("the table names every file once", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".dat"));
  assert.deepEqual(ROWS.map(({ file }) => `${file}.dat`).sort(), files.sort());
});

test("what parses goes out with the octets it came with", () => {
  for (const { file, fate } of ROWS) {
    if (!fate.startsWith("forwarded") && !fate.endsWith("proxy")) continue;
    const message = parseMessage(octets(file));
    const sent = serializeMessage(message);
    if (headerRows(message, "Content-Length").length > 0) assert.ok(octets(file).includes(sent));
    else assert.equal(file, "inv2543");
  }
});
