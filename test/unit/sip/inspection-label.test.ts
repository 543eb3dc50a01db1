import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  inspectionLabels,
  MAX_LABEL_CIDS,
  parseInspectionLabel,
  serializeInspectionLabel,
  stripContentId,
} from "../../../protocol/sip/inspection-label.ts";
import { rows, sampleRequest } from "./sample.ts";

const HOST = "ss1.atlanta.example.com";

const GOOD: readonly (readonly [value: string, cids: readonly string[]])[] = [
  [`${HOST};cid="1234@atlanta.example.com"`, ["1234@atlanta.example.com"]],
  [`${HOST}; cid=1234@x`, ["1234@x"]],
  [`${HOST};cid=1234@x,cid=3333@x`, ["1234@x", "3333@x"]],
  [`${HOST} ; cid = "1234@x" , cid="3333@X" ; policy=record;flag`, ["1234@x", "3333@X"]],
  [`${HOST};CID="<a.b!%*_+'\`~@[::1]>"`, ["a.b!%*_+'`~@[::1]"]],
];
for (const [value, cids] of GOOD)
  test(`label: ${value}`, () => {
    const label = parseInspectionLabel(value.replace("ss1", "SS1"));
    assert.deepEqual(label, { host: HOST, cids });
    assert.deepEqual(parseInspectionLabel(serializeInspectionLabel(label)), label);
  });

const BAD = [
  "",
  HOST,
  `${HOST};cid=`,
  `${HOST};cid=x`,
  `${HOST};cid="a@b`,
  `${HOST};cid=a@b,`,
  `${HOST};;cid=a@b`,
  ";cid=a@b",
  `${HOST},cid=a@b`,
  `${HOST};cid=a..b@c`,
  `${HOST};cid="a@b c"`,
];
for (const value of BAD)
  test(`no label: ${value}`, () =>
    assert.throws(
      () => parseInspectionLabel(value),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
    ));

test("every row of every name is one label, in order", () => {
  const message = sampleRequest("INVITE", {
    headers: rows(
      'Session-Policy: ss3.example;cid="c@x"',
      'Proxy-Required-Body: ss2.example;cid="b@x"',
      'proxy-inspect-body: ss1.example;cid="a@x",cid="z@x"',
      'Proxy-Inspect-Body: ss4.example;cid="a@x"',
      "Session-Policy: <sip:policy.example>;somebody=else",
    ),
  });
  assert.deepEqual(
    inspectionLabels(message).map(({ host, cids }) => `${host} ${cids.join()}`),
    ["ss1.example a@x,z@x", "ss4.example a@x", "ss2.example b@x", "ss3.example c@x"],
  );
});

test(`at most ${MAX_LABEL_CIDS} Content-IDs a row`, () => {
  const value = (count: number) => `${HOST};${Array(count).fill("cid=a@b").join(",")}`;
  assert.equal(parseInspectionLabel(value(16)).cids.length, MAX_LABEL_CIDS);
  assert.throws(
    () => parseInspectionLabel(value(17)),
    (error) => isProtocolError(error, "ERR_SIP_LIMIT"),
  );
});

test("Content-IDs compare without quotes and brackets; a bad label is not written", () => {
  for (const text of ["1@x", "<1@x>", '"1@x"', ' "<1@x>" '])
    assert.equal(stripContentId(text), "1@x");
  assert.throws(() => serializeInspectionLabel({ host: "a b", cids: ["1@x"] }), TypeError);
  assert.throws(() => serializeInspectionLabel({ host: HOST, cids: [] }), TypeError);
  assert.throws(() => serializeInspectionLabel({ host: HOST, cids: ['1@x"'] }), TypeError);
});
