/** Which servers a URI leads to (RFC 3263 §4); DNS is a table. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SipTransport, Target } from "../../../protocol/sip/flow.ts";
import {
  type DnsAnswer,
  type Located,
  locateLiteral,
  locateServer,
  MAX_SERVERS,
  MAX_TARGETS,
  type SipResolver,
} from "../../../protocol/sip/locate-server.ts";
import {
  chooseNaptr,
  type NaptrRecord,
  orderSrv,
  type SrvRecord,
} from "../../../protocol/sip/service-records.ts";

interface Zone {
  /** `ORDER PREFERENCE FLAGS SERVICE REPLACEMENT [REGEXP]`. */
  readonly naptr?: Readonly<Record<string, readonly string[]>>;
  /** `PRIORITY WEIGHT PORT NAME`. */
  readonly srv?: Readonly<Record<string, readonly string[]>>;
  readonly addresses?: Readonly<Record<string, readonly string[]>>;
  /** Names that nobody answers for, and ones that are refused. */
  readonly unreachable?: readonly string[];
  readonly refused?: readonly string[];
}

const naptrRecord = (text: string): NaptrRecord => {
  const [order, preference, flags = "", service = "", replacement = "", regexp = ""] =
    text.split(" ");
  return {
    order: Number(order),
    preference: Number(preference),
    flags,
    service,
    replacement,
    regexp,
  };
};
const srvRecord = (text: string): SrvRecord => {
  const [priority, weight, port, name = ""] = text.split(" ");
  return { priority: Number(priority), weight: Number(weight), port: Number(port), name };
};

/** A resolver over a table, which notes what it was asked. */
function tableResolver(zone: Zone): SipResolver & { readonly asked: string[] } {
  const asked: string[] = [];
  const answer = <R>(
    table: Readonly<Record<string, readonly string[]>> | undefined,
    name: string,
    read: (text: string) => R,
  ): Promise<DnsAnswer<R>> => {
    asked.push(name);
    if (zone.unreachable?.includes(name) === true)
      return Promise.resolve({ kind: "failed", reason: "unreachable" });
    if (zone.refused?.includes(name) === true)
      return Promise.resolve({ kind: "failed", reason: "refused" });
    return Promise.resolve({ kind: "records", records: (table?.[name] ?? []).map(read) });
  };
  return {
    asked,
    naptr: (name) => answer(zone.naptr, name, naptrRecord),
    srv: (name) => answer(zone.srv, name, srvRecord),
    addresses: (name) => answer(zone.addresses, name, (text) => text),
  };
}

const ALL: readonly SipTransport[] = ["udp", "tcp", "tls"];
/** Draws the middle, always. */
const half = (size: number): Buffer => Buffer.alloc(size, 0x7f);

const targetWord = ({ transport, address, port, serverName }: Target): string =>
  `${transport} ${address} ${port}${serverName === undefined ? "" : ` ${serverName}`}`;
const locatedWord = (located: Located): string =>
  located.kind === "found" ? located.targets.map(targetWord).join(", ") : located.kind;

const HOST = { addresses: { "example.com": ["192.0.2.1", "2001:db8::1"] } };
const FULL: Zone = {
  naptr: {
    "example.com": [
      "50 50 s SIP+D2U _sip._udp.example.com",
      "40 50 s SIPS+D2T _sips._tcp.example.com.",
      "40 20 S sip+d2t _sip._tcp.example.com",
      "10 10 s SIP+D2S _sip._sctp.example.com",
      "10 10 u E2U+sip example.net !^.*$!sip:x@example.net!",
      "10 10 a SIP+D2U example.net",
    ],
  },
  srv: {
    "_sip._udp.example.com": ["0 0 5060 udp.example.com"],
    "_sip._tcp.example.com": ["2 0 5072 b.example.com", "1 0 5071 a.example.com"],
    "_sips._tcp.example.com": ["0 0 5061 tls.example.com"],
  },
  addresses: {
    "a.example.com": ["192.0.2.10", "2001:db8::10"],
    "b.example.com": ["192.0.2.11"],
    "tls.example.com": ["192.0.2.12"],
    "udp.example.com": ["192.0.2.13"],
    "example.com": ["192.0.2.1"],
  },
};

type Row = readonly [
  what: string,
  uri: string,
  zone: Zone,
  expected: string,
  setting?: { supported?: readonly SipTransport[]; families?: readonly (4 | 6)[] },
];

const ROWS: readonly Row[] = [
  ["4.1 numeric: UDP", "sip:a@192.0.2.7", {}, "udp 192.0.2.7 5060"],
  ["4.1 numeric sips: TLS", "sips:192.0.2.7", {}, "tls 192.0.2.7 5061 192.0.2.7"],
  ["4.2 numeric with port", "sip:192.0.2.7:5080;transport=tcp", {}, "tcp 192.0.2.7 5080"],
  ["4.2 IPv6 reference", "sip:[2001:db8::7]:5080", {}, "udp 2001:db8::7 5080"],
  ["numeric, a family we lack", "sip:[2001:db8::7]", {}, "none", { families: [4] }],
  [
    "numeric, UDP not spoken",
    "sip:192.0.2.7",
    {},
    "tcp 192.0.2.7 5060",
    { supported: ["tcp", "tls"] },
  ],
  ["not numeric, though it looks so", "sip:1.2.3", {}, "none"],
  ["4 maddr takes the host's place", "sip:example.com;maddr=192.0.2.9", FULL, "udp 192.0.2.9 5060"],
  ["4 maddr in brackets", "sip:example.com;maddr=[2001:db8::9]", FULL, "udp 2001:db8::9 5060"],
  [
    "maddr is a name; the certificate stays the host's",
    "sips:example.net;maddr=example.com:5061",
    {},
    "none",
  ],
  [
    "maddr is a name",
    "sip:example.net;maddr=a.example.com;transport=tls",
    FULL,
    "tls 2001:db8::10 5061 example.net, tls 192.0.2.10 5061 example.net",
  ],
  ["4.1 port, no transport: UDP, no SRV", "sip:example.com:5090", FULL, "udp 192.0.2.1 5090"],
  ["4.1 sips with port: TLS", "sips:example.com:5090", FULL, "tls 192.0.2.1 5090 example.com"],
  [
    "both families, IPv6 first",
    "sip:example.com:5090",
    HOST,
    "udp 2001:db8::1 5090, udp 192.0.2.1 5090",
  ],
  [
    "both families, IPv4 preferred",
    "sip:example.com:5090",
    HOST,
    "udp 192.0.2.1 5090, udp 2001:db8::1 5090",
    { families: [4, 6] },
  ],
  [
    "4.1 NAPTR: lowest order that we speak, by preference; SRV by priority",
    "sip:bob@EXAMPLE.com.",
    FULL,
    "tcp 2001:db8::10 5071, tcp 192.0.2.10 5071, tcp 192.0.2.11 5072, tls 192.0.2.12 5061 EXAMPLE.com.",
  ],
  [
    "4.1 NAPTR: what we do not speak is passed over",
    "sip:example.com",
    FULL,
    "udp 192.0.2.13 5060",
    { supported: ["udp"] },
  ],
  ["4.1 sips: only SIPS services", "sips:example.com", FULL, "tls 192.0.2.12 5061 example.com"],
  [
    "4.1 transport named: its SRV, no NAPTR",
    "sip:example.com;transport=udp",
    FULL,
    "udp 192.0.2.13 5060",
  ],
  [
    "4.2 sips;transport=tcp is TLS",
    "sips:example.com;transport=TCP",
    FULL,
    "tls 192.0.2.12 5061 example.com",
  ],
  ["sips over datagrams: no", "sips:example.com;transport=udp", FULL, "none"],
  ["a transport nobody knows", "sip:example.com;transport=sctp", FULL, "none"],
  ["a transport we lack", "sip:example.com;transport=tcp", FULL, "none", { supported: ["udp"] }],
  [
    "4.1 no NAPTR: SRV of all that we speak",
    "sip:example.com",
    { ...FULL, naptr: {} },
    "tcp 2001:db8::10 5071, tcp 192.0.2.10 5071, tcp 192.0.2.11 5072, udp 192.0.2.13 5060",
    { supported: ["tcp", "udp"] },
  ],
  [
    "4.2 neither: the host itself over UDP",
    "sip:example.com",
    HOST,
    "udp 2001:db8::1 5060, udp 192.0.2.1 5060",
  ],
  [
    "4.2 neither, sips",
    "sips:example.com",
    HOST,
    "tls 2001:db8::1 5061 example.com, tls 192.0.2.1 5061 example.com",
  ],
  [
    "4.2 transport named, no SRV",
    "sip:example.com;transport=tcp",
    HOST,
    "tcp 2001:db8::1 5060, tcp 192.0.2.1 5060",
  ],
  [
    "4.2 neither, and no UDP",
    "sip:example.com",
    HOST,
    "tcp 2001:db8::1 5060, tcp 192.0.2.1 5060",
    { supported: ["tcp"] },
  ],
  [
    "RFC 2782: target . means there is none",
    "sip:example.com;transport=udp",
    { ...HOST, srv: { "_sip._udp.example.com": ["0 0 0 ."] } },
    "none",
  ],
  [
    "SRV of a host without address",
    "sip:example.com;transport=udp",
    { srv: FULL.srv ?? {} },
    "none",
  ],
  ["unknown", "sip:nowhere.example", FULL, "none"],
  ["DNS does not answer", "sip:example.com", { ...FULL, unreachable: ["example.com"] }, "failed"],
  [
    "DNS does not answer for SRV",
    "sip:example.com",
    { ...FULL, unreachable: ["_sip._tcp.example.com"] },
    "failed",
  ],
  [
    "DNS does not answer for any host",
    "sip:example.com;transport=udp",
    { ...FULL, unreachable: ["udp.example.com"] },
    "failed",
  ],
  [
    "DNS answers for one host at least",
    "sip:example.com;transport=tcp",
    { ...FULL, unreachable: ["a.example.com"] },
    "tcp 192.0.2.11 5072",
  ],
  [
    "NAPTR and SRV refused: the host itself",
    "sip:example.net",
    {
      addresses: { "example.net": ["192.0.2.5"] },
      refused: ["_sip._udp.example.net", "_sip._tcp.example.net", "_sips._tcp.example.net"],
    },
    "udp 192.0.2.5 5060",
  ],
];

for (const [what, uri, zone, expected, setting] of ROWS)
  test(what, async () => {
    const resolver = tableResolver(zone);
    const located = await locateServer(uri, { resolver, supported: ALL, random: half, ...setting });
    assert.equal(locatedWord(located), expected);
  });

test("NAPTR refused, SRV not: SRV counts", async () => {
  const table = tableResolver(FULL);
  const resolver: SipResolver = {
    ...table,
    naptr: () => Promise.resolve({ kind: "failed", reason: "refused" }),
  };
  const located = await locateServer("sip:example.com", {
    resolver,
    supported: ["udp"],
    random: half,
  });
  assert.equal(locatedWord(located), "udp 192.0.2.13 5060");
});

test("a numeric host asks DNS nothing", async () => {
  const resolver = tableResolver({});
  await locateServer("sip:192.0.2.1", { resolver, supported: ALL, random: half });
  assert.deepEqual(resolver.asked, []);
});

test("a numeric host is known at once; a name is not", () => {
  assert.deepEqual(locateLiteral("sip:[2001:db8::1]", { supported: ALL }), [
    { transport: "udp", address: "2001:db8::1", port: 5060 },
  ]);
  assert.equal(locateLiteral("sip:example.com", { supported: ALL }), undefined);
  assert.deepEqual(locateLiteral("sips:192.0.2.1;transport=udp", { supported: ALL }), []);
});

test("a domain of a thousand servers costs a bounded number of questions and targets", async () => {
  const names = Array.from({ length: 1_000 }, (_, n) => `h${n}.example.com`);
  const resolver = tableResolver({
    srv: { "_sip._udp.example.com": names.map((name) => `0 1 5060 ${name}`) },
    addresses: Object.fromEntries(
      names.map((name) => [name, Array.from({ length: 100 }, (_, n) => `192.0.2.${n + 1}`)]),
    ),
  });
  const located = await locateServer("sip:example.com;transport=udp", {
    resolver,
    supported: ALL,
    random: half,
  });
  assert.ok(located.kind === "found");
  assert.equal(located.targets.length, MAX_TARGETS);
  assert.equal(resolver.asked.length, 1 + MAX_SERVERS);
});

/** A small generator with a seed, so that counts are the same each time. */
function seeded(seed: number): (size: number) => Buffer {
  let state = seed;
  return (size) => {
    const octets = Buffer.alloc(size);
    for (let at = 0; at < size; at += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      octets[at] = state >>> 24;
    }
    return octets;
  };
}

test("SRV weights: the first is drawn in proportion (RFC 2782)", () => {
  const records = ["1 60 1 a", "1 30 1 b", "1 10 1 c", "1 0 1 d"].map(srvRecord);
  const random = seeded(7);
  const firsts = new Map<string, number>();
  const draws = 10_000;
  for (let draw = 0; draw < draws; draw += 1) {
    const order = orderSrv(records, random);
    assert.equal(order.length, records.length);
    const first = order[0]?.name ?? "";
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  for (const [name, share] of [
    ["a", 0.6],
    ["b", 0.3],
    ["c", 0.1],
  ] as const)
    assert.ok(
      Math.abs((firsts.get(name) ?? 0) / draws - share) < 0.02,
      `${name}: ${firsts.get(name)}`,
    );
  const none = firsts.get("d") ?? 0;
  assert.ok(none > 0 && none < 0.02 * draws, "one without weight has a very small chance");
});

test("SRV: a lower priority is never tried before a higher, whatever its weight", () => {
  const records = ["2 65535 1 second", "1 0 1 first", "3 9 1 third"].map(srvRecord);
  for (let seed = 0; seed < 100; seed += 1)
    assert.deepEqual(
      orderSrv(records, seeded(seed)).map(({ name }) => name),
      ["first", "second", "third"],
    );
});

test("SRV with all weights zero: each has its turn", () => {
  const records = ["0 0 1 a", "0 0 1 b"].map(srvRecord);
  const firsts = new Set<string | undefined>();
  const random = seeded(1);
  for (let draw = 0; draw < 50; draw += 1) firsts.add(orderSrv(records, random)[0]?.name);
  assert.equal(firsts.size, 2);
});

test("NAPTR without any that leads to us gives none", () => {
  assert.deepEqual(chooseNaptr([naptrRecord("1 1 s SIP+D2S _sip._sctp.x")], ALL), []);
  assert.deepEqual(chooseNaptr([naptrRecord("1 1 s SIP+D2U .")], ALL), []);
  assert.deepEqual(chooseNaptr([naptrRecord("1 1 s SIP+D2U _sip._udp.x !x!y!")], ALL), []);
});
