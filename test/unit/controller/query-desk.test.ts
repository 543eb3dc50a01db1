import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import type { AskerOutcome } from "../../../controller/core/certificate-port.ts";
import { SIGNATURE_LIMITS } from "../../../controller/io/query-desk.ts";
import { signQuery, verifyQueryAnswer } from "../../../protocol/body/certificate-query.ts";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { keyIdOf } from "../../../protocol/pki/public-key.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import { ALICE, AuthorityFiles, DOMAIN } from "./authority-files.ts";
import { OfficeFixture, ROWS, registerOf } from "./office-fixture.ts";

const BOB = "sip:bob@biloxi.example.com";
const START_LINE = `OPTIONS ${ALICE} SIP/2.0`;
let files: AuthorityFiles;
let fixture: OfficeFixture;

before(() => {
  files = new AuthorityFiles();
  fixture = new OfficeFixture(files, "queries");
});

after(async () => {
  await fixture.office.stop();
  files.remove();
});

async function queryBy(name: string): Promise<SipRequest> {
  const signer = files.identity(name);
  const query = { startLine: START_LINE, rows: ROWS, signer, random: randomBytes };
  return registerOf(await signQuery(query));
}

const verify = (request: SipRequest, source = "192.0.2.1") =>
  fixture.ask("verify-asker", { request, source });

const urisOf = (outcome: AskerOutcome): readonly string[] | string | undefined =>
  outcome.kind === "asker" ? outcome.uris : outcome.code;

test("whoever asks is known by the anchors of his own domain alone", async (context) => {
  files.makeUser("alice", "root", ALICE);
  files.makeUser("alice2", "issuer", ALICE);
  files.makeUser("bob", "biloxi", BOB);
  files.makeUser("liar", "biloxi", ALICE);
  files.makeUser("bobHere", "root", BOB);
  files.makeUser("bobDotted", "root", `${BOB}.`);
  files.makeUser("both", "biloxi", `${BOB},URI:${ALICE}`);
  files.make("nobody", { by: "root", extensions: ["subjectAltName=DNS:atlanta.example.com"] });
  await files.makeExpired("over", "root", ALICE);
  const cases: readonly [name: string, expected: readonly string[] | string][] = [
    ["alice", [ALICE]],
    ["alice2", [ALICE]],
    ["bob", [BOB]],
    ["liar", "ERR_CERTIFICATE"],
    ["bobHere", "ERR_CERTIFICATE"],
    ["bobDotted", "ERR_CERTIFICATE"],
    ["both", [BOB]],
    ["nobody", "ERR_CERTIFICATE"],
    ["over", "ERR_CERTIFICATE"],
  ];
  for (const [name, expected] of cases)
    await context.test(name, async () =>
      assert.deepEqual(urisOf(await verify(await queryBy(name))), expected),
    );
});

test("a question is read as it was signed", async () => {
  const outcome = await verify(await queryBy("alice"));
  assert.ok(outcome.kind === "asker");
  assert.deepEqual([outcome.startLine, outcome.rows], [START_LINE, ROWS]);
});

test("a question that was changed, or not signed, is none", async () => {
  const request = await queryBy("alice");
  const body = Buffer.from(
    request.body.toString("latin1").replace("Call-ID: 1", "Call-ID: 2"),
    "latin1",
  );
  assert.equal(urisOf(await verify({ ...request, body })), "ERR_SIGNATURE");
  const plain = registerOf({ body: Buffer.from("To: 1\r\n"), contentType: "message/sipfrag" });
  assert.equal(urisOf(await verify(plain)), "ERR_SIGNATURE_MISSING");
});

test("a signer whose key was revoked asks in vain", async () => {
  files.makeUser("revoked", "root", ALICE);
  const keyId = keyIdOf(decodeCertificate(files.der("revoked")).publicKey);
  const request = await queryBy("revoked");
  assert.deepEqual(urisOf(await verify(request)), [ALICE]);
  await fixture.beside(async (database) => {
    await database.adoptKey({ keyId, aor: ALICE });
    database.revoke({ kind: "aor", aor: ALICE }, { at: Date.now(), reason: "keyCompromise" });
  });
  assert.equal(urisOf(await verify(request)), "ERR_CERTIFICATE");
});

test("signatures wait their turn by source", async () => {
  const request = await queryBy("bob");
  const most = SIGNATURE_LIMITS.running + SIGNATURE_LIMITS.waitingOfOne;
  const asked = Array.from({ length: most + 1 }, () => verify(request));
  const other = verify(request, "192.0.2.2");
  const outcomes = (await Promise.all(asked)).map(urisOf);
  assert.deepEqual(outcomes.slice(0, most), Array(most).fill([BOB]));
  assert.equal(outcomes.at(-1), undefined);
  assert.deepEqual(urisOf(await other), [BOB]);
});

test("answers are signed as body, with everything that was asked", async () => {
  const certificates = [files.der("alice"), files.der("alice2")];
  const signed = await fixture.ask("sign-answer", { rows: ROWS, certificates });
  assert.ok(signed.kind === "done");
  const answer = await verifyQueryAnswer(signed);
  assert.deepEqual(answer.rows, ROWS);
  assert.deepEqual(
    answer.certificates.map(({ encoded }) => encoded),
    certificates,
  );
  assert.deepEqual(answer.signer.encoded, files.der("ss1"));
  assert.ok(answer.signer.uris.includes(`sip:${DOMAIN}`));
});

test("an answer without certificates is our own fault, and said so without a code", async () => {
  const outcome = await fixture.ask("sign-answer", { rows: ROWS, certificates: [] });
  assert.deepEqual(outcome, { kind: "failed" });
});
