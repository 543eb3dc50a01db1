import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LineSplitter } from "../../../runtime/line-stream.ts";

const text = (lines: ReturnType<LineSplitter["push"]>): readonly string[] =>
  lines.map((line) => (line.kind === "line" ? line.octets.toString() : "(too long)"));

test("lines come out whole, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 7 })), (cuts) => {
      const splitter = new LineSplitter(100);
      const octets = Buffer.from("one\n\ntwo and three\nfour\nrest");
      const seen: string[] = [];
      let at = 0;
      for (const size of [...cuts, octets.length]) {
        seen.push(...text(splitter.push(octets.subarray(at, at + size))));
        at += size;
      }
      assert.deepEqual(seen, ["one", "", "two and three", "four"]);
    }),
  );
});

test("a line over the limit is reported once and the next one is read", () => {
  const splitter = new LineSplitter(4);
  assert.deepEqual(text(splitter.push(Buffer.from("1234\n12345\n12"))), ["1234", "(too long)"]);
  assert.deepEqual(text(splitter.push(Buffer.from("345"))), []);
  assert.deepEqual(text(splitter.push(Buffer.from("678\nok\n"))), ["(too long)", "ok"]);
});

test("what is held does not share memory with the socket's buffer", () => {
  const splitter = new LineSplitter(10);
  const chunk = Buffer.from("ab");
  splitter.push(chunk);
  chunk.fill(0);
  assert.deepEqual(text(splitter.push(Buffer.from("c\n"))), ["abc"]);
});
