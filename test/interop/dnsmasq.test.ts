/** `locateServer` and our resolver against dnsmasq, a DNS server of others, on loopback. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SipTransport } from "../../protocol/sip/flow.ts";
import { locateServer } from "../../protocol/sip/locate-server.ts";
import { DnsResolver } from "../../runtime/dns-resolver.ts";

const ZONE = [
  "--naptr-record=full.example,50,50,s,SIP+D2U,,_sip._udp.full.example",
  "--naptr-record=full.example,20,60,s,SIPS+D2T,,_sips._tcp.full.example",
  "--naptr-record=full.example,20,50,s,SIP+D2T,,_sip._tcp.full.example",
  "--naptr-record=full.example,10,10,s,SIP+D2S,,_sip._sctp.full.example",
  "--srv-host=_sip._udp.full.example,two.example,5080,10,0",
  "--srv-host=_sip._tcp.full.example,one.example,5071,1,0",
  "--srv-host=_sip._tcp.full.example,two.example,5072,2,0",
  "--srv-host=_sips._tcp.full.example,two.example,5061,0,0",
  "--srv-host=_sip._udp.weighted.example,one.example,5060,5,90",
  "--srv-host=_sip._udp.weighted.example,two.example,5060,5,10",
  "--host-record=one.example,192.0.2.1,2001:db8::1",
  "--host-record=two.example,192.0.2.2",
  "--host-record=six.example,2001:db8::6",
  "--cname=alias.example,six.example",
  "--local=/example/",
];

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  socket.close();
  return port;
}

function startDnsmasq(port: number): ChildProcess {
  const options = ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"];
  const place = [
    `--port=${port}`,
    "--listen-address=127.0.0.1",
    "--bind-interfaces",
    "--pid-file=",
  ];
  return spawn("dnsmasq", [...options, ...place, "--local-ttl=2", ...ZONE], { stdio: "ignore" });
}

const port = await freePort();
const dnsmasq = startDnsmasq(port);
after(() => dnsmasq.kill());
const resolver = new DnsResolver({ servers: [`127.0.0.1:${port}`] });
const READY_TRIES = 50;
for (let tries = 0; tries < READY_TRIES; tries += 1) {
  const fresh = new DnsResolver({ servers: [`127.0.0.1:${port}`], timeoutMs: 100, tries: 1 });
  if ((await fresh.addresses("two.example")).kind === "records") break;
  await sleep(100);
}

/** Draws the middle, always. */
const half = (size: number): Buffer => Buffer.alloc(size, 0x7f);

async function locate(uri: string, supported: readonly SipTransport[]): Promise<string> {
  const located = await locateServer(uri, { resolver, supported, random: half });
  return located.kind === "found"
    ? located.targets
        .map(({ transport, address, port: at }) => `${transport} ${address} ${at}`)
        .join(", ")
    : located.kind;
}

const ALL = ["udp", "tcp", "tls"] as const;
const CASES: readonly (readonly [
  uri: string,
  supported: readonly SipTransport[],
  found: string,
])[] = [
  [
    "sip:full.example",
    ALL,
    "tcp 2001:db8::1 5071, tcp 192.0.2.1 5071, tcp 192.0.2.2 5072, tls 192.0.2.2 5061",
  ],
  ["sip:full.example", ["udp"], "udp 192.0.2.2 5080"],
  ["sips:full.example", ALL, "tls 192.0.2.2 5061"],
  ["sip:full.example;transport=udp", ALL, "udp 192.0.2.2 5080"],
  ["sip:full.example:5099", ALL, "none"],
  ["sip:one.example", ALL, "udp 2001:db8::1 5060, udp 192.0.2.1 5060"],
  ["sip:alias.example", ALL, "udp 2001:db8::6 5060"],
  ["sip:nowhere.example", ALL, "none"],
  // Dnsmasq has nobody to ask for other domains and says REFUSED.
  ["sip:elsewhere.test", ALL, "failed"],
];

for (const [uri, supported, found] of CASES)
  test(`${uri} over ${supported}: ${found}`, async () =>
    assert.equal(await locate(uri, supported), found));

test("SRV weights spread the load over a real set", async () => {
  let state = 1;
  const random = (size: number): Buffer => {
    const octets = Buffer.alloc(size);
    for (let at = 0; at < size; at += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      octets[at] = state >>> 24;
    }
    return octets;
  };
  const draws = 2_000;
  let ones = 0;
  for (let draw = 0; draw < draws; draw += 1) {
    const located = await locateServer("sip:weighted.example", {
      resolver,
      supported: ["udp"],
      random,
    });
    assert.ok(located.kind === "found");
    if (located.targets[0]?.address === "2001:db8::1") ones += 1;
  }
  assert.ok(Math.abs(ones / draws - 0.9) < 0.03, `${ones} of ${draws}`);
});

test("a server that is gone: the last answer serves, a new name fails", async () => {
  assert.equal(await locate("sip:two.example:5060", ALL), "udp 192.0.2.2 5060");
  dnsmasq.kill();
  await new Promise((resolve) => dnsmasq.once("exit", resolve));
  await sleep(2_100); // the server's TTL is 2 s
  assert.equal(await locate("sip:two.example:5060", ALL), "udp 192.0.2.2 5060");
  assert.equal(await locate("sip:alias.example:5060", ALL), "udp 2001:db8::6 5060");
  assert.equal(await locate("sip:never-asked.example", ALL), "failed");
});
