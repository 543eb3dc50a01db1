/**
 * Every message of RFC 4475 and what it leads to here. `deviation` says why an outcome is not the
 * one the RFC describes first; none is left out.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { headerValues } from "../../../protocol/sip/message.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";

const FOLDER = new URL("../../vectors/rfc4475/", import.meta.url);

/** `unusable`: parsed, then refused with 400 (request) or dropped (response). */
type Outcome = "usable" | "unusable" | "ERR_SIP_SYNTAX" | "ERR_SIP_VERSION";
type Row = readonly [file: string, section: string, outcome: Outcome, deviation?: string];

const TABLE: readonly Row[] = [
  ["wsinv", "3.1.1.1", "usable"],
  ["intmeth", "3.1.1.2", "usable"],
  ["esc01", "3.1.1.3", "usable"],
  ["escnull", "3.1.1.4", "usable"],
  ["esc02", "3.1.1.5", "usable"],
  ["lwsdisp", "3.1.1.6", "usable"],
  ["longreq", "3.1.1.7", "usable"],
  ["dblreq", "3.1.1.8", "usable"],
  ["semiuri", "3.1.1.9", "usable"],
  ["transports", "3.1.1.10", "usable"],
  ["mpart01", "3.1.1.11", "usable"],
  ["unreason", "3.1.1.12", "usable"],
  ["noreason", "3.1.1.13", "usable"],
  ["badinv01", "3.1.2.1", "unusable"],
  ["clerr", "3.1.2.2", "ERR_SIP_SYNTAX"],
  ["ncl", "3.1.2.3", "ERR_SIP_SYNTAX"],
  ["scalar02", "3.1.2.4", "unusable"],
  ["scalarlg", "3.1.2.5", "unusable"],
  ["quotbal", "3.1.2.6", "unusable"],
  ["ltgtruri", "3.1.2.7", "unusable"],
  ["lwsruri", "3.1.2.8", "ERR_SIP_SYNTAX"],
  ["lwsstart", "3.1.2.9", "ERR_SIP_SYNTAX"],
  ["trws", "3.1.2.10", "ERR_SIP_SYNTAX"],
  ["escruri", "3.1.2.11", "unusable"],
  [
    "baddate",
    "3.1.2.12",
    "usable",
    "a proxy may ignore Date; whoever needs it parses it and refuses",
  ],
  ["regbadct", "3.1.2.13", "unusable"],
  ["badaspec", "3.1.2.14", "unusable"],
  ["baddn", "3.1.2.15", "ERR_SIP_SYNTAX", "the archived octets lack the empty line; see below"],
  ["badvers", "3.1.2.16", "ERR_SIP_VERSION"],
  ["mismatch01", "3.1.2.17", "unusable"],
  ["mismatch02", "3.1.2.18", "unusable"],
  ["bigcode", "3.1.2.19", "ERR_SIP_SYNTAX"],
  ["badbranch", "3.2.1", "usable"],
  ["insuf", "3.3.1", "unusable"],
  ["unkscm", "3.3.2", "usable"],
  ["novelsc", "3.3.3", "usable"],
  ["unksm2", "3.3.4", "usable"],
  ["bext01", "3.3.5", "usable"],
  ["invut", "3.3.6", "usable"],
  ["regaut01", "3.3.7", "usable"],
  ["multi01", "3.3.8", "unusable"],
  ["mcl01", "3.3.9", "ERR_SIP_SYNTAX"],
  ["bcast", "3.3.10", "usable", "dropped by the transaction layer: no transaction of ours sent it"],
  ["zeromf", "3.3.11", "usable"],
  ["cparam01", "3.3.12", "usable"],
  ["cparam02", "3.3.13", "usable"],
  ["regescrt", "3.3.14", "usable"],
  ["sdp01", "3.3.15", "usable"],
  ["inv2543", "3.4.1", "usable"],
  ["test", "in the archive, not in the text", "ERR_SIP_SYNTAX"],
];

const octets = (file: string) => readFileSync(new URL(`${file}.dat`, FOLDER));

for (const [file, section, expected, deviation] of TABLE)
  test(`${section} ${file}: ${expected}${deviation === undefined ? "" : ` (${deviation})`}`, () =>
    assert.equal(outcome(file), expected));

function outcome(file: string): Outcome {
  try {
    return messageFault(parseMessage(octets(file))) === undefined ? "usable" : "unusable";
  } catch (error) {
    assert.ok(isProtocolError(error));
    return error.code as Outcome;
  }
}

test("the table names every file once", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".dat"));
  assert.deepEqual(TABLE.map(([file]) => `${file}.dat`).sort(), files.sort());
});

test("what parses goes out with the octets it came with", () => {
  for (const [file, , expected] of TABLE) {
    if (expected.startsWith("ERR")) continue;
    const message = parseMessage(octets(file));
    const stated = message.headers.some((row) => /^(?:content-length|l)\s*$/i.test(row.name));
    const sent = serializeMessage(message);
    if (stated) assert.ok(octets(file).includes(sent), file);
    else assert.equal(file, "inv2543");
  }
});

test("3.1.1.1: folded and spaced Via rows give three values", () => {
  const vias = headerValues(parseMessage(octets("wsinv")), "Via");
  assert.equal(vias.length, 3);
});

test("3.1.1.8: a second request after the body is not part of the first", () => {
  assert.equal(parseMessage(octets("dblreq")).body.length, 0);
});

test("3.1.2.15: with its empty line, a display name that needs quotes makes it unusable", () => {
  const whole = Buffer.concat([octets("baddn"), Buffer.from("\r\n")]);
  assert.match(messageFault(parseMessage(whole))?.message ?? "", /display name/);
});
