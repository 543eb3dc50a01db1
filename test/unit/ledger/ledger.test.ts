import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  EMPTY_LEDGER,
  type LedgerAct,
  type LedgerHead,
  ledgerKeyId,
  MAX_LEDGER_LINE_BYTES,
  parseLedgerLine,
  signEntry,
} from "../../../protocol/ledger/ledger-entry.ts";
import { type LedgerCheck, verifyLedger } from "../../../protocol/ledger/verify-ledger.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const stranger = generateKeyPairSync("ed25519");
const RECORDING = "0b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e";
const TIME = "2026-11-22T20:00:00.000Z";
const OPENED: LedgerAct = { kind: "recording.opened", recording: RECORDING };
const CLOSED: LedgerAct = {
  kind: "recording.closed",
  recording: RECORDING,
  bytes: 1000,
  sha256: "ab".repeat(32),
  durationMs: 5000,
  verdict: "complete",
  reason: "bye",
};

function ledger(
  acts: readonly LedgerAct[],
  key = privateKey,
): { lines: Buffer[]; heads: LedgerHead[] } {
  const lines: Buffer[] = [];
  const heads = [EMPTY_LEDGER];
  for (const act of acts) {
    const next = signEntry(heads.at(-1) ?? EMPTY_LEDGER, TIME, act, key);
    lines.push(next.line);
    heads.push(next.head);
  }
  return { lines, heads };
}

const four = ledger([OPENED, CLOSED, OPENED, CLOSED]);
const fileOf = (lines: readonly Buffer[]) =>
  Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]));
const check = (lines: readonly Buffer[], head?: LedgerHead) =>
  verifyLedger(fileOf(lines), [publicKey], head);
const faultOf = (result: LedgerCheck) =>
  result.kind === "broken" ? `${result.line} ${result.fault}` : "good";

describe("ledger", () => {
  it("is good as written, and says what it holds", () => {
    const result = check(four.lines);
    assert.ok(result.kind === "good");
    assert.deepEqual(
      result.entries.map(({ act }) => act),
      [OPENED, CLOSED, OPENED, CLOSED],
    );
    assert.deepEqual(result.head, four.heads[4]);
    assert.equal(result.isEndProven, false);
  });

  it("is good when empty", () => assert.equal(check([]).kind, "good"));

  it("proves its end against any head on the way", () => {
    for (const head of four.heads) {
      const result = check(four.lines, head);
      assert.ok(result.kind === "good" && result.isEndProven);
    }
  });

  it("names every changed octet's line", () => {
    const file = fileOf(four.lines);
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(file);
        altered[at] = (altered[at] ?? 0) ^ change;
        const result = verifyLedger(altered, [publicKey]);
        const line = file.subarray(0, at).toString("latin1").split("\n").length;
        assert.ok(result.kind === "broken");
        assert.equal(result.line, line);
        assert.equal(result.entries.length, line - 1);
      }),
      { numRuns: 300 },
    );
  });

  const [one, two, three, last] = four.lines as [Buffer, Buffer, Buffer, Buffer];
  const changed = Buffer.from(two.toString().replace('"bytes":1000', '"bytes":1001'));
  const forged = signEntry(four.heads[1] ?? EMPTY_LEDGER, TIME, CLOSED, stranger.privateKey).line;
  const rewritten = signEntry(four.heads[1] ?? EMPTY_LEDGER, TIME, OPENED, privateKey).line;
  const cases: readonly [string, readonly Buffer[], string][] = [
    ["a changed entry", [one, changed, three, last], "2 changed"],
    ["a forged entry put between", [one, forged, two, three, last], "2 inserted"],
    ["an entry repeated", [one, two, two, three, last], "3 inserted"],
    ["an earlier entry put in again", [one, two, three, one, last], "4 inserted"],
    ["an entry taken out", [one, three, last], "2 removed"],
    ["the first entry taken out", [two, three, last], "1 removed"],
    ["two entries swapped", [one, three, two, last], "2 removed"],
    [
      "an entry rewritten with the key: the next one shows it",
      [one, rewritten, three, last],
      "3 changed",
    ],
    ["another's signature", [one, forged, three, last], "2 changed"],
    ["rubbish at the end", [one, two, Buffer.from("rubbish")], "3 changed"],
  ];
  for (const [what, lines, fault] of cases)
    it(`shows ${what}`, () => assert.equal(faultOf(check(lines)), fault));

  it("shows a cut tail against a head, and cannot without", () => {
    assert.equal(faultOf(check([one, two], four.heads[4])), "3 truncated");
    assert.equal(faultOf(check([one, two])), "good");
  });

  it("shows a tail written anew with the key against a head", () =>
    assert.equal(faultOf(check([one, rewritten], four.heads[2])), "2 changed"));

  it("shows a torn last line", () => {
    const file = fileOf([one, two]);
    assert.equal(faultOf(verifyLedger(file.subarray(0, -1), [publicKey])), "2 torn");
    assert.equal(faultOf(verifyLedger(file.subarray(0, one.length + 9), [publicKey])), "2 torn");
  });

  it("believes several keys, each for the entries that name it", () => {
    const next = signEntry(four.heads[4] ?? EMPTY_LEDGER, TIME, OPENED, stranger.privateKey).line;
    const file = fileOf([...four.lines, next]);
    assert.equal(verifyLedger(file, [publicKey, stranger.publicKey]).kind, "good");
    assert.equal(verifyLedger(file, [privateKey, stranger.privateKey]).kind, "good");
    assert.equal(faultOf(verifyLedger(file, [publicKey])), "5 changed");
  });
});

describe("ledger entry", () => {
  const isLedgerError = (error: unknown) => isProtocolError(error, "ERR_LEDGER");

  it("is refused when signed over other than what an entry is", () => {
    const sealed = (text: string) => {
      const signature = sign(null, Buffer.from(`keyhole ledger entry 1\0${text}`), privateKey);
      return Buffer.from(`${text},"signature":"${signature.toString("base64")}"}`);
    };
    for (const text of ["{", '{"sequence":1', '"', "{}", "\u00e9"])
      assert.throws(() => parseLedgerLine(sealed(text)), isLedgerError);
    assert.throws(
      () => parseLedgerLine(Buffer.from([...sealed("{")].fill(0xff, 0, 1))),
      isLedgerError,
    );
  });

  it("bounds its length", () => {
    const long = Buffer.alloc(MAX_LEDGER_LINE_BYTES + 1, " ");
    const [line = long] = four.lines;
    line.copy(long, long.length - line.length);
    assert.throws(() => parseLedgerLine(long), isLedgerError);
    assert.equal(parseLedgerLine(long.subarray(1)).entry.sequence, 1);
  });

  it("is signed by Ed25519 alone", () => {
    assert.throws(() => ledgerKeyId(generateKeyPairSync("x25519").publicKey), TypeError);
    assert.equal(ledgerKeyId(publicKey), ledgerKeyId(privateKey));
  });
});
