import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encodeUdp } from "../../../protocol/capture/udp.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import { decodePcapng } from "../../../protocol/pcapng/decode-pcapng.ts";
import { encodePacket, encodeSection } from "../../../protocol/pcapng/encode-pcapng.ts";
import type { BlockType } from "../../../protocol/sealing/container-format.ts";
import type { OpenedContainer } from "../../../protocol/sealing/container-reader.ts";
import { judge } from "../../../recorder/core/completeness.ts";
import { exportPcapng, RECORDING_INTERFACES } from "../../../recorder/core/export-pcapng.ts";
import { interruptedReport } from "../../../recorder/core/interrupted-report.ts";
import { MediaStream } from "../../../recorder/core/media-stream.ts";
import {
  beginMetadata,
  endMetadata,
  MAX_REVISIONS_KEPT,
  metadataSchema,
  reviseMetadata,
} from "../../../recorder/core/metadata.ts";
import {
  packetsInTime,
  readContents,
  readMetadata,
} from "../../../recorder/core/recording-contents.ts";
import { findMiscounts } from "../../../recorder/core/recount.ts";
import {
  ALICE,
  BOB,
  callerStream,
  mediaOf,
  NOW,
  orderOf,
  RECORDING,
  rtpOf,
  senderOf,
} from "./call-fixture.ts";

const AT = "2027-01-15T08:00:00.000Z";
const LATER = "2027-01-15T08:00:09.000Z";
const begun = beginMetadata(orderOf([callerStream()]), AT);
const report = interruptedReport(RECORDING, NOW, NOW, NOW);
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const block = (type: BlockType, octets: Buffer) => ({ type, octets });
const section = block("pcapng", encodeSection("keyhole", RECORDING_INTERFACES));
const packetOf = (micros: number, interfaceId = 0, port = BOB.port) => ({
  interfaceId,
  micros,
  octets: encodeUdp({
    source: ALICE.address,
    destination: BOB.address,
    sourcePort: ALICE.port,
    destinationPort: port,
    payload: Buffer.from("x"),
  }),
});
const pcapng = (...given: Parameters<typeof packetOf>) =>
  block("pcapng", encodePacket(packetOf(...given)));
const end = block("completeness", json(report));
const container = (...segments: OpenedContainer["segments"]): OpenedContainer => ({
  recording: RECORDING,
  segments,
});
const ended = (...blocks: readonly ReturnType<typeof block>[]) => ({ blocks, isEnded: true });
const cut = (...blocks: readonly ReturnType<typeof block>[]) => ({ blocks, isEnded: false });
const hasCode = (code: ProtocolErrorCode) => (error: unknown) => isProtocolError(error, code);

describe("contents of a recording", () => {
  it("are the packets in time, the last metadata and the last report", () => {
    const last = endMetadata(begun, "bye", LATER);
    const contents = readContents(
      container(
        ended(
          block("metadata", json(begun)),
          section,
          pcapng(9),
          block("metadata", json(last)),
          pcapng(3),
          end,
        ),
      ),
    );
    assert.deepEqual(
      packetsInTime(contents).map(({ micros }) => micros),
      [3, 9],
    );
    assert.deepEqual(contents.metadata, last);
    assert.deepEqual(contents.completeness, report);
  });

  it("of several segments are put together; the beginning is the first one's", () => {
    const again = beginMetadata(orderOf([callerStream()], { revision: 2 }), LATER);
    const contents = readContents(
      container(
        cut(block("metadata", json(begun)), section, pcapng(1)),
        ended(block("metadata", json(again)), section, pcapng(2), end),
      ),
    );
    assert.equal(contents.metadata?.recording.startedAt, AT);
    assert.equal(contents.metadata?.revisions[0]?.revision, 2);
    assert.equal(packetsInTime(contents).length, 2);
    assert.deepEqual(
      contents.segments.map(({ isEnded }) => isEnded),
      [false, true],
    );
  });

  it("of an interrupted segment stand up to the block that it was cut in", () => {
    const half = block("pcapng", encodePacket(packetOf(2)).subarray(0, 30));
    const contents = readContents(container(cut(section, pcapng(1), half), ended(end)));
    assert.equal(packetsInTime(contents).length, 1);
    assert.equal(contents.metadata, undefined);
    assert.throws(
      () => readContents(container(ended(section, half, end))),
      hasCode("ERR_PCAPNG_SYNTAX"),
    );
  });

  it("are refused without a report, or with JSON that is none or not ours", () => {
    const bad = [
      container(ended(section)),
      container(ended(block("completeness", Buffer.from("{")))),
      container(ended(block("completeness", json({ version: 9 })))),
      container(ended(block("metadata", json({})), end)),
    ];
    for (const each of bad)
      assert.throws(() => readContents(each), hasCode("ERR_RECORDING_SYNTAX"));
    assert.throws(() => readMetadata(Buffer.from([0xff])), hasCode("ERR_RECORDING_SYNTAX"));
    assert.deepEqual(readMetadata(json(begun)), begun);
  });
});

describe("recount", () => {
  const counted = (stored: number) => {
    const [stream, sender] = [new MediaStream([callerStream()], NOW), senderOf()];
    for (let at = 0; at < stored; at++)
      stream.take([{ component: "rtp", packet: mediaOf(sender.protectRtp(rtpOf(at))) }], NOW);
    stream.take([{ component: "rtp", packet: mediaOf(Buffer.from("noise")) }], NOW);
    const streams = [stream.report(() => stored + 1)];
    const rest = { streams, gaps: [], unassigned: { admitted: 0 } };
    return { ...report, ...rest, verdict: judge(rest) };
  };
  const contentsOf = (stored: number, ...packets: readonly ReturnType<typeof block>[]) =>
    readContents(
      container(ended(section, ...packets, block("completeness", json(counted(stored))))),
    );

  it("finds the report's packets in the file", () =>
    assert.deepEqual(findMiscounts(contentsOf(2, pcapng(1), pcapng(2), pcapng(3, 1))), []));

  it("names what is too few or too many, on either interface", () => {
    const faults = findMiscounts(
      contentsOf(2, pcapng(1), pcapng(2, 1), pcapng(3, 1), pcapng(4, 0, BOB.port + 1)),
    );
    assert.deepEqual(faults, [
      "caller RTP: 1 packets lie in it, the report says 2",
      "caller RTP: 2 kept apart, the report says 1",
      "caller RTCP: 1 packets lie in it, the report says 0",
    ]);
    assert.equal(findMiscounts(contentsOf(1)).length, 2);
  });

  it("has nothing to compare where the counts were lost", () =>
    assert.deepEqual(findMiscounts(readContents(container(ended(section, pcapng(1), end)))), []));
});

describe("exported pcapng", () => {
  const packets = [packetOf(1), packetOf(2, 1)];
  const kinds = (file: Buffer) => [...decodePcapng(file)].map(({ kind }) => kind);

  it("holds authenticated media alone, unless asked for the rest", () => {
    assert.deepEqual(kinds(exportPcapng(packets, false)), ["section", "interface", "packet"]);
    const all = kinds(exportPcapng(packets, true));
    assert.deepEqual(all, ["section", "interface", "interface", "packet", "packet"]);
  });
});

describe("metadata", () => {
  it("tells parties, streams and suites, and no key", () => {
    const plain = callerStream({ protection: { kind: "rtp" } });
    const all = beginMetadata(orderOf([callerStream(), plain]), AT);
    assert.deepEqual(metadataSchema.parse(all), all);
    assert.deepEqual(all.participants, [
      { id: "caller", nameId: "sip:alice@atlanta.example.com" },
      { id: "callee", nameId: "sip:bob@biloxi.example.com" },
    ]);
    assert.deepEqual(
      all.streams.map(({ protection }) => protection),
      [{ kind: "srtp", suite: "AES_CM_128_HMAC_SHA1_80" }, { kind: "rtp" }],
    );
    assert.equal(JSON.stringify(all).includes("WVNfX19z"), false);
  });

  it("keeps so many revisions, the first and the latest among them", () => {
    let all = begun;
    for (let revision = 2; revision < MAX_REVISIONS_KEPT + 10; revision++)
      all = reviseMetadata(all, orderOf([], { revision }), AT);
    assert.equal(all.revisions.length, MAX_REVISIONS_KEPT);
    assert.equal(all.revisions[0]?.revision, 1);
    assert.equal(all.revisions.at(-1)?.revision, MAX_REVISIONS_KEPT + 9);
  });

  it("keeps what alone names a stream's place, before what others name as well", () => {
    let all = begun;
    const moved = (port: number) =>
      callerStream({ destination: { address: "10.20.0.9", port: 40_000 + port } });
    for (let revision = 2; revision < 2 * MAX_REVISIONS_KEPT; revision++)
      all = reviseMetadata(all, orderOf([moved(revision % 50)], { revision }), AT);
    const ports = all.revisions.flatMap(({ streams }) =>
      streams.map(({ destination }) => destination.port),
    );
    assert.equal(all.revisions.length, MAX_REVISIONS_KEPT);
    assert.equal(new Set(ports.filter((port) => port >= 40_000)).size, 50);
    for (let revision = 200; revision < 300; revision++)
      all = reviseMetadata(all, orderOf([moved(revision)], { revision }), AT);
    assert.equal(all.revisions.length, MAX_REVISIONS_KEPT);
    assert.deepEqual([all.revisions[0]?.revision, all.revisions.at(-1)?.revision], [1, 299]);
  });
});
