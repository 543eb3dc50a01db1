import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { main as ca } from "../../../ca/main.ts";
import { controllerSchema } from "../../../controller/config.ts";
import { describeConfig } from "../../../controller/describe-config.ts";
import { type Credentials, loadCredentials } from "../../../controller/io/credentials.ts";
import { ConfigError, parseConfig } from "../../../runtime/config-file.ts";
import { AUTHORITY_CONFIG, AuthorityFiles, DOMAIN, NAME } from "./authority-files.ts";

let files: AuthorityFiles;
const SHARED = "00112233445566778899aabbccddeeff";

before(() => {
  files = new AuthorityFiles();
  files.write("alice.shared", `${SHARED}\n`);
});

after(() => files.remove());

function load(text = AUTHORITY_CONFIG): Credentials {
  const file = files.write("controller.toml", text);
  return loadCredentials(file, parseConfig(text, controllerSchema));
}

function faultsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError)
      return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

const schemaFaults = (text: string) => faultsOf(() => parseConfig(text, controllerSchema));

test("an authority needs a body, and neither agent nor media", () => {
  const config = parseConfig(AUTHORITY_CONFIG, controllerSchema);
  assert.deepEqual(config.authority, {
    certificate: "chain.pem",
    key: "issuer.key",
    database: "authority.sqlite",
    crl: "issuer.crl",
    foreignCrls: [],
    userKeys: ["p256", "rsa2048", "rsa3072", "rsa4096"],
    skewS: 300,
    registrationsPerMinute: 60,
    queriesPerMinute: 300,
    location: "nobody",
    trust: [{ domain: "biloxi.example.com", anchors: ["biloxi.pem"] }],
  });
});

const WITHOUT_BODY = AUTHORITY_CONFIG.replace(/\[body\][^[]+(\[")[^[]+/, "");
const SCHEMA_FAULTS: readonly [name: string, text: string, faults: readonly string[]][] = [
  [
    "an authority without body",
    WITHOUT_BODY,
    ["body: missing, and the authority signs its answers as body"],
  ],
  [
    "a body alone",
    AUTHORITY_CONFIG.replace(/\[authority\].+/s, "").replace('sharedKey = "alice.shared"', ""),
    ["agent", "media"].map(
      (table) =>
        `${table}: missing; body, agent and media come together or, with recording, not at all`,
    ),
  ],
  [
    "a shared key that nothing opens",
    WITHOUT_BODY.replace(/\[authority\].+/s, ""),
    [
      "user[0].sharedKey: opens registrations alone, and without the table authority none is opened",
    ],
  ],
  [
    "trust in others for our own domain",
    AUTHORITY_CONFIG.replace("biloxi.example.com", DOMAIN),
    ["authority.trust[0].domain: is one of our own domains, whose anchors are those of body"],
  ],
  [
    "a domain trusted twice",
    `${AUTHORITY_CONFIG}[[authority.trust]]\ndomain = "biloxi.example.com"\nanchors = ["b.pem"]\n`,
    ["authority.trust[1]: stands there twice"],
  ],
  [
    "a clock an hour and a second off",
    AUTHORITY_CONFIG.replace("[[authority", "skewS = 3601\n[[authority"),
    ["authority.skewS: Too big: expected number to be <=3600"],
  ],
  [
    "a key too weak",
    AUTHORITY_CONFIG.replace("[[authority", 'userKeys = ["rsa1024"]\n[[authority'),
    ['authority.userKeys[0]: Invalid option: expected one of "p256"|"rsa2048"|"rsa3072"|"rsa4096"'],
  ],
  [
    "a limit of none",
    AUTHORITY_CONFIG.replace("[[authority", "queriesPerMinute = 0\n[[authority"),
    ["authority.queriesPerMinute: Too small: expected number to be >=1"],
  ],
];

for (const [name, text, faults] of SCHEMA_FAULTS)
  test(`${name} is refused with its path`, () => assert.deepEqual(schemaFaults(text), faults));

test("the certificate of a recorder needs an authority that hands it out", () => {
  const recording = `[recording]\norderKey = "o"\nrecorder = "r"\ncertificate = "rec.pem"\n`;
  const text = AUTHORITY_CONFIG.replace(/\[authority\].+/s, recording);
  assert.ok(
    schemaFaults(text).includes(
      "recording.certificate: is handed out with certificates, and without the table authority there are none",
    ),
  );
});

test("the credentials of an authority: issuer, chain without root, anchors by domain, secrets", () => {
  const { authority, body, tls, userSecrets, warnings } = load();
  assert.ok(authority !== undefined && tls !== undefined);
  assert.deepEqual(authority.issuer.certificate, files.der("issuer"));
  assert.deepEqual(authority.chain, []);
  assert.deepEqual(authority.ownAnchors, [files.der("root")]);
  assert.deepEqual(authority.trust, [
    { domain: "biloxi.example.com", anchors: [files.der("biloxi")] },
  ]);
  assert.deepEqual(body?.identity.certificate, files.der("ss1"));
  assert.equal(userSecrets[0]?.sharedKey?.expose().toString("hex"), SHARED);
  assert.deepEqual(warnings, []);
  const tlsAnchors = tls.anchors.map((pem) => new X509Certificate(pem).subject);
  assert.deepEqual(tlsAnchors, ["CN=root", "CN=issuer", "CN=root"]);
  assert.deepEqual(
    [...(tls.anchorsByDomain ?? [])],
    [["biloxi.example.com", [files.der("biloxi")]]],
  );
});

test("the root itself may issue, with a warning", () => {
  const text = AUTHORITY_CONFIG.replace("chain.pem", "root.pem").replace("issuer.key", "root.key");
  const { authority, warnings } = load(text);
  assert.deepEqual(authority?.chain, []);
  assert.deepEqual(warnings, [
    "authority.key is a root's: with an intermediate key the root's could stay offline",
  ]);
});

test("without a table of state it is warned that certificates do not outlive a restart", () => {
  const { warnings } = load(AUTHORITY_CONFIG.replace(/\[state\][^[]+/, ""));
  assert.deepEqual(warnings, [
    "without the table state no certificate is in service after a restart",
  ]);
});

test("what 'ca init' writes needs no other files, and nothing to be warned of", async () => {
  const init = [
    "init",
    "--out",
    join(files.path, "made"),
    "--domain",
    DOMAIN,
    "--controller",
    NAME,
  ];
  assert.equal(await ca(init), 0);
  const text = AUTHORITY_CONFIG.replaceAll(/"ss1.(pem|key)"/g, `"made/${NAME}.$1"`)
    .replaceAll("root.pem", "made/ca.pem")
    .replace("chain.pem", "made/issuer.pem")
    .replace("issuer.key", "made/issuer.key");
  const { warnings, authority } = load(text);
  assert.deepEqual(warnings, []);
  assert.deepEqual(authority?.ownAnchors, [files.der("made/ca")]);
});

test("names that others look for, and an issuer near its end, are warned of", () => {
  files.make("nameless", { by: "root", extensions: ["subjectAltName=DNS:elsewhere.example"] });
  files.make("late", { by: "root", days: 3, extensions: ["basicConstraints=critical,CA:TRUE"] });
  const text = AUTHORITY_CONFIG.replaceAll("ss1.", "nameless.")
    .replace(`"nameless.${DOMAIN}"`, `"${NAME}"`)
    .replace("chain.pem", "late.pem")
    .replace("issuer.key", "late.key");
  assert.deepEqual(load(text).warnings, [
    "authority.certificate ends in 2 days: nobody is certified beyond its end",
    `body.certificate does not hold the DNS name ${NAME}: phones refuse what it signs`,
    `body.certificate does not hold the URI sip:${DOMAIN}: other domains refuse its answers about users of ${DOMAIN}`,
  ]);
});

const CREDENTIAL_FAULTS: readonly [
  name: string,
  change: (text: string) => string,
  faults: readonly string[],
][] = [
  [
    "an issuer that is no authority",
    (text) => text.replace("chain.pem", "ss1.pem").replace("issuer.key", "ss1.key"),
    ["authority.certificate: may not certify anybody: an authority's certificate is needed"],
  ],
  [
    "an issuer with a key of RSA 1024",
    (text) => text.replace("chain.pem", "weak.pem").replace("issuer.key", "weak.key"),
    ["authority.certificate: has a key that is neither P-256 nor RSA of 2048, 3072 or 4096 bits"],
  ],
  [
    "a key of another certificate",
    (text) => text.replace("issuer.key", "root.key"),
    ["authority.key: is not the key of the certificate"],
  ],
  [
    "an issuer below no anchor of ours",
    (text) => text.replace("chain.pem", "biloxi.pem").replace("issuer.key", "biloxi.key"),
    ["authority.certificate: leads to none of the anchors of body"],
  ],
  [
    "a chain out of order",
    (text) => text.replace("chain.pem", "disorder.pem"),
    ["authority.certificate: holds certificates of which one did not issue the one before it"],
  ],
  [
    "an issuer deeper than its root allows",
    (text) => text.replace("chain.pem", "deep.pem").replace("issuer.key", "deep.key"),
    ["authority.certificate: stands deeper than the path length of one above it allows"],
  ],
  [
    "an issuer that may sign no revocation list",
    (text) => text.replace("chain.pem", "no-crl.pem").replace("issuer.key", "no-crl.key"),
    ["authority.certificate: may not sign the revocation list that crl asks for"],
  ],
  [
    "an issuer whose time is over",
    (text) => text.replace("chain.pem", "over.pem").replace("issuer.key", "over.key"),
    ["authority.certificate: is not valid now"],
  ],
  [
    "a body that may not sign",
    (text) => text.replaceAll("ss1.pem", "mute.pem").replaceAll("ss1.key", "mute.key"),
    ["body.certificate: may not sign, and the authority signs its answers as body"],
  ],
  [
    "anchors that are not there, a list that is none, a key of 15 octets",
    (text) =>
      text
        .replace("biloxi.pem", "nowhere.pem")
        .replace("[[authority", 'foreignCrls = ["absent.crl"]\n[[authority')
        .replace("alice.shared", "short.shared"),
    [
      "authority.trust[0].anchors[0]: nowhere.pem cannot be read",
      "authority.foreignCrls[0]: absent.crl cannot be read",
      "user[0].sharedKey: short.shared is not what is needed here",
    ],
  ],
];

test("credentials that do not fit are refused with their paths", async (context) => {
  const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
  files.make("no-crl", { by: "root", extensions: ca });
  await files.makeExpired("over", "root");
  files.make("weak", { by: "root", rsaBits: 1024, extensions: ["basicConstraints=CA:TRUE"] });
  files.make("mute", {
    by: "root",
    extensions: ["keyUsage=keyAgreement", `subjectAltName=DNS:${NAME},URI:sip:${DOMAIN}`],
  });
  files.make("shallow", { by: "root", extensions: ["basicConstraints=CA:TRUE,pathlen:0"] });
  files.make("deep", { by: "shallow", extensions: ["basicConstraints=CA:TRUE"] });
  files.write("deep.pem", files.read("deep.pem") + files.read("shallow.pem"));
  files.write("disorder.pem", files.read("issuer.pem") + files.read("biloxi.pem"));
  files.write("short.shared", SHARED.slice(2));
  for (const [name, change, faults] of CREDENTIAL_FAULTS)
    await context.test(name, () => {
      assert.deepEqual(
        faultsOf(() => load(change(AUTHORITY_CONFIG))),
        faults,
      );
    });
});

test("more anchors than a registration's answer has room for are refused", () => {
  files.write("eleven.pem", files.read("biloxi.pem").repeat(10));
  assert.deepEqual(
    faultsOf(() => load(AUTHORITY_CONFIG.replace("biloxi.pem", "eleven.pem"))),
    ["authority.trust: 11 anchors in all, and phones are handed 10"],
  );
});

test("what an authority will do is said in words", () => {
  const said = describeConfig(parseConfig(AUTHORITY_CONFIG, controllerSchema));
  for (const line of [
    "certifies     phones as long as they are registered, by chain.pem, keys p256, rsa2048, rsa3072, rsa4096",
    "              clocks up to 300 s off; what is issued and revoked stands in authority.sqlite",
    "revoked       lists them in issuer.crl",
    "answers       signed by ss1.pem; nobody is told where a phone is",
    "              60 registrations, 300 questions a minute and user",
    "trusts        biloxi.pem for biloxi.example.com alone",
    "user          sip:alice@atlanta.example.com, by certificate, may seal registrations under his shared key",
    "opens         no holes: without agent and media",
  ])
    assert.ok(said.includes(line), line);
});
