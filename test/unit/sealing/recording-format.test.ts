/** The format as documented: two readers of one vector, and of what the writer makes today. */

import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import sodium from "libsodium-wrappers";
import { verifyLedger } from "../../../protocol/ledger/verify-ledger.ts";
import { BLOCK_TYPES } from "../../../protocol/sealing/container-format.ts";
import { openContainer } from "../../../protocol/sealing/container-reader.ts";
import { ContainerWriter, firstSegment } from "../../../protocol/sealing/container-writer.ts";
import { readLedger, readRecording } from "./second-reader.ts";

await sodium.ready;
const vector = JSON.parse(readFileSync("test/vectors/recording-v1.json", "utf8"));
const base64 = (text: string) => Buffer.from(text, "base64");
const file = base64(vector.file);
const ledger = Buffer.from(vector.ledger);
const archiveKey = {
  publicKey: base64(vector.archiveKey.publicKey),
  privateKey: base64(vector.archiveKey.privateKey),
};
const ledgerPublicKey = base64(vector.ledgerPublicKey);

describe("recording format, version 1", () => {
  it("is read by our reader as by one written from the document", () => {
    const texts = readRecording(file, archiveKey).map((blocks) =>
      blocks.map(({ type, content }) => ({ type, content: content.toString() })),
    );
    assert.deepEqual(texts, vector.segments);
    const opened = openContainer(file, archiveKey, sodium);
    assert.equal(opened.recording, vector.recording);
    const ours = opened.segments.map(({ blocks }) =>
      blocks.map(({ type, octets }) => ({ type: BLOCK_TYPES[type], content: octets.toString() })),
    );
    assert.deepEqual(ours, vector.segments);
  });

  it("is what the writer writes today", () => {
    const writer = new ContainerWriter(
      firstSegment(vector.recording),
      [archiveKey.publicKey],
      sodium,
    );
    const content = Buffer.from("packets");
    const octets = Buffer.concat([
      writer.header,
      writer.seal("pcapng", content),
      writer.sealLast("completeness", Buffer.from("{}")),
    ]);
    assert.deepEqual(readRecording(octets, archiveKey), [
      [
        { type: 1, content },
        { type: 3, content: Buffer.from("{}") },
      ],
    ]);
  });

  it("has a ledger that both readers believe", () => {
    assert.deepEqual(readLedger(ledger, ledgerPublicKey), vector.acts);
    const x = ledgerPublicKey.toString("base64url");
    const key = createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } });
    const check = verifyLedger(ledger, [key]);
    assert.ok(check.kind === "good");
    assert.deepEqual(
      check.entries.map(({ act }) => act),
      vector.acts,
    );
  });
});
