import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceSchema } from "../../../device/config.ts";
import { ConfigError, parseConfig } from "../../../runtime/config-file.ts";

const GOOD = `
aor = "sip:alice@atlanta.example.com"
address = "10.10.0.2"
[identity]
certificate = "alice.pem"
key = "alice.key"
[trust]
anchors = ["ca.pem"]
[outbound]
transport = "tls"
address = "10.10.0.1"
port = 5061
serverName = "ss1.atlanta.example.com"
[media]
rtpPort = 40000
`;

test("a phone seals and wants sealed offers unless told otherwise", () => {
  const { sealing, contact, listen } = parseConfig(GOOD, deviceSchema);
  assert.deepEqual(sealing, { enabled: true, required: true, form: "rfc3185", controllers: [] });
  assert.deepEqual(contact, []);
  assert.equal(listen, undefined);
});

test("what is required follows what is enabled, unless it is given", () => {
  const off = parseConfig(`${GOOD}[sealing]\nenabled = false\n`, deviceSchema);
  assert.equal(off.sealing.required, false);
  const strict = parseConfig(`${GOOD}[sealing]\nenabled = false\nrequired = true\n`, deviceSchema);
  assert.equal(strict.sealing.required, true);
});

const REGISTERED = GOOD.replace(/\[identity\][^[]+/, "").replace(
  "[media]",
  `[registration]
store = "alice.json"
controller = "ss1.pem"
[media]`,
);

test("a phone that registers needs no identity, and asks for an hour, sealed for its controller", () => {
  const { identity, registration } = parseConfig(REGISTERED, deviceSchema);
  assert.equal(identity, undefined);
  assert.deepEqual(registration, {
    ...{ store: "alice.json", controller: "ss1.pem", protection: "certificate" },
    ...{ profile: "open", expiresS: 3600, keyType: "p256" },
  });
});

const REGISTRATION_FAULTS: readonly (readonly [name: string, table: string, path: string])[] = [
  ["no store", 'controller = "ss1.pem"', "registration.store"],
  ["nobody to seal for", 'store = "a"\ncontrollerName = "ss1"', "registration.controller"],
  ["nobody to name", 'store = "a"\nprotection = "password"\npassword = "p"', "controllerName"],
  ["no shared key", 'store = "a"\nprotection = "shared-key"\ncontrollerName = "x"', "sharedKey"],
  ["no password", 'store = "a"\nprotection = "password"\ncontrollerName = "x"', "password"],
  ["a controller's name that is none", 'store = "a"\ncontrollerName = "x y"', "controllerName"],
  ["no time", 'store = "a"\ncontroller = "c"\nexpiresS = 0', "expiresS"],
  ["more than a week", 'store = "a"\ncontroller = "c"\nexpiresS = 604801', "expiresS"],
  ["a weak key", 'store = "a"\ncontroller = "c"\nkeyType = "rsa1024"', "keyType"],
  ["another profile", 'store = "a"\ncontroller = "c"\nprofile = "secret"', "profile"],
];

for (const [name, table, path] of REGISTRATION_FAULTS)
  test(`refused in [registration], with its path: ${name}`, () => {
    const text = GOOD.replace("[media]", `[registration]\n${table}\n[media]`);
    assert.throws(
      () => parseConfig(text, deviceSchema),
      (error) => error instanceof ConfigError && error.faults.some((f) => f.path.endsWith(path)),
    );
  });

const FAULTS: readonly (readonly [name: string, from: string, to: string, path: string])[] = [
  ["an odd RTP port", "rtpPort = 40000", "rtpPort = 40001", "media.rtpPort"],
  ["an RTP port below 1024", "rtpPort = 40000", "rtpPort = 1022", "media.rtpPort"],
  ["an RTP port without one after it", "rtpPort = 40000", "rtpPort = 65536", "media.rtpPort"],
  ["a host name as address", '"10.10.0.2"', '"phone.example.com"', "address"],
  ["an AOR with a port", '@atlanta.example.com"', '@atlanta.example.com:5060"', "aor"],
  ["TLS without the name to check", 'serverName = "ss1.atlanta.example.com"', "", "serverName"],
  ["an unknown key", "[media]", "[media]\ncodec = 8", "media.codec"],
  ["no anchor", '["ca.pem"]', "[]", "trust.anchors"],
  ["no identity", '[identity]\ncertificate = "alice.pem"\nkey = "alice.key"', "", "identity"],
];

for (const [name, from, to, path] of FAULTS)
  test(`refused with its path: ${name}`, () => {
    assert.throws(
      () => parseConfig(GOOD.replace(from, to), deviceSchema),
      (error) => error instanceof ConfigError && error.faults.some((f) => f.path.endsWith(path)),
    );
  });
