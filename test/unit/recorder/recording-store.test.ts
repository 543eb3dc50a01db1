import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, mock } from "node:test";
import sodium from "libsodium-wrappers";
import { isProtocolError } from "../../../protocol/errors.ts";
import { rawKeyPair } from "../../../protocol/sealing/sodium.ts";
import { interruptedReport } from "../../../recorder/core/interrupted-report.ts";
import { beginMetadata } from "../../../recorder/core/metadata.ts";
import { packetsInTime } from "../../../recorder/core/recording-contents.ts";
import { Archive, ArchiveError, recordOf } from "../../../recorder/io/archive.ts";
import { InterruptedRecordings } from "../../../recorder/io/interrupted-recordings.ts";
import { LedgerFile } from "../../../recorder/io/ledger-file.ts";
import {
  FLUSH_MS,
  MAX_WAITING_BYTES,
  RecordingStore,
} from "../../../recorder/io/recording-store.ts";
import { SealedFile } from "../../../recorder/io/sealed-file.ts";
import {
  ledgerPath,
  listRecordings,
  prepareStore,
  recordingPath,
} from "../../../recorder/io/store-directory.ts";
import { verifyRecording } from "../../../recorder/io/verify-recording.ts";
import { callerStream, mediaOf, NOW, orderOf, RECORDING, rtpOf } from "./call-fixture.ts";

await sodium.ready;
const root = mkdtempSync(join(tmpdir(), "keyhole-store-"));
after(() => rmSync(root, { recursive: true }));
const archiveKey = rawKeyPair(generateKeyPairSync("x25519").privateKey);
const ledgerKey = generateKeyPairSync("ed25519");
const metadata = beginMetadata(orderOf([callerStream()]), "2027-01-15T08:00:00.000Z");
const report = interruptedReport(RECORDING, NOW, NOW, NOW + 3000);
const packet = (at: number, bytes = 160) => {
  const { micros, octets } = mediaOf(rtpOf(at, { payload: Buffer.alloc(bytes) }), { ms: at });
  return { interfaceId: 0, micros, octets };
};
let stores = 0;

/** A store and what failed in it. `again` is what a restarted recorder finds. */
async function open(directory = join(root, `${stores++}`), bounds = {}) {
  await prepareStore(directory);
  const ledger = await LedgerFile.open(ledgerPath(directory), ledgerKey.privateKey, () => NOW);
  const common = { directory, archiveKeys: [archiveKey.publicKey], ledger, sodium };
  const clock = () => NOW;
  const interrupted = await InterruptedRecordings.find({ ...common, clock });
  const failed: string[] = [];
  const store = new RecordingStore({
    ...common,
    ...bounds,
    clock,
    interrupted,
    onFailed: (recording, reason) => failed.push(`${recording} ${reason}`),
  });
  const close = async () => {
    await store.close();
    await ledger.close();
  };
  const again = async () => {
    await close();
    return open(directory);
  };
  return { directory, store, ledger, interrupted, failed, close, again };
}

const read = async (directory: string) =>
  (await Archive.open(directory, sodium)).read(RECORDING, archiveKey);

describe("recording store", () => {
  it("is its owner's alone, and so is every file", async () => {
    const { directory, store, close } = await open();
    await store.open(RECORDING, metadata);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.equal(statSync(recordingPath(directory, RECORDING)).mode & 0o777, 0o600);
    await close();
  });

  it("has the recording and its ledger entry on the disk once it is open", async () => {
    const { directory, store, close } = await open();
    await store.open(RECORDING, metadata);
    const archive = await Archive.open(directory, sodium);
    assert.deepEqual(await archive.readBeginning(RECORDING, archiveKey), metadata);
    assert.equal(await archive.isOpen(RECORDING), true);
    await close();
  });

  it("ends a recording with everything in it, and says its hash in the ledger", async () => {
    const { directory, store, close } = await open();
    await store.open(RECORDING, metadata);
    store.writePackets(RECORDING, [packet(1), packet(2)]);
    store.writeMetadata(RECORDING, metadata);
    store.writePackets(RECORDING, [packet(3)]);
    assert.equal(await store.finish(RECORDING, metadata, report), true);
    assert.equal(await store.finish(RECORDING, metadata, report), false);
    const { contents, file } = await read(directory);
    assert.equal(packetsInTime(contents).length, 3);
    const octets = readFileSync(recordingPath(directory, RECORDING));
    assert.equal(file.sha256, createHash("sha256").update(octets).digest("hex"));
    const archive = await Archive.open(directory, sodium);
    const ledger = await archive.checkLedger([ledgerKey.publicKey]);
    const { closed } = recordOf(ledger.entries, RECORDING);
    assert.equal(closed?.sha256, file.sha256);
    assert.equal(closed?.durationMs, 3000);
    const checked = await verifyRecording(archive, RECORDING, archiveKey, ledger);
    assert.equal(checked.isGood, true);
    await close();
  });

  it("writes what waits once a second, and much at once without waiting", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { directory, store, close } = await open();
    await store.open(RECORDING, metadata);
    const size = () => statSync(recordingPath(directory, RECORDING)).size;
    const before = size();
    store.writePackets(RECORDING, [packet(1)]);
    t.mock.timers.tick(FLUSH_MS - 1);
    await new Promise((done) => setImmediate(done));
    assert.equal(size(), before);
    t.mock.timers.tick(1);
    while (size() === before) await new Promise((done) => setImmediate(done));
    const flushed = size();
    for (let at = 0; at < 300; at++) store.writePackets(RECORDING, [packet(at, 1400)]);
    while (size() === flushed) await new Promise((done) => setImmediate(done));
    await close();
    mock.timers.reset();
  });

  it("opens no recording twice", async () => {
    const { store, close } = await open();
    await store.open(RECORDING, metadata);
    await store.finish(RECORDING, metadata, report);
    await assert.rejects(store.open(RECORDING, metadata), { code: "EEXIST" });
    await close();
  });

  it("gives a recording up that outruns the disk", async () => {
    const { store, failed, close } = await open();
    const opening = store.open(RECORDING, metadata);
    const large = packet(1, 60_000);
    for (let n = 0; n * 60_000 < MAX_WAITING_BYTES + 60_000; n++)
      store.writePackets(RECORDING, [large]);
    await opening;
    assert.deepEqual(failed, [`${RECORDING} the disk is too slow`]);
    assert.equal(await store.finish(RECORDING, metadata, report), false);
    await close();
  });

  it("says that a recording is interrupted once a write that hangs lets go of it", async (t) => {
    const told: string[] = [];
    const bounds = { maxAllWaitingBytes: 1, onInterrupted: (id: string) => told.push(id) };
    const { store, failed, interrupted, close } = await open(undefined, bounds);
    await store.open(RECORDING, metadata);
    const gate = Promise.withResolvers<void>();
    const abandon = SealedFile.prototype.abandon;
    t.mock.method(SealedFile.prototype, "abandon", async function held(this: SealedFile) {
      await gate.promise;
      await abandon.call(this);
    });
    store.writePackets(RECORDING, [packet(1)]);
    await new Promise((done) => setImmediate(done));
    assert.equal(failed.length, 1);
    assert.deepEqual([told, interrupted.recordings], [[], []]);
    gate.resolve();
    while (told.length === 0) await new Promise((done) => setImmediate(done));
    assert.deepEqual([told, interrupted.recordings], [[RECORDING], [RECORDING]]);
    await close();
  });

  it("gives up whose packets are too many for all together, and has room again for the rest", async () => {
    const bounds = { maxAllWaitingBytes: 100_000 };
    const { store, failed, close } = await open(undefined, bounds);
    const [first, second] = [RECORDING, "1b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e"];
    await Promise.all([first, second].map((recording) => store.open(recording, metadata)));
    store.writePackets(first, [packet(1, 60_000)]);
    store.writePackets(second, [packet(1, 60_000)]);
    assert.deepEqual(failed, [`${second} the disk is too slow`]);
    store.writePackets(first, [packet(2, 30_000)]);
    assert.equal(await store.finish(first, metadata, report), true);
    await close();
  });

  it("ignores what comes for a recording that is not open", async () => {
    const { store, directory, close } = await open();
    store.writePackets(RECORDING, [packet(1)]);
    store.writeMetadata(RECORDING, metadata);
    assert.deepEqual(await listRecordings(directory), []);
    await close();
  });
});

describe("interrupted recordings", () => {
  const interruptedStore = async () => {
    const first = await open();
    await first.store.open(RECORDING, metadata);
    first.store.writePackets(RECORDING, [packet(1)]);
    return first;
  };

  it("are those that the ledger has open; they are ended, once", async () => {
    const second = await (await interruptedStore()).again();
    assert.deepEqual(second.interrupted.recordings, [RECORDING]);
    assert.deepEqual(await second.interrupted.endAll(), []);
    const { contents } = await read(second.directory);
    assert.deepEqual(
      contents.segments.map(({ isEnded }) => isEnded),
      [false, true],
    );
    assert.equal(packetsInTime(contents).length, 1);
    assert.equal(contents.completeness.reason, "the recorder was interrupted");
    const third = await second.again();
    assert.deepEqual(third.interrupted.recordings, []);
    await third.close();
  });

  it("are gone on with by whoever opens them again", async () => {
    const second = await (await interruptedStore()).again();
    const interruption = await second.store.open(RECORDING, metadata);
    assert.ok(interruption !== undefined);
    second.store.writePackets(RECORDING, [packet(2)]);
    await second.store.finish(RECORDING, metadata, report);
    assert.equal(packetsInTime((await read(second.directory)).contents).length, 2);
    const third = await second.again();
    const kinds = third.ledger.entries.map(({ act }) => act.kind);
    await third.close();
    assert.deepEqual(kinds, ["recording.opened", "recording.resumed", "recording.closed"]);
  });

  it("are cut where they tore, at every octet", async () => {
    const first = await interruptedStore();
    await first.close();
    const path = recordingPath(first.directory, RECORDING);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length));
      rmSync(ledgerPath(first.directory));
      const next = await open(first.directory);
      await next.interrupted.endAll();
      assert.equal((await read(next.directory)).contents.recording, RECORDING);
      await next.close();
    }
  });

  it("are found without a ledger entry too: the file came first", async () => {
    const first = await interruptedStore();
    await first.close();
    truncateSync(ledgerPath(first.directory));
    const second = await open(first.directory);
    assert.deepEqual(second.interrupted.recordings, [RECORDING]);
    await second.close();
  });

  it("are told of in the ledger when their file is missing or no recording", async () => {
    const spoil: readonly [(path: string) => void, string][] = [
      [(path) => unlinkSync(path), "its file is missing"],
      [(path) => writeFileSync(path, "RIFF"), "its file is damaged"],
    ];
    for (const [act, reason] of spoil) {
      const first = await interruptedStore();
      await first.close();
      act(recordingPath(first.directory, RECORDING));
      const second = await open(first.directory);
      assert.deepEqual(await second.interrupted.endAll(), [RECORDING]);
      const third = await second.again();
      const last = third.ledger.entries.at(-1)?.act;
      assert.ok(last?.kind === "recording.closed");
      assert.equal(last.verdict, "not-recorded");
      assert.equal(last.reason, reason);
      assert.deepEqual(third.interrupted.recordings, []);
      await third.close();
    }
  });
});

describe("archive", () => {
  it("finds a recording by the beginning of its id, if that is but one", async () => {
    const { directory, store, close } = await open();
    const other = RECORDING.replace("0b2f", "0b3f");
    await store.open(RECORDING, metadata);
    await store.open(other, metadata);
    writeFileSync(join(directory, "notes.khr"), "");
    const archive = await Archive.open(directory, sodium);
    assert.deepEqual(archive.recordings, [RECORDING, other]);
    assert.equal(archive.find("0B3"), other);
    assert.throws(() => archive.find("0b"), /2 recordings begin with 0b/);
    assert.throws(() => archive.find("f"), ArchiveError);
    await close();
  });

  it("says what is wrong with a recording: unknown to the ledger, open, altered, of another id", async () => {
    const { directory, store, ledger, again } = await open();
    await store.open(RECORDING, metadata);
    const verify = async () => {
      const archive = await Archive.open(directory, sodium);
      const check = await archive.checkLedger(undefined);
      const { findings } = await verifyRecording(archive, RECORDING, archiveKey, check);
      return findings.map(({ isGood, detail }) => `${isGood} ${detail}`).join("\n");
    };
    assert.match(await verify(), /false not closed: still being recorded, or interrupted/);
    await store.finish(RECORDING, metadata, report);
    assert.match(await verify(), /true lost with an interruption/);
    const path = recordingPath(directory, RECORDING);
    appendFileSync(path, "x");
    assert.match(await verify(), /false \d+ octets, the ledger says \d+/);
    const other = RECORDING.replace("0b", "0c");
    writeFileSync(recordingPath(directory, other), readFileSync(path).subarray(0, -1));
    const archive = await Archive.open(directory, sodium);
    await assert.rejects(archive.read(other, archiveKey), /holds 0b2f/);
    const check = await archive.checkLedger([ledgerKey.publicKey]);
    const unknown = await verifyRecording(archive, other, archiveKey, check);
    assert.match(JSON.stringify(unknown.findings), /the ledger does not know it/);
    assert.equal(ledger.head.sequence, 2);
    await (await again()).close();
  });

  it("opens with the archive's key alone", async () => {
    const { directory, store, close } = await open();
    await store.open(RECORDING, metadata);
    await store.finish(RECORDING, metadata, report);
    const archive = await Archive.open(directory, sodium);
    const stranger = rawKeyPair(generateKeyPairSync("x25519").privateKey);
    const isWrongKey = (error: unknown) => isProtocolError(error, "ERR_RECORDING_KEY");
    await assert.rejects(archive.read(RECORDING, stranger), isWrongKey);
    await assert.rejects(archive.readBeginning(RECORDING, stranger), isWrongKey);
    const check = await archive.checkLedger(undefined);
    await assert.rejects(verifyRecording(archive, RECORDING, stranger, check), isWrongKey);
    await close();
  });
});
