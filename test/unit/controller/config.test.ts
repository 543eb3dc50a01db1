import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerSchema } from "../../../controller/config.ts";
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
  assert.equal(config.agent.applyTimeoutMs, 2000);
  assert.equal(config.recording?.required, true);
  assert.deepEqual(config.user, [{ aor: "sip:alice@atlanta.example.com", addresses: [] }]);
  assert.deepEqual(config.media.gatewayAddresses, []);
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
  for (const path of ["name", "domains", "listen", "body", "agent", "media"])
    assert.ok(faults.includes(path));
});
