import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { verifyLedger } from "../../../protocol/ledger/verify-ledger.ts";
import { LedgerFile } from "../../../recorder/io/ledger-file.ts";
import { NOW, RECORDING } from "./call-fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "keyhole-ledger-"));
after(() => rmSync(directory, { recursive: true }));
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const OPENED = { kind: "recording.opened", recording: RECORDING } as const;
let files = 0;
const newPath = () => join(directory, `${files++}.jsonl`);
const openAt = (path: string) => LedgerFile.open(path, privateKey, () => NOW);

async function written(path: string, entries: number): Promise<void> {
  const ledger = await openAt(path);
  for (let n = 0; n < entries; n++) await ledger.append(OPENED);
  await ledger.close();
}

describe("ledger file", () => {
  it("is its owner's alone and goes on across restarts", async () => {
    const path = newPath();
    await written(path, 2);
    await written(path, 1);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const check = verifyLedger(readFileSync(path), [publicKey]);
    assert.ok(check.kind === "good");
    assert.equal(check.head.sequence, 3);
    assert.equal(check.entries[0]?.time, "2027-01-15T08:00:00.000Z");
  });

  it("commits what waits together, in the order given", async () => {
    const ledger = await openAt(newPath());
    const acts = Array.from({ length: 20 }, () => ledger.append(OPENED));
    await Promise.all(acts);
    assert.equal(ledger.head.sequence, 20);
    await ledger.close();
  });

  it("cuts off a last line that was left half written", async () => {
    const path = newPath();
    await written(path, 2);
    appendFileSync(path, '{"sequence":3,"ti');
    await written(path, 1);
    const check = verifyLedger(readFileSync(path), [publicKey]);
    assert.ok(check.kind === "good");
    assert.equal(check.head.sequence, 3);
  });

  it("says what is broken, still knows the entries behind it, and goes on at the end", async () => {
    const path = newPath();
    await written(path, 3);
    const lines = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, lines.with(1, "rubbish").join("\n"));
    const ledger = await openAt(path);
    assert.ok(ledger.check.kind === "broken");
    assert.equal(ledger.check.line, 2);
    assert.equal(ledger.entries.length, 2);
    await ledger.append(OPENED);
    assert.equal(ledger.head.sequence, 4);
    await ledger.close();
  });

  it("tells whoever waits when the disk refuses, and takes no entry for written", async () => {
    const path = newPath();
    const ledger = await openAt(path);
    await ledger.append(OPENED);
    await ledger.close();
    await assert.rejects(ledger.append(OPENED), { code: "EBADF" });
    assert.equal(ledger.head.sequence, 1);
  });
});
