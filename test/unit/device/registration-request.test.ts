import assert from "node:assert/strict";
import { test } from "node:test";
import { inspectionLabels } from "../../../protocol/sip/inspection-label.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import { ALICE, CONTACT, RegistrarWorld } from "./registration-fixture.ts";

const names = (rows: readonly (readonly [string, string])[] | undefined): readonly string[] =>
  (rows ?? []).map(([name]) => name);

test("open: what is sealed stands outside as well, and the label names the controller", () => {
  const world = new RegistrarWorld().register();
  const { last } = world;
  assert.equal(last.uri, "sip:atlanta.example.com");
  assert.deepEqual(names(world.sealed[0]), [
    ...["From", "To", "Call-ID", "CSeq", "Date", "Contact", "Expires"],
  ]);
  for (const [name, value] of world.sealed[0] ?? []) assert.equal(headerValue(last, name), value);
  assert.equal(
    headerValue(last, "Contact"),
    `<${CONTACT.uri}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>";reg-id=1`,
  );
  assert.equal(headerValue(last, "Supported"), "path, outbound");
  const [label] = inspectionLabels(last);
  assert.equal(label?.host, "ss1.atlanta.example.com");
  assert.equal(headerValue(last, "Content-ID"), `<${label?.cids[0]}>`);
  assert.equal(headerValue(last, "Content-Disposition"), "signal;handling=required");
  assert.match(headerValue(last, "Content-Type") ?? "", /^application\/pkcs7-mime;/);
  assert.deepEqual(JSON.parse(last.body.toString()), world.sealed[0]);
});

test("private: neither location nor expiry nor instance stand outside", () => {
  const world = new RegistrarWorld({ profile: "private" }).register();
  const { last, sealed } = world;
  for (const name of ["Contact", "Expires", "Authorization"])
    assert.equal(headerValue(last, name), undefined, name);
  assert.ok(sealed[0]?.some(([name, value]) => name === "Contact" && value === `<${CONTACT.uri}>`));
  assert.ok(sealed[0]?.some(([name, value]) => name === "Expires" && value === "3600"));
  assert.equal(headerValue(last, "Supported"), "");
  const outside = last.headers.map(({ name, value }) => `${name}: ${value}`).join("\n");
  assert.ok(!outside.includes("urn:uuid"));
  assert.ok(!outside.replace(/^Via:.*$/m, "").includes(CONTACT.host));
});

test("From and To are the user, and every REGISTER has a tag and branch of its own", () => {
  const world = new RegistrarWorld().register();
  world.respond(423, [["Min-Expires", "4000"]]);
  const [first, second] = world.sent;
  assert.ok(first && second);
  assert.equal(headerValue(first, "To"), `<${ALICE}>`);
  for (const name of ["From", "Via", "Content-ID"])
    assert.notEqual(headerValue(first, name), headerValue(second, name), name);
});
