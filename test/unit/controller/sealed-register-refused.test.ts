/** Sealed registrations that must fail: each has its code, and leaves everything as it was. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Claim } from "../../../controller/core/certificate-port.ts";
import { sealEnvelope } from "../../../protocol/cms/seal-message.ts";
import type { ProtocolErrorCode } from "../../../protocol/errors.ts";
import { Secret } from "../../../protocol/secret.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import { headerValue, type SipRequest, withBody } from "../../../protocol/sip/message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import {
  asked,
  assertRefused,
  CertificateDriver,
  certificateClaim,
  innerRows,
  KEYS,
  type Opening,
  PHONE_CONTACT,
  type RegisterSketch,
  requestClaim,
  ruleless,
  sealedRegister,
  standing,
  storedBy,
} from "./certificate-fixture.ts";
import {
  CERTIFICATE,
  DAVE,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  peerWith,
  responsesOf,
  statusOf,
} from "./proxy-fixture.ts";

const MINUTE_MS = 60_000;
const KEK = new Secret(Buffer.alloc(32, 1));
const FROM_DAVE = peerWith(FROM_ALICE, { identities: [DAVE] }, "flow-dave");

interface Case {
  readonly name: string;
  readonly status: number;
  readonly warning?: RegExp;
  readonly sketch?: RegisterSketch;
  readonly arrival?: Arrival;
  readonly claim?: Claim;
  /** Changes to the rows inside. */
  readonly inner?: Readonly<Record<string, string | undefined>>;
  readonly prepare?: (driver: CertificateDriver) => void;
}

const moved = (byMs: number) => serializeSipDate(NOW + byMs);

const JUDGED: readonly Case[] = [
  {
    name: "another user's name",
    status: 403,
    warning: /399 ss1\.atlanta\.example\.com "Certificate is asked for another name"/,
    claim: requestClaim({ uris: [DAVE] }),
  },
  { name: "two names", status: 403, claim: requestClaim({ uris: [ALICE, DAVE] }) },
  { name: "one's own name twice", status: 403, claim: requestClaim({ uris: [ALICE, ALICE] }) },
  { name: "no name", status: 403, claim: requestClaim({ uris: [] }) },
  { name: "a name that is no SIP URI", status: 403, claim: requestClaim({ uris: ["tel:1"] }) },
  {
    name: "a weak RSA key",
    status: 403,
    warning: /Key type/,
    claim: requestClaim({ publicKey: KEYS.rsa1024 }),
  },
  { name: "another curve", status: 403, claim: requestClaim({ publicKey: KEYS.p384 }) },
  {
    name: "a weak key in an existing certificate",
    status: 403,
    claim: certificateClaim({ publicKey: KEYS.rsa1024 }),
  },
  {
    name: "a key that was certified for another user",
    status: 403,
    warning: /another user/,
    claim: requestClaim({ keyId: "key-dave" }),
    prepare: ({ book }) => book.owners.set("key-dave", DAVE),
  },
  {
    name: "a key that another user has in service",
    status: 403,
    claim: certificateClaim({ keyId: "key-dave" }),
    prepare: (driver) => {
      const claim = certificateClaim({ keyId: "key-dave", uris: [DAVE] });
      driver.register(sealedRegister({ user: DAVE, expires: 60 }), { claim }, FROM_DAVE);
      driver.book.owners.clear();
    },
  },
  {
    name: "a revoked key",
    status: 403,
    warning: /revoked/,
    claim: requestClaim({ keyId: "key-lost" }),
    prepare: ({ book }) => book.revoked.add("key-lost"),
  },
  {
    name: "a revoked certificate",
    status: 403,
    claim: certificateClaim(),
    prepare: ({ book }) => book.revoked.add("fingerprint-own"),
  },
  { name: "a certificate of another", status: 403, claim: certificateClaim({ uris: [DAVE] }) },
  {
    name: "a certificate that is over",
    status: 403,
    warning: /out of date/,
    claim: certificateClaim({ notAfter: NOW }),
  },
  {
    name: "another Contact inside",
    status: 403,
    warning: /differ/,
    inner: { Contact: "<sip:mallory@10.10.0.9>" },
  },
  { name: "all contacts inside, one outside", status: 403, inner: { Contact: "*", Expires: "0" } },
  {
    name: "two contacts inside",
    status: 403,
    inner: { Contact: `${PHONE_CONTACT}, <sip:alice@10.10.0.3>` },
  },
  { name: "a Contact inside that cannot be read", status: 403, inner: { Contact: "<sip:" } },
  {
    name: "a longer time outside",
    status: 403,
    sketch: { contacts: [`${PHONE_CONTACT};expires=7200`] },
    inner: { Contact: PHONE_CONTACT, Expires: "60" },
  },
  { name: "another time inside", status: 403, sketch: { expires: 60 }, inner: { Expires: "7200" } },
  {
    name: "another instance inside",
    status: 403,
    inner: { Contact: `${PHONE_CONTACT};+sip.instance="<urn:x>"` },
  },
  { name: "another Call-ID inside", status: 403, inner: { "Call-ID": "other" } },
  { name: "another CSeq inside", status: 403, inner: { CSeq: "999 REGISTER" } },
  { name: "another method inside", status: 403, inner: { CSeq: "1 INVITE" } },
  { name: "another user in From inside", status: 403, inner: { From: `<${DAVE}>;tag=r1` } },
  { name: "another tag in From inside", status: 403, inner: { From: `<${ALICE}>;tag=r2` } },
  { name: "another user in To inside", status: 403, inner: { To: `<${DAVE}>` } },
  { name: "no To inside", status: 403, inner: { To: undefined } },
  { name: "no Date inside", status: 403, inner: { Date: undefined } },
  {
    name: "a clock an hour behind",
    status: 403,
    warning: /Date/,
    inner: { Date: moved(-60 * MINUTE_MS) },
  },
  { name: "a clock an hour ahead", status: 403, inner: { Date: moved(60 * MINUTE_MS) } },
  { name: "a clock more than five minutes behind", status: 403, inner: { Date: moved(-301_000) } },
  { name: "a clock more than five minutes ahead", status: 403, inner: { Date: moved(301_000) } },
  { name: "a Date that is none", status: 403, inner: { Date: "today" } },
  { name: "too short a time", status: 423, sketch: { expires: 5 } },
  { name: "a loopback contact", status: 403, sketch: { contacts: ["<sip:a@127.0.0.1>"] } },
  {
    name: "two contacts for one certificate",
    status: 400,
    sketch: { contacts: [PHONE_CONTACT, "<sip:alice@10.10.0.3>"] },
  },
  { name: "a certificate for no location", status: 400, sketch: { contacts: [] } },
  {
    name: "overtaken by a later one",
    status: 500,
    sketch: { callId: "before", cseq: 9 },
  },
  { name: "a Require that is not known", status: 420, sketch: { rows: ["Require: gruu"] } },
];

for (const { name, status, warning, sketch, arrival, claim, inner, prepare } of JUDGED)
  test(`refused with ${status}: ${name}`, () => {
    const driver = standing();
    prepare?.(driver);
    const request = sealedRegister(sketch);
    const opening: Opening = {
      ...(claim === undefined ? {} : { claim }),
      rows: innerRows(request, NOW, inner),
    };
    const effects = driver.judge(request, opening, arrival);
    assertRefused(driver, effects, status, warning);
    assert.equal(driver.wiped, 1, "the reply is wiped");
    const isStale = warning?.source === "Date";
    const date = headerValue(responsesOf(effects)[0]?.response ?? { headers: [] }, "Date");
    if (isStale) assert.equal(date, serializeSipDate(NOW));
  });

for (const byMs of [-300_000, 300_000])
  test(`a clock that is off by ${byMs / 1000} s is tolerated`, () => {
    const driver = standing();
    driver.now += 999;
    const request = sealedRegister();
    const rows = innerRows(request, NOW, { Date: moved(byMs) });
    asked(driver.judge(request, { rows }), "certify");
  });

const BODIES: readonly (readonly [ProtocolErrorCode | undefined, number])[] = [
  ["ERR_CMS_NO_RECIPIENT", 493],
  ["ERR_CMS_DECRYPT", 493],
  ["ERR_CMS_SYNTAX", 493],
  ["ERR_CMS_UNSUPPORTED", 493],
  ["ERR_BODY", 493],
  ["ERR_MIME_SYNTAX", 493],
  ["ERR_CERTIFICATE_REQUEST", 403],
  ["ERR_SIGNATURE", 403],
  ["ERR_SIGNATURE_MISSING", 403],
  ["ERR_CERTIFICATE", 403],
  [undefined, 500],
];

for (const [code, status] of BODIES)
  test(`a body that the desk refuses as ${code ?? "a fault of ours"}: ${status}`, () => {
    const driver = standing();
    const { ref } = asked(driver.receive(sealedRegister()), "open-registration");
    const outcome = { kind: "failed", ...(code === undefined ? {} : { code }) } as const;
    const effects = driver.feed({ kind: "registration-opened", ref, outcome });
    assertRefused(driver, effects, status);
    const [answer] = responsesOf(effects);
    assert.ok(answer !== undefined);
    const { response } = answer;
    if (status === 493) {
      assert.equal(headerValue(response, "Content-Type"), "application/pkix-cert");
      assert.deepEqual(response.body, CERTIFICATE);
    }
    assert.equal(headerValue(response, "Retry-After"), status === 500 ? "5" : undefined);
  });

const UNOPENED: readonly Case[] = [
  {
    name: "a label for another proxy alone",
    status: 493,
    sketch: { rows: ['Proxy-Inspect-Body: ss2.biloxi.example.com;cid="a@b"', "Content-ID: <a@b>"] },
  },
  {
    name: "a label for another body",
    status: 403,
    sketch: {
      rows: ['Proxy-Inspect-Body: ss1.atlanta.example.com;cid="a@b"', "Content-ID: <c@d>"],
    },
  },
  { name: "a label that cannot be read", status: 400, sketch: { rows: ["Proxy-Inspect-Body: ;"] } },
  { name: "a Contact that cannot be read", status: 400, sketch: { contacts: ["<sip:"] } },
  { name: "another user's binding", status: 403, sketch: { user: DAVE, from: `<${ALICE}>;tag=1` } },
  { name: "nobody's credentials", status: 401, arrival: FROM_NOBODY },
  { name: "from a trunk", status: 403, arrival: FROM_BILOXI },
  {
    name: "private, from a trunk",
    status: 403,
    arrival: FROM_BILOXI,
    sketch: { contacts: [] },
  },
];

for (const { name, status, sketch, arrival } of UNOPENED)
  test(`refused unopened with ${status}: ${name}`, () => {
    const driver = standing();
    assertRefused(driver, driver.receive(sealedRegister(sketch), arrival), status);
  });

/** An envelope that anybody on the way can change; for whom it is, the fixture's desk does not mind. */
function malleable(request: SipRequest): SipRequest {
  const { message } = sealEnvelope({
    content: Buffer.from("whatever"),
    cipher: "aes-256-cbc",
    recipients: [{ kind: "kek", keyIdentifier: Buffer.from("key"), kek: KEK }],
    random: (size) => Buffer.alloc(size, 7),
  });
  return withBody(request, message);
}

test("CBC of who has not proved himself is not opened: any word on its content is an oracle", () => {
  const driver = standing();
  const hidden = malleable(sealedRegister({ contacts: [] }));
  assertRefused(driver, driver.receive(hidden, FROM_NOBODY), 493);
});

for (const [name, changed] of [
  ["rows of another's", { From: `<${DAVE}>;tag=r1`, To: `<${DAVE}>` }],
  ["an old Date", { Date: moved(-400_000) }],
  ["another Contact", { Contact: "<sip:alice@10.10.0.9>" }],
] as const)
  test(`CBC that opened to ${name} reads like one that did not open: 493`, () => {
    const driver = standing();
    const request = malleable(sealedRegister({ expires: 60 }));
    const rows = innerRows(request, NOW, changed);
    assertRefused(driver, driver.judge(request, { rows }), 493);
    asked(driver.judge(malleable(sealedRegister({ expires: 60 }))), "certify");
  });

for (const step of ["opened", "certified"] as const)
  test(`a TLS identity that goes out of service before a body is ${step} registers nothing`, () => {
    const driver = standing();
    const certificate = { fingerprint: "f".repeat(64), keyId: "key-tls" };
    const arrival = peerWith(FROM_ALICE, { certificate }, "flow-tls");
    const request = sealedRegister({ expires: 60 });
    const { ref } = asked(driver.receive(request, arrival), "open-registration");
    const outcome = driver.opened(request, { claim: requestClaim({ keyId: "key-new" }) });
    if (step === "opened") driver.book.revoked.add("key-tls");
    const judged = driver.feed({ kind: "registration-opened", ref, outcome });
    if (step === "opened") return assertRefused(driver, judged, 403, /do not cover/);
    driver.book.revoked.add("key-tls");
    assertRefused(driver, driver.certify(asked(judged, "certify")), 500, /has changed/);
  });

test("a REGISTER that comes again is refused, in whatever envelope", () => {
  const driver = standing();
  const request = sealedRegister({ expires: 60 });
  driver.register(request);
  const again = driver.judge({ ...request, body: Buffer.from("another envelope") });
  assertRefused(driver, again, 403, /used before/);
});

test("without an authority nothing sealed is opened; what may be ignored is", () => {
  const driver = new CertificateDriver();
  driver.feed({ kind: "reload", rules: ruleless() });
  const refused = driver.receive(sealedRegister());
  assert.equal(statusOf(refused), 488);
  assert.equal(statusOf(driver.receive(sealedRegister({ contacts: [] }), FROM_NOBODY)), 401);
  const optional = ["Content-Disposition: signal;handling=optional"];
  const [put] = storedBy(driver.receive(sealedRegister({ rows: optional })));
  assert.equal(put?.kind, "put");
});
