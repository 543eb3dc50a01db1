import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerSchema } from "../../../controller/config.ts";
import { describeConfig } from "../../../controller/describe-config.ts";
import { mediaPolicyOf } from "../../../controller/io/policies.ts";
import { ConfigError, parseConfig } from "../../../runtime/config-file.ts";

const GOOD = `
name = "ss1.atlanta.example.com"
domains = ["atlanta.example.com"]
[tls]
certificate = "ss1.pem"
key = "ss1.key"
anchors = ["ca.pem"]
[[listen]]
transport = "tls"
address = "10.10.0.1"
port = 5061
[[listen]]
transport = "tcp"
address = "10.30.0.1"
port = 5060
[[route]]
domain = "biloxi.example.com"
transport = "tcp"
address = "10.30.0.2"
port = 5060
[[user]]
aor = "sip:alice@atlanta.example.com"
[body]
certificate = "ss1.pem"
key = "ss1.key"
anchors = ["ca.pem"]
[agent]
socket = "/run/keyhole/control/agent.sock"
[media]
protectedPrefixes = ["10.10.0.0/24"]
ports = [16384, 65535]
[recording]
orderKey = "order.key"
recorder = "recorder.pub"
`;

function faultsOf(text: string): readonly string[] {
  try {
    parseConfig(text, controllerSchema);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path }) => path);
    throw error;
  }
  return [];
}

test("a plain configuration gets its defaults", () => {
  const config = parseConfig(GOOD, controllerSchema);
  assert.equal(config.log.level, "info");
  assert.equal(config.agent?.applyTimeoutMs, 2000);
  assert.equal(config.recording?.required, true);
  assert.deepEqual(config.user, [
    {
      aor: "sip:alice@atlanta.example.com",
      addresses: [],
      requireSealed: false,
      maxCalls: 10,
    },
  ]);
  assert.deepEqual(config.media?.gatewayAddresses, []);
  assert.deepEqual(config.route[0]?.to, ["users"]);
  assert.equal(config.route[0]?.trusted, false);
  assert.deepEqual(config.digest.algorithms, ["SHA-256"]);
  assert.equal(config.registrar.maxContacts, 10);
  assert.equal(config.limits.calls, 10_000);
  assert.equal(config.timers.t1Ms, 500);
  assert.equal(config.sessionTimer, undefined);
});

const FAULTS: readonly [name: string, from: string, to: string, path: string][] = [
  ["an unknown key", "[agent]", "[agent]\nsockets = 1", "agent.sockets"],
  ["a media port below 1024", "[16384, 65535]", "[1023, 65535]", "media.ports[0]"],
  ["media ports the wrong way round", "[16384, 65535]", "[20000, 16384]", "media.ports"],
  ["a prefix without length", '["10.10.0.0/24"]', '["10.10.0.0"]', "media.protectedPrefixes[0]"],
  ["a host name for an address", '"10.30.0.2"', '"biloxi"', "route[0].address"],
  ["a route to an own domain", '"biloxi.example.com"', '"atlanta.example.com"', "route[0].domain"],
  ["a user of a foreign domain", "alice@atlanta", "alice@biloxi", "user[0].aor"],
  ["a user with a parameter", "alice@atlanta", "alice;a=b@atlanta", "user[0].aor"],
  ["a TLS listener without certificate", "[tls]", "[tsl]", "tls"],
  [
    "a TLS rule on a TCP listener",
    "port = 5060",
    'port = 5060\nclientCertificates = "none"',
    "listen[1].clientCertificates",
  ],
  ["a route that is nowhere", 'address = "10.30.0.2"', "", "route[0].address"],
  [
    "a route in two places",
    'address = "10.30.0.2"',
    'address = "10.30.0.2"\nhost = "biloxi.example.com"',
    "route[0].address",
  ],
  [
    "a named route without DNS",
    'address = "10.30.0.2"',
    'host = "biloxi.example.com"',
    "route[0].host",
  ],
  [
    "an identity over TCP",
    'address = "10.30.0.2"',
    'address = "10.30.0.2"\nidentities = ["sip:biloxi.example.com"]',
    "route[0].identities",
  ],
  [
    "a route to nobody's domain",
    'address = "10.30.0.2"',
    'address = "10.30.0.2"\nto = ["chicago.example.com"]',
    "route[0].to",
  ],
  [
    "a registrar's times that fall",
    "[agent]",
    "[registrar]\nminExpiresS = 4000\n[agent]",
    "registrar",
  ],
  [
    "a timer C of three minutes",
    "[agent]",
    "[timers]\ntimerCMs = 180000\n[agent]",
    "timers.timerCMs",
  ],
  [
    "a session interval below 90 s",
    "[agent]",
    "[sessionTimer]\nexpiresS = 89\n[agent]",
    "sessionTimer.expiresS",
  ],
  [
    "a Min-SE above the interval",
    "[agent]",
    "[sessionTimer]\nexpiresS = 100\nminSeS = 101\n[agent]",
    "sessionTimer",
  ],
  ["users of two sources", "[agent]", '[users]\nfile = "a"\ndatabase = "b"\n[agent]', "users"],
  [
    "an emergency route without a route",
    "[agent]",
    '[emergency]\nroute = "psap.example.com"\n[agent]',
    "emergency.route",
  ],
  [
    "an unknown digest",
    "[agent]",
    '[digest]\nalgorithms = ["SHA-1"]\n[agent]',
    "digest.algorithms[0]",
  ],
  ["no calls at all", "[agent]", "[limits]\ncalls = 0\n[agent]", "limits.calls"],
  [
    "an endless wait for the agent",
    "[agent]",
    "[agent]\napplyTimeoutMs = 30001",
    "agent.applyTimeoutMs",
  ],
];

for (const [name, from, to, path] of FAULTS)
  test(`${name} is refused with its path`, () => {
    assert.ok(GOOD.includes(from));
    assert.ok(faultsOf(GOOD.replace(from, to)).includes(path));
  });

test("a route whose transport nobody listens on is refused", () => {
  const text = GOOD.replace(
    'transport = "tcp"\naddress = "10.30.0.1"',
    'transport = "tls"\naddress = "10.30.0.1"',
  );
  assert.deepEqual(faultsOf(text), ["route[0].transport"]);
});

test("rows that stand twice are refused", () => {
  const twice = `${GOOD}\n[[user]]\naor = "sip:alice@atlanta.example.com"\n[[route]]\ndomain = "biloxi.example.com"\ntransport = "tcp"\naddress = "10.30.0.3"\nport = 5060\n[[listen]]\ntransport = "tls"\naddress = "10.10.0.1"\nport = 5061\n`;
  assert.deepEqual(faultsOf(twice), ["listen[2]", "route[1]", "user[1]"]);
});

test("every fault is reported at once, those between tables included", () => {
  const text = GOOD.replace("port = 5061", "port = 0")
    .replace("alice@atlanta", "alice@elsewhere")
    .replace('orderKey = "order.key"\n', "");
  assert.deepEqual([...faultsOf(text)].sort(), [
    "listen[0].port",
    "recording.orderKey",
    "user[0].aor",
  ]);
});

test("a table that is wrong by itself causes no second complaint about another", () => {
  assert.deepEqual(faultsOf(GOOD.replace('domains = ["atlanta.example.com"]', "domains = []")), [
    "domains",
  ]);
});

test("a file without any table names what is missing", () => {
  const faults = faultsOf("");
  for (const path of ["name", "domains", "listen"]) assert.ok(faults.includes(path));
});

const tableOf = (name: string) => new RegExp(`\\[${name}\\]\\n(?:\\w.*\\n)+`);

test("without a gateway it is a plain proxy; half a gateway is refused", () => {
  const without = (...names: string[]) =>
    names.reduce((text, name) => text.replace(tableOf(name), ""), GOOD);
  assert.deepEqual(faultsOf(without("body", "agent", "media", "recording")), []);
  assert.deepEqual(faultsOf(without("recording")), []);
  assert.deepEqual(faultsOf(without("agent")), ["agent"]);
  assert.deepEqual(faultsOf(without("body", "agent", "media")), ["body", "agent", "media"]);
});

const EVERYTHING = GOOD.replace(
  'address = "10.30.0.2"\nport = 5060',
  'host = "biloxi.example.com"\nfrom = ["10.30.0.0/24"]\nto = ["users", "psap.example.com"]\ntrusted = true',
)
  .replace("port = 5061", 'port = 5061\nclientCertificates = "require"')
  .replace(
    "[body]",
    'requireSealed = true\nrecord = false\nmayCall = ["sip:*@biloxi.example.com"]\nmaxCalls = 2\n[body]',
  )
  .concat(`
[[route]]
domain = "psap.example.com"
transport = "tcp"
address = "10.30.0.9"
[emergency]
numbers = ["112"]
route = "psap.example.com"
[dns]
servers = ["10.30.0.53"]
anyDomain = true
[users]
file = "users.toml"
[state]
database = "state.sqlite"
[sessionTimer]
expiresS = 1800
[limits]
requestsPerSecond = 50
`);

test("what a configuration does is said line by line", () => {
  const text = describeConfig(parseConfig(EVERYTHING, controllerSchema));
  for (const line of [
    "ss1.atlanta.example.com serves atlanta.example.com",
    "listens       tls 10.10.0.1:5061, by certificate alone",
    "listens       tcp 10.30.0.1:5060",
    "routes        biloxi.example.com to tcp biloxi.example.com; biloxi.example.com, 10.30.0.0/24 may call users, psap.example.com; asserted identities pass",
    "routes        psap.example.com to tcp 10.30.0.9; 10.30.0.9 may call users",
    "user          sip:alice@atlanta.example.com, by certificate, sealed calls only, need not be recorded, may call sip:*@biloxi.example.com",
    "users         also those of users.toml",
    "registers     10 contacts a user for 60 to 7200 s, digest SHA-256, kept in state.sqlite",
    "emergency     urn:service:sos, 112 to psap.example.com, whatever else fails",
    "asks DNS      10.30.0.53, for any domain",
    "session timer 1800 s, not below 90 s",
    "limits        10000 calls, 100000 transactions, 50 requests/s a peer, 503 for new calls when 500 ms behind",
    "other media   passes unopened",
    "undecryptable is refused",
    "recording     every opened call, or it is refused",
  ])
    assert.ok(text.split("\n").includes(line), line);
});

test("what is no RTP, and what nobody can decrypt, pass or are refused as the file says", () => {
  const rows = 'otherMedia = "refuse"\nundecryptable = "pass"\n';
  const changed = GOOD.replace(tableOf("media"), (table) => table + rows);
  const config = parseConfig(changed, controllerSchema);
  const { otherMedia, undecryptable } = mediaPolicyOf(config) ?? {};
  assert.deepEqual([otherMedia, undecryptable], ["refuse", "pass"]);
  const told = describeConfig(config);
  assert.match(told, /^other media {3}is refused$/m);
  assert.match(told, /^undecryptable is kept as captured$/m);
});

test("a plain proxy says that it opens nothing", () => {
  const plain = ["body", "agent", "media", "recording"].reduce(
    (text, name) => text.replace(tableOf(name), ""),
    GOOD,
  );
  const text = describeConfig(parseConfig(plain, controllerSchema));
  assert.match(text, /^opens {9}nothing: a plain proxy/m);
  assert.doesNotMatch(text, /protects|agent {3}/);
});
