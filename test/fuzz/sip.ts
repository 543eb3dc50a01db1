/**
 * What must hold for any octets that claim to be SIP: each reader gives a value or a ProtocolError,
 * in linear time; what was read goes out and comes in the same; how a stream was cut makes no
 * difference; the transaction layer ends empty.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { isProtocolError } from "../../protocol/errors.ts";
import { parseSdp } from "../../protocol/sdp/parse-sdp.ts";
import { serializeSdp } from "../../protocol/sdp/serialize-sdp.ts";
import { messageFault } from "../../protocol/sip/check-message.ts";
import { parseAuthValue } from "../../protocol/sip/credentials.ts";
import { parseCSeq, serializeCSeq } from "../../protocol/sip/cseq.ts";
import { readDatagram } from "../../protocol/sip/datagram.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { parseParams, serializeParams } from "../../protocol/sip/grammar.ts";
import { isNamed } from "../../protocol/sip/header-name.ts";
import { inspectionLabels } from "../../protocol/sip/inspection-label.ts";
import { headerRows, type SipMessage } from "../../protocol/sip/message.ts";
import { parseNameAddr, serializeNameAddr } from "../../protocol/sip/name-addr.ts";
import { MAX_HEADER_ROWS, parseMessage } from "../../protocol/sip/parse-message.ts";
import { messagePrivacy } from "../../protocol/sip/privacy.ts";
import { forwardRequest } from "../../protocol/sip/proxy.ts";
import { parseReplaces, referTarget } from "../../protocol/sip/replaces.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";
import { sessionExpires } from "../../protocol/sip/session-expires.ts";
import { StreamFramer, type StreamItem } from "../../protocol/sip/stream-framer.ts";
import { addressOfRecord, parseSipUri, serializeSipUri } from "../../protocol/sip/uri.ts";
import { parseVia, serializeVia, topVia } from "../../protocol/sip/via.ts";
import { parseWarning, serializeWarning } from "../../protocol/sip/warning.ts";
import { fateOf } from "../unit/sip/fate.ts";
import { LivingLayer } from "./living-layer.ts";
import type { Chance } from "./mutate.ts";

/** Of processor time, for any input and for each octet on top: several times what is usual. */
const ALLOWED_MS = 25;
const ALLOWED_MS_PER_OCTET = 0.006;

/** Content-Length, Via, Max-Forwards and Record-Route: a message with more rows than leave room for them is not read again. */
const ADDED_ROWS = 4;

const living = new LivingLayer();

/** Messages to begin with: the torture tests, and whatever once failed. */
export const seeds = (): readonly Buffer[] =>
  ["rfc4475", "rfc5118", "fuzz"].flatMap((folder) => {
    const at = new URL(`../vectors/${folder}/`, import.meta.url);
    return readdirSync(at)
      .filter((name) => name.endsWith(".dat"))
      .map((name) => readFileSync(new URL(name, at)));
  });

/**
 * Examines one input; returns what came of it in short, so that a new outcome shows.
 * @throws AssertionError when something does not hold.
 */
export function examine(octets: Buffer, chance: Chance): string {
  const allowedMs = ALLOWED_MS + octets.length * ALLOWED_MS_PER_OCTET;
  const first = timed(() => examineOnce(octets, chance));
  let { tookMs } = first;
  for (let again = 0; again < 3 && tookMs > allowedMs; again += 1)
    tookMs = Math.min(tookMs, timed(() => examineOnce(octets, chance)).tookMs);
  assert.ok(tookMs <= allowedMs, `${tookMs} ms for ${octets.length} octets`);
  return first.outcome;
}

/** Processor time, which a busy machine does not lengthen; its grain is a few milliseconds. */
function timed(run: () => string): { readonly outcome: string; readonly tookMs: number } {
  const before = process.threadCpuUsage();
  const outcome = run();
  const { user, system } = process.threadCpuUsage(before);
  return { outcome, tookMs: (user + system) / 1000 };
}

function examineOnce(octets: Buffer, chance: Chance): string {
  const item = readDatagram(octets);
  checkStream(octets, chance);
  const fates = [fateOf(octets), fateOf(octets, true)].map((fate) =>
    fate.kind === "answered" ? `${fate.by} ${fate.status}` : fate.kind,
  );
  const outcomes = [item.kind, ...fates];
  if (item.kind === "malformed") return [...outcomes, item.error.message].join();
  if (item.kind === "keepalive") return outcomes.join();
  living.receive(item, chance);
  if (item.headers.length + ADDED_ROWS <= MAX_HEADER_ROWS) {
    checkRoundTrip(item);
    checkForwarding(item);
  }
  return [...outcomes, messageFault(item)?.message, ...readParts(item)].join();
}

/** What was read goes out as octets that read the same. */
function checkRoundTrip(message: SipMessage): void {
  const wire = serializeMessage(message);
  const again = parseMessage(wire);
  assert.ok(serializeMessage(again).equals(wire), "the second serialisation differs");
  const others = ({ headers }: SipMessage) =>
    headers.filter(({ name }) => !isNamed(name, "content-length"));
  assert.deepEqual({ ...again, headers: others(again) }, { ...message, headers: others(message) });
  assert.equal(headerRows(again, "Content-Length").length, 1);
}

/** A request that may go on can be written and read with one more hop. */
function checkForwarding(message: SipMessage): void {
  if (message.kind === "response" || messageFault(message) !== undefined) return;
  const via = parseVia("SIP/2.0/TCP proxy.example.com;branch=z9hG4bKfuzz");
  const sent = serializeMessage(forwardRequest(message, { via, recordRoutes: ["<sip:p;lr>"] }));
  const received = parseMessage(sent);
  assert.equal(topVia(received).host, "proxy.example.com");
  assert.ok(received.body.equals(message.body), "the body changed on its way");
}

/** The same items, however the stream comes in pieces. */
function checkStream(octets: Buffer, chance: Chance): void {
  const whole = [...new StreamFramer().push(octets)];
  const framer = new StreamFramer();
  const pieces: StreamItem[] = [];
  for (let at = 0; at < octets.length; ) {
    const to = at + 1 + chance(octets.length);
    pieces.push(...framer.push(octets.subarray(at, to)));
    at = to;
  }
  assert.ok(isDeepStrictEqual(pieces, whole), "the cuts of the stream make a difference");
}

type Reader = (text: string) => unknown;

/** What is written of a value reads as that value. */
const stable =
  <T>(parse: (text: string) => T, serialize: (value: T) => string): Reader =>
  (text) => {
    const value = parse(text);
    assert.deepEqual(parse(serialize(value)), value);
  };

const READERS: Readonly<Record<string, Reader>> = {
  uri: stable(parseSipUri, serializeSipUri),
  address: stable(parseNameAddr, serializeNameAddr),
  via: stable(parseVia, serializeVia),
  cseq: stable(parseCSeq, serializeCSeq),
  params: stable(parseParams, serializeParams),
  warning: stable(parseWarning, serializeWarning),
  record: (text) => assert.equal(addressOfRecord(addressOfRecord(text)), addressOfRecord(text)),
  credentials: parseAuthValue,
  date: parseSipDate,
  replaces: parseReplaces,
};

const MESSAGE_READERS: readonly ((message: SipMessage) => unknown)[] = [
  inspectionLabels,
  messagePrivacy,
  sessionExpires,
  referTarget,
  ({ body }) => {
    const session = parseSdp(body);
    assert.ok(serializeSdp(parseSdp(serializeSdp(session))).equals(serializeSdp(session)));
  },
];

/** Every reader of a part on every value; names what could be read. */
function readParts(message: SipMessage): readonly string[] {
  const texts = message.headers.map(({ value }) => value);
  if (message.kind === "request") texts.push(message.uri);
  const names = Object.entries(READERS).flatMap(([name, read]) =>
    texts.filter((text) => isReadable(() => read(text))).length > 0 ? [name] : [],
  );
  const whole = MESSAGE_READERS.map((read) => (isReadable(() => read(message)) ? "+" : "-"));
  return [...names, whole.join("")];
}

/** Whether it gives a value; anything thrown but a ProtocolError goes on. */
function isReadable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}
