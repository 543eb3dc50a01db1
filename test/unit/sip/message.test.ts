import assert from "node:assert/strict";
import { test } from "node:test";
import {
  appendHeader,
  headerValues,
  prependHeader,
  withBody,
  withFirstValue,
  withHeader,
  withoutHeader,
  withValues,
} from "../../../protocol/sip/message.ts";
import { rows, sampleRequest } from "./sample.ts";

const message = sampleRequest("INVITE", {
  headers: rows("v: one, two", "Via: three", "To: t", "Supported: ", "Route: <sip:a;lr>"),
  body: Buffer.from("body"),
});
const lines = ({ headers }: typeof message) =>
  headers.map(({ name, value }) => `${name}: ${value}`);

test("edits are new messages; the body is the same object", () => {
  const before = lines(message);
  const edits = [
    withHeader(message, "To", "u"),
    withoutHeader(message, "v"),
    prependHeader(message, "Via", "zero"),
    appendHeader(message, "X", "y"),
    withFirstValue(message, "Via", "ONE"),
  ];
  for (const edit of edits) {
    assert.equal(edit.body, message.body);
    assert.notDeepEqual(lines(edit), before);
  }
  assert.deepEqual(lines(message), before);
});

test("replacing keeps the place", () => {
  assert.deepEqual(lines(withHeader(message, "Via", "only")).slice(0, 2), ["Via: only", "To: t"]);
  assert.deepEqual(lines(withValues(message, "Route", ["r", "s"])).slice(-2), [
    "Route: r",
    "Route: s",
  ]);
  assert.deepEqual(lines(withHeader(message, "Max-Forwards", "69")).at(-1), "Max-Forwards: 69");
});

test("prepending goes before the first of its kind, or behind the Vias", () => {
  assert.equal(lines(prependHeader(message, "Via", "zero"))[0], "Via: zero");
  assert.deepEqual(lines(prependHeader(message, "Route", "r")).slice(-2), [
    "Route: r",
    "Route: <sip:a;lr>",
  ]);
  assert.equal(lines(prependHeader(message, "Record-Route", "rr"))[2], "Record-Route: rr");
  const bare = sampleRequest("INVITE", { headers: rows("To: t") });
  assert.deepEqual(lines(prependHeader(bare, "Via", "v")), ["Via: v", "To: t"]);
});

test("the first value of a list is replaced or removed alone", () => {
  assert.deepEqual(headerValues(withFirstValue(message, "Via", undefined), "Via"), [
    "two",
    "three",
  ]);
  assert.deepEqual(headerValues(withFirstValue(message, "Via", "x"), "Via"), ["x", "two", "three"]);
  assert.deepEqual(headerValues(withFirstValue(message, "Route", undefined), "Route"), []);
  assert.equal(withFirstValue(message, "Path", "p"), message);
});

test("empty list fields have no values; another body is a copy", () => {
  assert.deepEqual(headerValues(message, "Supported"), []);
  const octets = Buffer.from("new");
  const changed = withBody(message, octets);
  octets.fill(0);
  assert.equal(changed.body.toString(), "new");
});
