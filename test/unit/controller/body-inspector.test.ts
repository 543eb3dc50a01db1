import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { controllerSchema } from "../../../controller/config.ts";
import type { AuthorityDirectory } from "../../../controller/core/authority-policy.ts";
import { BodyInspector } from "../../../controller/io/body-inspector.ts";
import { loadCredentials } from "../../../controller/io/credentials.ts";
import { DomainTrust } from "../../../controller/io/domain-trust.ts";
import { sealOffer } from "../../../protocol/body/seal-body.ts";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { keyIdOf } from "../../../protocol/pki/public-key.ts";
import { parseConfig } from "../../../runtime/config-file.ts";
import { createLogger } from "../../../runtime/logger.ts";
import { ALICE, AUTHORITY_CONFIG, AuthorityFiles } from "./authority-files.ts";
import { ROWS, registerOf } from "./office-fixture.ts";

const BOB = "sip:bob@biloxi.example.com";
let files: AuthorityFiles;
let inspector: BodyInspector;
/** By key, and by certificate as other authorities' lists have them. */
const revoked = new Set<string>();
const listed = new Set<string>();

before(() => {
  files = new AuthorityFiles();
  files.write("alice.shared", "00".repeat(16));
  const file = files.write("controller.toml", AUTHORITY_CONFIG);
  const { body, authority } = loadCredentials(
    file,
    parseConfig(AUTHORITY_CONFIG, controllerSchema),
  );
  assert.ok(body !== undefined);
  const directory: Pick<AuthorityDirectory, "isRevoked"> = {
    isRevoked: ({ keyId, der = "" }) => revoked.has(keyId) || listed.has(der),
  };
  const trust = new DomainTrust({ body, authority, directory });
  const log = createLogger("controller", "silent");
  inspector = new BodyInspector({ holder: body.identity, trust, log });
});

after(() => files.remove());

/** Whom the inspector believes to have signed, or why nobody. */
async function signerOf(name: string): Promise<readonly string[] | string> {
  const sealed = await sealOffer({
    ...{ sipfrag: ROWS, sdp: Buffer.from("v=0\r\n"), signer: files.identity(name) },
    ...{ recipients: [files.der("ss1")], form: "rfc3185", random: randomBytes },
  });
  const inspection = await inspector.inspect(registerOf(sealed), undefined);
  return inspection.kind === "opened" ? inspection.body.signer : inspection.code;
}

test("whoever signs a call is known by the anchors of his own domain alone", async (context) => {
  files.makeUser("alice", "root", ALICE);
  files.makeUser("alice2", "issuer", ALICE);
  files.makeUser("bob", "biloxi", BOB);
  files.makeUser("liar", "biloxi", ALICE);
  files.makeUser("bobHere", "root", BOB);
  files.makeUser("both", "biloxi", `${BOB},URI:${ALICE}`);
  files.makeUser("carol", "root", "sip:carol@chicago.example.com");
  const cases: readonly [name: string, expected: readonly string[] | string][] = [
    ["alice", [ALICE]],
    ["alice2", [ALICE]],
    ["bob", [BOB]],
    ["liar", "ERR_CERTIFICATE"],
    ["bobHere", "ERR_CERTIFICATE"],
    ["both", "ERR_CERTIFICATE"],
    ["carol", ["sip:carol@chicago.example.com"]],
  ];
  for (const [name, expected] of cases)
    await context.test(name, async () => assert.deepEqual(await signerOf(name), expected));
});

test("a key that our authority revoked signs no call any more", async () => {
  files.makeUser("gone", "issuer", ALICE);
  assert.deepEqual(await signerOf("gone"), [ALICE]);
  revoked.add(keyIdOf(decodeCertificate(files.der("gone")).publicKey));
  assert.equal(await signerOf("gone"), "ERR_CERTIFICATE");
});

test("a certificate on the list of its own authority signs no call any more", async () => {
  files.makeUser("corporate", "root", ALICE);
  assert.deepEqual(await signerOf("corporate"), [ALICE]);
  listed.add(files.der("corporate").toString("base64"));
  assert.equal(await signerOf("corporate"), "ERR_CERTIFICATE");
});
