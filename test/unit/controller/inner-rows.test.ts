/** What stands inside a sealed REGISTER beside what stands outside (RFC 3261 §23.4.1). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completeRegister } from "../../../controller/core/inner-rows.ts";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { sealedRegister } from "./certificate-fixture.ts";

const C = "<sip:alice@10.10.0.2:5061;transport=tls>";
const D = "<sip:alice@10.10.0.3>";

interface Row {
  readonly name: string;
  readonly outer: readonly string[];
  readonly outerExpires?: number;
  readonly inner: readonly (readonly [string, string])[];
  /** What is meant; undefined: they differ. */
  readonly meant?: { contacts: readonly string[]; expires?: string; hidden: boolean };
}

const ROWS: readonly Row[] = [
  {
    name: "nothing is told inside",
    outer: [C],
    outerExpires: 60,
    inner: [],
    meant: { contacts: [C], expires: "60", hidden: false },
  },
  {
    name: "the same in both",
    outer: [`${C};+sip.instance="<urn:x>";reg-id=1`],
    outerExpires: 60,
    inner: [
      ["Contact", C],
      ["Expires", "60"],
    ],
    meant: {
      contacts: [`${C};+sip.instance="<urn:x>";reg-id=1`],
      expires: "60",
      hidden: false,
    },
  },
  {
    name: "the location inside alone",
    outer: [],
    inner: [
      ["Contact", C],
      ["Expires", "60"],
    ],
    meant: { contacts: [C], expires: "60", hidden: true },
  },
  {
    name: "two locations inside alone, in short form",
    outer: [],
    inner: [["m", `${C}, ${D}`]],
    meant: { contacts: [C, D], hidden: true },
  },
  { name: "no location at all", outer: [], inner: [], meant: { contacts: [], hidden: false } },
  {
    name: "the time inside alone",
    outer: [C],
    inner: [["Expires", "60"]],
    meant: { contacts: [C], expires: "60", hidden: false },
  },
  {
    name: "the time of the contact, inside as a header",
    outer: [`${C};expires=60`],
    inner: [
      ["Contact", C],
      ["Expires", "60"],
    ],
    meant: { contacts: [`${C};expires=60`], expires: "60", hidden: false },
  },
  {
    name: "all, in both",
    outer: ["*"],
    outerExpires: 0,
    inner: [
      ["Contact", "*"],
      ["Expires", "0"],
    ],
    meant: { contacts: ["*"], expires: "0", hidden: false },
  },
  { name: "another location", outer: [C], inner: [["Contact", D]] },
  {
    name: "the same locations in another order",
    outer: [C, D],
    inner: [["Contact", `${D}, ${C}`]],
  },
  { name: "one location of two", outer: [C, D], inner: [["Contact", C]] },
  { name: "a parameter inside alone", outer: [C], inner: [["Contact", `${C};q=0.5`]] },
  { name: "another parameter", outer: [`${C};q=1`], inner: [["Contact", `${C};q=0.5`]] },
  { name: "another time", outer: [C], outerExpires: 60, inner: [["Expires", "61"]] },
  {
    name: "a longer time at the contact outside",
    outer: [`${C};expires=7200`],
    inner: [
      ["Contact", C],
      ["Expires", "60"],
    ],
  },
  {
    name: "a time at the contact inside, another outside",
    outer: [C],
    outerExpires: 60,
    inner: [["Contact", `${C};expires=61`]],
  },
  { name: "all inside, one outside", outer: [C], inner: [["Contact", "*"]] },
  { name: "one inside, all outside", outer: ["*"], outerExpires: 0, inner: [["Contact", C]] },
  {
    name: "two times inside",
    outer: [C],
    outerExpires: 60,
    inner: [
      ["Expires", "60"],
      ["expires", "7200"],
    ],
  },
  { name: "a location that cannot be read", outer: [C], inner: [["Contact", "<sip:"]] },
];

for (const { name, outer, outerExpires, inner, meant } of ROWS)
  test(`${name}: ${meant === undefined ? "differs" : "is what is meant"}`, () => {
    const received = sealedRegister({ contacts: outer, expires: outerExpires });
    const completed = completeRegister(received, inner);
    if (meant === undefined) assert.equal(completed, undefined);
    else {
      assert.ok(completed !== undefined);
      const { request, hidden } = completed;
      assert.deepEqual(headerValues(request, "Contact"), meant.contacts);
      assert.equal(headerValue(request, "Expires"), meant.expires);
      assert.equal(hidden, meant.hidden);
    }
  });
