import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { controllerSchema } from "../../../controller/config.ts";
import { SipStack } from "../../../controller/io/sip-stack.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { parseConfig } from "../../../runtime/config-file.ts";
import { createLogger } from "../../../runtime/logger.ts";

const LAG_MS = 300;
const ADDRESS = "127.0.0.1";
let phone: Socket;
let stack: SipStack;
let port = 0;
let sent = 0;

before(async () => {
  const probe = createSocket("udp4").bind(0, ADDRESS);
  await once(probe, "listening");
  port = probe.address().port;
  probe.close();
  await once(probe, "close");
  const config = parseConfig(
    `name = "p.example.com"\ndomains = ["example.com"]\n[[listen]]\ntransport = "udp"\naddress = "${ADDRESS}"\nport = ${port}\n[limits]\neventLoopLagMs = ${LAG_MS}\n`,
    controllerSchema,
  );
  stack = new SipStack({
    config,
    tls: undefined,
    isUrgent: ({ uri }) => uri === "urn:service:sos",
    onEvent: (event) => {
      if (event.kind !== "deliver-request") return;
      const { key, request } = event;
      stack.feed({ kind: "respond", key, response: createResponse(request, 200, { toTag: "t" }) });
    },
    onClosed: () => undefined,
    log: createLogger("test", "silent"),
  });
  await stack.listen();
  phone = createSocket("udp4").bind(0, ADDRESS);
  await once(phone, "listening");
});

after(async () => {
  phone.close();
  await stack.close();
});

/** The first line and the rows of the answer. */
async function ask(uri: string, toTag = ""): Promise<string> {
  sent += 1;
  const lines = [
    `OPTIONS ${uri} SIP/2.0`,
    `Via: SIP/2.0/UDP ${ADDRESS}:${phone.address().port};branch=z9hG4bK${sent}`,
    "Max-Forwards: 70",
    "From: <sip:a@example.com>;tag=a",
    `To: <sip:b@example.com>${toTag}`,
    `Call-ID: ${sent}`,
    "CSeq: 1 OPTIONS",
    "Content-Length: 0",
    "",
    "",
  ];
  const answered = once(phone, "message") as Promise<[Buffer]>;
  phone.send(lines.join("\r\n"), port, ADDRESS);
  const [answer] = await answered;
  return answer.toString("latin1");
}

/** Keeps the event loop from everything for a while. */
function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

test("a program that is behind refuses what is new, never what runs or is urgent, and recovers", async () => {
  assert.match(await ask("sip:b@example.com"), /^SIP\/2\.0 200 /);
  await pause(1); // the watch has begun
  block(LAG_MS * 4);
  await pause(0);
  await pause(0);
  const refused = await ask("sip:b@example.com");
  assert.match(refused, /^SIP\/2\.0 503 /);
  assert.match(refused, /^Retry-After: \d+/m);
  assert.match(await ask("sip:b@example.com", ";tag=b"), /^SIP\/2\.0 200 /);
  assert.match(await ask("urn:service:sos"), /^SIP\/2\.0 200 /);
  const giveUpAt = performance.now() + 5_000;
  while (!(await ask("sip:b@example.com")).startsWith("SIP/2.0 200")) {
    assert.ok(performance.now() < giveUpAt, "it does not recover");
    await pause(20);
  }
});

test("one that is about to stop takes nothing new", async () => {
  stack.drain();
  assert.match(await ask("sip:b@example.com"), /^SIP\/2\.0 503 /);
  assert.match(await ask("sip:b@example.com", ";tag=b"), /^SIP\/2\.0 200 /);
});
