import assert from "node:assert/strict";
import { randomBytes as random } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  signQuery,
  signQueryAnswer,
  verifyQuery,
  verifyQueryAnswer,
} from "../../protocol/body/certificate-query.ts";
import {
  openRegistrationAnswer,
  sealRegistrationAnswer,
} from "../../protocol/body/registration-answer.ts";
import {
  decodeRegistration,
  openRegistration,
  type RegistrationRecipient,
  sealRegistration,
} from "../../protocol/body/registration-body.ts";
import type { ContentCipher } from "../../protocol/cms/algorithms.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Holder } from "../../protocol/cms/open-message.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import { entityOfBody, type MimeEntity, parseEntity, partsOf } from "../../protocol/mime/entity.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { Secret } from "../../protocol/secret.ts";
import { fragment, mixed, multipart, part, ROWS } from "../unit/body/craft-entity.ts";
import { makeAuthority, makeHost, makeIdentity, makeUser, NOW } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";
const START_LINE = `OPTIONS ${ALICE} SIP/2.0`;
/** The form of a password recipient's password: HA1 in lower-case hex. */
const PASSWORD = random(32).toString("hex");
const PKCS7_MIME = "application/pkcs7-mime";
const SIGNED = 'multipart/signed;protocol="application/pkcs7-signature"';

let bench: OpensslBench;
let authority: Identity;
let alice: Identity;
let bob: Identity;
let controllers: { readonly ec: Identity; readonly rsa: Identity };
let request: Buffer;
const kek = random(32);
const keyIdentifier = Buffer.from(ALICE);

before(async () => {
  bench = new OpensslBench();
  authority = await makeAuthority();
  alice = await makeUser(authority, ALICE);
  bob = await makeUser(authority, BOB);
  controllers = {
    ec: await makeHost(authority, "ss1.atlanta.example.com"),
    rsa: await makeIdentity({ commonName: "rsa", issuer: authority, keyType: "rsa" }),
  };
  for (const [name, identity] of Object.entries({ ca: authority, alice, bob, ...controllers }))
    bench.writeIdentity(name, identity);
  const made = bench.run([
    ...["req", "-new", "-key", "alice.key", "-subj", "/CN=alice", "-outform", "DER"],
    ...["-addext", `subjectAltName=URI:${ALICE}`],
  ]);
  assert.equal(made.status, 0, made.stderr);
  request = made.stdout;
});
after(() => bench.remove());

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex");

interface Party {
  readonly recipient: () => RegistrationRecipient;
  readonly holder: () => Holder;
  /** How OpenSSL names the recipient when it seals, and itself when it opens. */
  readonly seals: readonly string[];
  readonly opens: readonly string[];
}

const sharedKey = ["-secretkey", hex(kek), "-secretkeyid", hex(keyIdentifier)];
const PARTIES: Readonly<Record<string, Party>> = {
  "the controller's P-256 certificate": {
    recipient: () => ({ kind: "certificate", certificate: controllers.ec.certificate }),
    holder: () => ({ kind: "certificate", ...controllers.ec }),
    seals: ["-recip", "ec.pem"],
    opens: ["-recip", "ec.pem", "-inkey", "ec.key"],
  },
  "the controller's RSA certificate": {
    recipient: () => ({ kind: "certificate", certificate: controllers.rsa.certificate }),
    holder: () => ({ kind: "certificate", ...controllers.rsa }),
    seals: ["-recip", "rsa.pem", "-keyopt", "rsa_padding_mode:oaep"],
    opens: ["-recip", "rsa.pem", "-inkey", "rsa.key"],
  },
  "the user's shared key": {
    recipient: () => ({ kind: "kek", keyIdentifier, kek: new Secret(kek) }),
    holder: () => ({ kind: "kek", keyIdentifier, kek: new Secret(kek) }),
    seals: sharedKey,
    opens: sharedKey,
  },
  "the user's password": {
    recipient: () => ({ kind: "password", password: new Secret(Buffer.from(PASSWORD)) }),
    holder: () => ({ kind: "password", password: new Secret(Buffer.from(PASSWORD)) }),
    seals: ["-pwri_password", PASSWORD],
    opens: ["-pwri_password", PASSWORD],
  },
};
const CIPHERS = [
  "aes-256-gcm",
  "aes-128-gcm",
  "aes-256-cbc",
  "aes-128-cbc",
] satisfies ContentCipher[];

describe("REGISTER and OpenSSL", () => {
  const decrypt = ["cms", "-decrypt", "-binary", "-inform", "DER"];

  for (const [what, party] of Object.entries(PARTIES))
    for (const cipher of CIPHERS) {
      test(`OpenSSL opens ours by ${what}, ${cipher}`, async () => {
        const claim = { kind: "request", request } as const;
        const recipient = party.recipient();
        const { body } = await sealRegistration({ rows: ROWS, claim, recipient, cipher, random });
        const opened = bench.run([...decrypt, ...party.opens], body);
        assert.equal(opened.status, 0, opened.stderr);
        const [rows, pkcs10] = partsOf(parseEntity(opened.stdout));
        assert.equal(rows?.contentType.type, "message/sipfrag");
        assert.ok(rows.body.includes("Call-ID: reg-1j9FpLxk3uxtm8tn@192.0.2.101\r\n"));
        assert.equal(pkcs10?.contentType.type, "application/pkcs10");
        const read = bench.run(["req", "-inform", "DER", "-verify", "-noout"], pkcs10.body);
        assert.equal(read.status, 0, read.stderr);
      });

      const isBeyondOpenssl = what.includes("password") && cipher.endsWith("gcm");
      if (isBeyondOpenssl) continue; // OpenSSL 3.0 wraps a password's key by the content's cipher
      test(`we open OpenSSL's by ${what}, ${cipher}`, async () => {
        const content = mixed(fragment(), part("application/pkcs10", request));
        const encrypt = ["cms", "-encrypt", "-binary", "-outform", "DER", `-${cipher}`];
        const sealed = bench.run([...encrypt, ...party.seals], content);
        assert.equal(sealed.status, 0, sealed.stderr);
        const holders = [party.holder()];
        const registration = { body: sealed.stdout, contentType: PKCS7_MIME };
        const opened = await openRegistration(decodeRegistration(registration), holders);
        assert.deepEqual(opened.rows, ROWS);
        assert.deepEqual(opened.claim, { kind: "request", request });
        assert.equal(opened.firstKey.cipher, cipher);
      });
    }

  test("OpenSSL does not open ours with another key or password", async () => {
    const claim = { kind: "none" } as const;
    for (const [what, wrong] of [
      ["the controller's P-256 certificate", ["-recip", "ec.pem", "-inkey", "alice.key"]],
      [
        "the user's shared key",
        ["-secretkey", "00".repeat(32), "-secretkeyid", hex(keyIdentifier)],
      ],
      ["the user's password", ["-pwri_password", "other"]],
    ] as const) {
      const recipient = PARTIES[what]?.recipient();
      assert.ok(recipient);
      const { body } = await sealRegistration({ rows: ROWS, claim, recipient, random });
      assert.notEqual(bench.run([...decrypt, ...wrong], body).status, 0, what);
    }
  });

  test("we do not open OpenSSL's with another password", async () => {
    const encrypt = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc"];
    const sealed = bench.run([...encrypt, "-pwri_password", "other"], mixed(fragment()));
    assert.equal(sealed.status, 0, sealed.stderr);
    const holders = [PARTIES["the user's password"]?.holder()].filter((one) => one !== undefined);
    await assert.rejects(
      openRegistration(
        decodeRegistration({ body: sealed.stdout, contentType: PKCS7_MIME }),
        holders,
      ),
      (error) => isProtocolError(error, "ERR_CMS_DECRYPT"),
    );
  });

  test("one message for certificate, shared key and password together", async () => {
    const encrypt = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc"];
    const everybody = [...(PARTIES["the user's password"]?.seals ?? []), ...sharedKey];
    const content = mixed(fragment());
    const sealed = bench.run([...encrypt, ...everybody, "-recip", "ec.pem"], content);
    assert.equal(sealed.status, 0, sealed.stderr);
    for (const [what, party] of Object.entries(PARTIES)) {
      if (what.includes("RSA")) continue;
      const registration = { body: sealed.stdout, contentType: PKCS7_MIME };
      const opened = await openRegistration(decodeRegistration(registration), [party.holder()]);
      assert.deepEqual(opened.rows, ROWS);
    }
  });

  test("OpenSSL verifies the signature of an existing certificate", async () => {
    for (const [name, identity] of Object.entries({ alice, rsa: controllers.rsa })) {
      const { body } = await sealRegistration({
        rows: ROWS,
        claim: { kind: "certificate", identity },
        recipient: { kind: "certificate", certificate: controllers.ec.certificate },
        random,
      });
      const opened = bench.run([...decrypt, "-recip", "ec.pem", "-inkey", "ec.key"], body);
      assert.equal(opened.status, 0, opened.stderr);
      const content = verifyByOpenssl(parseEntity(opened.stdout), name);
      assert.ok(content.includes("application/pkix-cert"));
    }
  });
});

/** Has OpenSSL verify a multipart/signed over exact octets by the authority; returns what was signed. */
function verifyByOpenssl(entity: MimeEntity, signer: string): Buffer {
  const [content, signature] = partsOf(entity);
  assert.ok(content && signature);
  bench.write("content", content.octets);
  const verify = ["cms", "-verify", "-binary", "-inform", "DER", "-CAfile", "ca.pem"];
  const when = ["-attime", String(NOW / 1000), "-signer", "signer.pem", "-content", "content"];
  const verified = bench.run([...verify, ...when], signature.body);
  assert.equal(verified.status, 0, verified.stderr);
  assert.deepEqual(verified.stdout, content.octets);
  const nameOf = (file: string): string =>
    bench
      .run(["x509", "-in", file, "-noout", "-serial", "-fingerprint", "-sha256"])
      .stdout.toString();
  assert.equal(nameOf("signer.pem"), nameOf(`${signer}.pem`));

  const altered = Buffer.from(content.octets);
  altered[altered.length >> 1] = (altered[altered.length >> 1] ?? 0) ^ 1;
  bench.write("content", altered);
  assert.notEqual(bench.run([...verify, ...when], signature.body).status, 0);
  return content.octets;
}

/** The content, signed by OpenSSL, as a SIP message carries it. */
function signedByOpenssl(content: Buffer, signer: string) {
  const sign = ["cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256"];
  const by = ["-signer", `${signer}.pem`, "-inkey", `${signer}.key`];
  const made = bench.run([...sign, ...by, "-certfile", "ca.pem"], content);
  assert.equal(made.status, 0, made.stderr);
  const signature = part("application/pkcs7-signature", made.stdout);
  const entity = parseEntity(multipart(SIGNED, [content, signature]));
  const [header] = entity.headers;
  assert.ok(header);
  return { body: entity.body, contentType: header.value };
}

describe("the 200 of a REGISTER and OpenSSL", () => {
  const reference = random(16);
  const firstKey: FirstKey = { cek: new Secret(random(32)), cipher: "aes-256-gcm", reference };
  const reversed = Buffer.from(firstKey.cek.expose()).reverse();
  const underFirstKey = ["-secretkey", hex(reversed), "-secretkeyid", hex(reference)];
  const decrypt = ["cms", "-decrypt", "-binary", "-inform", "DER"];

  const answerBy = (signer: Identity, to: Parameters<typeof sealRegistrationAnswer>[0]["to"]) =>
    sealRegistrationAnswer({
      rows: ROWS,
      certificate: alice.certificate,
      controllers: [controllers.ec.certificate],
      trust: [{ domain: "atlanta.example.com", anchors: [authority.certificate] }],
      to,
      signer,
      chain: [authority.certificate],
      random,
    });

  for (const name of ["ec", "rsa"] as const) {
    test(`OpenSSL verifies ours by ${name}, and opens it under the first key`, async () => {
      const { body, contentType } = await answerBy(controllers[name], {
        kind: "first-key",
        firstKey,
      });
      const entity = entityOfBody(body, contentType);
      const [content] = partsOf(entity);
      verifyByOpenssl(entity, name);
      assert.ok(content);
      const opened = bench.run([...decrypt, ...underFirstKey], content.body);
      assert.equal(opened.status, 0, opened.stderr);
      const parts = partsOf(parseEntity(opened.stdout));
      assert.equal(parts.length, 4);
      const read = bench.run(["x509", "-inform", "DER", "-outform", "DER"], parts[1]?.body);
      assert.deepEqual(read.stdout, alice.certificate);
    });

    test(`we open OpenSSL's, signed by ${name}, under the first key`, async () => {
      const inner = mixed(fragment(), part("application/pkix-cert", alice.certificate, "signal"));
      const encrypt = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-gcm"];
      const sealed = bench.run([...encrypt, ...underFirstKey], inner);
      assert.equal(sealed.status, 0, sealed.stderr);
      const answer = signedByOpenssl(part(PKCS7_MIME, sealed.stdout), name);
      const opened = await openRegistrationAnswer({ ...answer, holders: { firstKey } });
      assert.deepEqual(opened.rows, ROWS);
      assert.deepEqual(opened.certificate?.encoded, alice.certificate);
      assert.deepEqual(opened.signer.encoded, controllers[name].certificate);
    });
  }

  test("OpenSSL opens ours with the device's new key", async () => {
    const to = { kind: "certificate", certificate: alice.certificate } as const;
    const { body, contentType } = await answerBy(controllers.ec, to);
    const [content] = partsOf(entityOfBody(body, contentType));
    const opened = bench.run(
      [...decrypt, "-recip", "alice.pem", "-inkey", "alice.key"],
      content?.body,
    );
    assert.equal(opened.status, 0, opened.stderr);
    assert.ok(opened.stdout.includes(alice.certificate));
  });
});

describe("the question for a certificate and OpenSSL", () => {
  test("OpenSSL verifies ours", async () => {
    const { body, contentType } = await signQuery({
      startLine: START_LINE,
      rows: ROWS,
      signer: bob,
      random,
    });
    const content = verifyByOpenssl(entityOfBody(body, contentType), "bob");
    assert.ok(content.includes(`\r\n\r\n${START_LINE}\r\nFrom: `));
  });

  test("we verify OpenSSL's", async () => {
    const content = part("message/sipfrag", Buffer.from(`${START_LINE}\r\nCSeq: 1 OPTIONS\r\n`));
    const read = await verifyQuery(signedByOpenssl(content, "bob"));
    assert.equal(read.startLine, START_LINE);
    assert.deepEqual(read.rows, [["CSeq", "1 OPTIONS"]]);
    assert.deepEqual(read.signer.encoded, bob.certificate);
  });

  for (const name of ["ec", "rsa"] as const) {
    test(`OpenSSL verifies our answer by ${name}, and reads its certificates`, async () => {
      const { body, contentType } = await signQueryAnswer({
        rows: ROWS,
        certificates: [alice.certificate, bob.certificate],
        signer: controllers[name],
        chain: [authority.certificate],
        random,
      });
      const content = parseEntity(verifyByOpenssl(entityOfBody(body, contentType), name));
      const [, ...certificates] = partsOf(content);
      assert.equal(certificates.length, 2);
      for (const one of certificates) {
        bench.write("asked.der", one.body);
        const verified = bench.run([
          ...["verify", "-CAfile", "ca.pem", "-attime", String(NOW / 1000), "asked.der"],
        ]);
        assert.equal(verified.status, 0, verified.stderr);
      }
    });

    test(`we verify OpenSSL's answer by ${name}`, async () => {
      const certificate = part("application/pkix-cert", alice.certificate);
      const answer = signedByOpenssl(mixed(fragment(), certificate), name);
      const read = await verifyQueryAnswer(answer);
      assert.deepEqual(read.rows, ROWS);
      assert.deepEqual(read.certificates[0]?.encoded, alice.certificate);
      assert.deepEqual(
        read.others.map(({ encoded }) => encoded),
        [authority.certificate],
      );
    });
  }
});
