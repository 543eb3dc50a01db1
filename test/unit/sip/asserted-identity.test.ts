import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { type IdentitySource, identityChange } from "../../../protocol/sip/asserted-identity.ts";
import { canonicalName } from "../../../protocol/sip/header-name.ts";
import { hidesIdentity, messagePrivacy, unmetPrivacy } from "../../../protocol/sip/privacy.ts";
import { rows, sampleRequest } from "./sample.ts";

const syntax = (error: unknown) => isProtocolError(error, "ERR_SIP_SYNTAX");
const request = (...lines: string[]) => sampleRequest("INVITE", { headers: rows(...lines) });

/** The identity rows that leave, in words. */
function leaving(source: IdentitySource, isTrusted: boolean, ...lines: string[]): string[] {
  const message = request(...lines);
  const { isWithheld, added } = identityChange(message, { source, isTrusted });
  return [...message.headers.filter(({ name }) => !isWithheld(canonicalName(name))), ...added]
    .filter(({ name }) => /identity$/i.test(name))
    .map(({ name, value }) => `${name}: ${value}`);
}

const TRUSTED: IdentitySource = { kind: "trusted" };
const UNKNOWN: IdentitySource = { kind: "unknown" };
const ALICE: IdentitySource = {
  kind: "user",
  uris: ["sip:alice@example.com", "sip:sales@example.com", "tel:+15550100"],
};
const CLAIM = "P-Asserted-Identity: <sip:boss@example.com>";

test("RFC 3325 §5: what the trust domain asserts stays in it if the user wishes", () => {
  assert.deepEqual(leaving(TRUSTED, true, CLAIM), [CLAIM]);
  assert.deepEqual(leaving(TRUSTED, true, CLAIM, "Privacy: id"), [CLAIM]);
  assert.deepEqual(leaving(TRUSTED, false, CLAIM), [CLAIM]);
  assert.deepEqual(leaving(TRUSTED, false, CLAIM, "Privacy: none"), [CLAIM]);
  assert.deepEqual(leaving(TRUSTED, false, CLAIM, "Privacy: header;ID;critical"), []);
  assert.deepEqual(leaving(TRUSTED, false, CLAIM, "Privacy: header", "Privacy: id"), []);
});

test("RFC 3325 §5: nobody outside asserts anything, in whatever spelling", () => {
  const spelt = ["p-asserted-IDENTITY: <sip:boss@example.com>", CLAIM];
  for (const isTrusted of [true, false]) {
    assert.deepEqual(leaving(UNKNOWN, isTrusted, ...spelt), []);
    assert.deepEqual(
      leaving(ALICE, isTrusted, ...spelt),
      isTrusted ? ["P-Asserted-Identity: <sip:alice@example.com>"] : [],
    );
  }
});

test("RFC 3325 §6: of his own identities a user may prefer one, and only of his own", () => {
  const choose = (preferred: string) =>
    leaving(ALICE, true, `P-Preferred-Identity: ${preferred}`).join();
  const asserted = (uri: string) => `P-Asserted-Identity: <${uri}>`;
  assert.equal(choose('"Boss" <sip:sales@EXAMPLE.com>'), asserted("sip:sales@example.com"));
  assert.equal(choose("<tel:+15550100>"), asserted("tel:+15550100"));
  assert.equal(choose("<sip:boss@example.com>"), asserted("sip:alice@example.com"));
  assert.equal(choose("<sip:"), asserted("sip:alice@example.com"));
  assert.deepEqual(leaving({ kind: "user", uris: [] }, true), []);
});

test("RFC 3325 §9.2: a preferred identity goes no further, wherever it comes from", () => {
  for (const source of [TRUSTED, ALICE, UNKNOWN])
    for (const isTrusted of [true, false])
      assert.ok(
        leaving(source, isTrusted, "P-Preferred-Identity: <sip:a@b>").every(
          (row) => !row.startsWith("P-Preferred"),
        ),
      );
});

test("RFC 3323 §4.2: Privacy is read, and an unreadable one is not guessed at", () => {
  const read = (...lines: string[]) => [...messagePrivacy(request(...lines))];
  assert.deepEqual(read(), []);
  assert.deepEqual(read("Privacy: Header; id ;history"), ["header", "id", "history"]);
  for (const bad of ["", "id;", "id, header", "i d", '"id"'])
    assert.throws(() => read(`Privacy: ${bad}`), syntax, bad);
  assert.throws(
    () => identityChange(request("Privacy: ?"), { source: TRUSTED, isTrusted: false }),
    syntax,
  );
});

test("RFC 3323 §5: what is critical and not done here is named", () => {
  const unmet = (value: string) => unmetPrivacy(messagePrivacy(request(`Privacy: ${value}`)));
  assert.deepEqual(unmet("header;session;user"), []);
  assert.deepEqual(unmet("id;critical"), []);
  assert.deepEqual(unmet("id;user;critical;new"), ["user", "new"]);
  assert.equal(hidesIdentity(messagePrivacy(request("Privacy: user"))), false);
});
