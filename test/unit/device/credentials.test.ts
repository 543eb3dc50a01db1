import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type DeviceConfig, deviceSchema } from "../../../device/config.ts";
import type { RegistrationRecord } from "../../../device/core/registration-record.ts";
import { loadCredentials } from "../../../device/io/credentials.ts";
import { loadRegistrarSecrets } from "../../../device/io/registrar-secrets.ts";
import { writeRegistration } from "../../../device/io/registration-store.ts";
import { Trust } from "../../../device/io/trust.ts";
import { encodeCertificatePem } from "../../../protocol/pki/certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { Secret } from "../../../protocol/secret.ts";
import { digestHa1 } from "../../../protocol/sip/digest.ts";
import { ConfigError } from "../../../runtime/config-file.ts";
import { makeAuthority, makeHost, makeUser, NOT_AFTER, NOW } from "../pki/make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";

let folder: string;
let file: string;
let authority: Identity;
let biloxi: Identity;
let alice: Identity;
let registered: Identity;
let controller: Identity;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "kh-credentials-"));
  file = join(folder, "device.toml");
  [authority, biloxi] = [await makeAuthority(), await makeAuthority("biloxi")];
  alice = await makeUser(authority, ALICE);
  registered = await makeUser(authority, ALICE);
  controller = await makeHost(authority, "ss1.atlanta.example.com");
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  put("device.toml", "");
  put("ca.pem", encodeCertificatePem(authority.certificate));
  put("alice.pem", encodeCertificatePem(alice.certificate));
  put("alice.key", alice.privateKey.export({ format: "pem", type: "pkcs8" }).toString());
  put("ss1.pem", encodeCertificatePem(controller.certificate));
  put("password", "the word of alice\nmore\n");
  put("shared.hex", `${"0A".repeat(32)}\n`);
  put("empty", "\n");
});
after(() => rmSync(folder, { recursive: true, force: true }));

function configOf(more: Record<string, unknown> = {}): DeviceConfig {
  return deviceSchema.parse({
    ...{ aor: ALICE, address: "192.0.2.101", trust: { anchors: ["ca.pem"] } },
    registration: { store: "alice.json", controller: "ss1.pem" },
    ...more,
  });
}

function keep(more: Partial<RegistrationRecord> = {}): void {
  writeRegistration(join(folder, "alice.json"), {
    ...{ aor: ALICE, instance: "urn:uuid:00000000-0000-1000-8000-aabbccddeeff" },
    ...{ privateKey: registered.privateKey, certificate: registered.certificate },
    ...{ former: [], chain: [biloxi.certificate], controllers: [controller.certificate] },
    trust: [{ domain: "biloxi.example.com", anchors: [biloxi.certificate] }],
    ...more,
  });
}

test("before the first registration there is nobody to be; TLS shows no certificate", () => {
  const credentials = loadCredentials(file, configOf(), NOW);
  assert.equal(credentials.own, undefined);
  assert.equal(credentials.tls.certificate, "");
  assert.equal(credentials.tls.key, "");
});

test("registered: the kept certificate signs, opens and shows itself, and controllers are known", () => {
  keep();
  const { own, tls, controllers } = loadCredentials(file, configOf(), NOW);
  assert.ok(own?.identity.certificate.equals(registered.certificate));
  assert.deepEqual(own?.chain, [biloxi.certificate]);
  const pem = [registered.certificate, biloxi.certificate].map(encodeCertificatePem).join("");
  assert.equal(tls.certificate, pem);
  assert.deepEqual(controllers, [
    { host: "ss1.atlanta.example.com", certificate: controller.certificate },
  ]);
});

test("registered: it comes before the identity of the configuration, until it ends", () => {
  keep();
  const config = configOf({ identity: { certificate: "alice.pem", key: "alice.key" } });
  const during = loadCredentials(file, config, NOW);
  assert.ok(during.own?.identity.certificate.equals(registered.certificate));
  assert.ok(during.configured?.identity.certificate.equals(alice.certificate));
  const afterwards = loadCredentials(file, config, NOT_AFTER.getTime());
  assert.ok(afterwards.own?.identity.certificate.equals(alice.certificate));
});

test("a certificate registered as it is has its key in the configuration alone", () => {
  const { privateKey: _none, ...own } = { privateKey: 0, certificate: alice.certificate };
  writeRegistration(join(folder, "alice.json"), {
    ...{ aor: ALICE, instance: "urn:uuid:00000000-0000-1000-8000-aabbccddeeff", ...own },
    ...{ former: [], chain: [], controllers: [], trust: [] },
  });
  const config = configOf({ identity: { certificate: "alice.pem", key: "alice.key" } });
  assert.ok(loadCredentials(file, config, NOW).own?.identity.certificate.equals(alice.certificate));
  assert.equal(loadCredentials(file, configOf(), NOW).own, undefined);
});

test("controllers that the configuration names come before those that were learnt", () => {
  keep({ controllers: [] });
  const { controllers } = loadCredentials(
    file,
    configOf({ sealing: { controllers: ["ss1.pem"] } }),
    NOW,
  );
  assert.equal(controllers[0]?.host, "ss1.atlanta.example.com");
});

test("what was learnt without a DNS name can be named in no label", () => {
  keep({ controllers: [alice.certificate] });
  assert.deepEqual(loadCredentials(file, configOf(), NOW).controllers, []);
});

test("another domain is vouched for by its own anchors alone, ours by the configured ones", () => {
  const own = [authority.certificate];
  const trust = new Trust(ALICE, own, [
    { domain: "Biloxi.example.com", anchors: [biloxi.certificate] },
    { domain: "atlanta.example.com", anchors: [biloxi.certificate] },
  ]);
  assert.deepEqual(trust.anchorsOf("biloxi.EXAMPLE.com"), [biloxi.certificate]);
  assert.deepEqual(trust.anchorsOf("atlanta.example.com"), own);
  assert.deepEqual(trust.anchorsOf("elsewhere.example.com"), own);
  assert.deepEqual(trust.anchorsFor({ uris: [BOB] }), [biloxi.certificate]);
  assert.deepEqual(trust.anchorsFor({ uris: [ALICE, BOB] }), []);
  assert.deepEqual(trust.anchorsFor({ uris: [] }), []);
  assert.deepEqual(trust.anchorsFor({ uris: ["mailto:bob@biloxi.example.com"] }), []);
});

const secretsOf = (registration: Record<string, unknown>) => {
  const config = configOf({ registration: { store: "alice.json", ...registration } });
  return loadRegistrarSecrets(file, config, config.registration ?? assert.fail());
};

test("sealed for the controller's certificate, whose DNS name the label names", () => {
  const secrets = secretsOf({ controller: "ss1.pem", password: "password" });
  assert.deepEqual(secrets.recipient, {
    ...{ kind: "certificate", certificate: controller.certificate },
  });
  assert.equal(secrets.controllerHost, "ss1.atlanta.example.com");
  assert.equal(secrets.username, "alice");
  assert.equal(secrets.password?.expose().toString(), "the word of alice");
});

test("sealed under a shared key that is named by the address of record", () => {
  const { recipient } = secretsOf({
    ...{ protection: "shared-key", sharedKey: "shared.hex", controllerName: "ss1" },
  });
  assert.ok(recipient.kind === "kek");
  assert.equal(recipient.keyIdentifier.toString(), ALICE);
  assert.deepEqual(recipient.kek.expose(), Buffer.alloc(32, 10));
});

test("sealed under the password as the registrar knows it: H(user:realm:password)", () => {
  const { recipient, username } = secretsOf({
    ...{ protection: "password", password: "password", controllerName: "ss1" },
    username: "alice.1",
  });
  const word = new Secret(Buffer.from("the word of alice"));
  const ha1 = digestHa1("alice.1", "atlanta.example.com", word);
  assert.ok(recipient.kind === "password");
  assert.deepEqual(recipient.password.expose(), ha1.expose());
  assert.equal(username, "alice.1");
});

const FAULTS: readonly (readonly [name: string, table: Record<string, unknown>, path: string])[] = [
  ["a password that is not there", { controller: "ss1.pem", password: "none" }, "password"],
  ["an empty password", { controller: "ss1.pem", password: "empty" }, "password"],
  ["a controller's certificate that is none", { controller: "password" }, "controller"],
  ["a controller without DNS name", { controller: "alice.pem" }, "controller"],
  [
    "a shared key of words",
    { protection: "shared-key", sharedKey: "password", controllerName: "x" },
    "sharedKey",
  ],
];

for (const [name, table, path] of FAULTS)
  test(`refused with its path, and not quoted: ${name}`, () => {
    assert.throws(
      () => secretsOf(table),
      (error) =>
        error instanceof ConfigError &&
        error.faults.some((fault) => fault.path === `registration.${path}`) &&
        !error.message.includes("the word"),
    );
  });
