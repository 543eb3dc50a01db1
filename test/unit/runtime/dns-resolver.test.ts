/** The resolver against a hand-made server on loopback: time to live, bounds, and hostile answers. */
import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { after, test } from "node:test";
import { DnsCache, STALE_MS } from "../../../runtime/dns-cache.ts";
import {
  DnsResolver,
  FAILED_MS,
  MAX_QUESTIONS,
  UNKNOWN_TTL_MS,
} from "../../../runtime/dns-resolver.ts";

const TYPES = { A: 1, CNAME: 5, AAAA: 28, SRV: 33 } as const;
interface Question {
  readonly name: string;
  readonly type: number;
  readonly id: number;
  /** The question's octets, as asked. */
  readonly octets: Buffer;
}
interface Answer {
  /** Response code (RFC 1035 §4.1.1): 2 is SERVFAIL, 3 NXDOMAIN, 5 REFUSED. */
  readonly code?: number;
  readonly id?: number;
  readonly records?: readonly { type: number; ttlS: number; octets: Buffer }[];
}

/** One more than `undefined` answers: silence. */
type Script = (question: Question) => Answer | undefined;

function decodeQuestion(octets: Buffer): Question {
  const labels: string[] = [];
  let at = 12;
  for (let length = octets[at] ?? 0; length > 0; length = octets[at] ?? 0) {
    labels.push(octets.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return {
    name: labels.join(".").toLowerCase(),
    type: octets.readUInt16BE(at + 1),
    id: octets.readUInt16BE(0),
    octets: octets.subarray(12, at + 5),
  };
}

/** Names in records point at the question (RFC 1035 §4.1.4). */
function encodeAnswer(
  question: Question,
  { code = 0, id = question.id, records = [] }: Answer,
): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  const rows = records.map(({ type, ttlS, octets }) => {
    const row = Buffer.alloc(12);
    row.writeUInt16BE(0xc00c, 0);
    row.writeUInt16BE(type, 2);
    row.writeUInt16BE(1, 4);
    row.writeUInt32BE(ttlS, 6);
    row.writeUInt16BE(octets.length, 10);
    return Buffer.concat([row, octets]);
  });
  return Buffer.concat([head, question.octets, ...rows]);
}

class ScriptedServer {
  readonly asked: string[] = [];
  readonly #socket: Socket = createSocket("udp4");
  script: Script = () => undefined;

  async listen(): Promise<string> {
    this.#socket.on("message", (octets, from) => this.#answer(octets, from));
    await new Promise<void>((resolve) => this.#socket.bind(0, "127.0.0.1", resolve));
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  close(): void {
    this.#socket.close();
  }

  #answer(octets: Buffer, { port, address }: RemoteInfo): void {
    const question = decodeQuestion(octets);
    this.asked.push(`${question.type} ${question.name}`);
    const answer = this.script(question);
    if (answer !== undefined) this.#socket.send(encodeAnswer(question, answer), port, address);
  }
}

const server = new ScriptedServer();
const address = await server.listen();
after(() => server.close());

/** A resolver at a time of the test's choosing. */
function resolverAt(clock: { nowMs: number }, maxEntries = 100): DnsResolver {
  server.asked.length = 0;
  const servers = [address];
  return new DnsResolver({ servers, timeoutMs: 100, tries: 1, maxEntries, now: () => clock.nowMs });
}

const four = (octet: number, ttlS: number): Answer["records"] => [
  { type: TYPES.A, ttlS, octets: Buffer.from([192, 0, 2, octet]) },
];
const onlyA =
  (octet: number, ttlS: number): Script =>
  ({ type }) =>
    type === TYPES.A ? { records: four(octet, ttlS) ?? [] } : {};
const srvOctets = Buffer.from("0001000a13c4016100", "hex"); // 1 10 5060 a.

const found = (...records: string[]) => ({ kind: "records", records }) as const;
const UNREACHABLE = { kind: "failed", reason: "unreachable" } as const;
const REFUSED = { kind: "failed", reason: "refused" } as const;

test("an address is kept as long as its TTL, not longer", async () => {
  const clock = { nowMs: 0 };
  const resolver = resolverAt(clock);
  server.script = onlyA(1, 30);
  assert.deepEqual(await resolver.addresses("a.example"), found("192.0.2.1"));
  server.script = onlyA(2, 30);
  clock.nowMs = 29_999;
  assert.deepEqual(await resolver.addresses("A.example"), found("192.0.2.1"));
  clock.nowMs = 30_000;
  assert.deepEqual(await resolver.addresses("a.example"), found("192.0.2.2"));
});

test("the shortest TTL of a set counts; TTL 0 is asked each time", async () => {
  const clock = { nowMs: 0 };
  const resolver = resolverAt(clock);
  server.script = ({ type }) =>
    type === TYPES.A ? { records: [...(four(1, 60) ?? []), ...(four(2, 0) ?? [])] } : {};
  await resolver.addresses("a.example");
  await resolver.addresses("a.example");
  assert.equal(server.asked.filter((word) => word === "1 a.example").length, 2);
});

test("what does not exist, and SRV, are asked for again after a few seconds", async () => {
  const clock = { nowMs: 0 };
  const resolver = resolverAt(clock);
  server.script = ({ name }) =>
    name === "_sip._udp.b.example"
      ? { records: [{ type: TYPES.SRV, ttlS: 9_999, octets: srvOctets }] }
      : { code: 3 };
  const ask = async (): Promise<void> => {
    const srv = await resolver.srv("_sip._udp.b.example");
    assert.ok(srv.kind === "records");
    assert.deepEqual(
      srv.records.map(({ priority, weight, port, name }) => [priority, weight, port, name]),
      [[1, 10, 5060, "a"]],
    );
    assert.deepEqual(await resolver.naptr("b.example"), found());
    assert.deepEqual(await resolver.addresses("b.example"), found());
  };
  await ask();
  clock.nowMs = UNKNOWN_TTL_MS - 1;
  await ask();
  assert.equal(server.asked.length, 4);
  clock.nowMs = UNKNOWN_TTL_MS;
  await ask();
  assert.equal(server.asked.length, 8);
});

test("nobody answers: an error value in bounded time, and nobody is asked again at once", async () => {
  const clock = { nowMs: 0 };
  const resolver = resolverAt(clock);
  server.script = () => undefined;
  const before = performance.now();
  assert.deepEqual(await resolver.addresses("a.example"), UNREACHABLE);
  assert.ok(performance.now() - before < 5_000);
  const asked = server.asked.length;
  assert.deepEqual(await resolver.addresses("a.example"), UNREACHABLE);
  assert.equal(server.asked.length, asked);
  server.script = onlyA(1, 30);
  clock.nowMs = FAILED_MS;
  assert.deepEqual(await resolver.addresses("a.example"), found("192.0.2.1"));
});

test("while DNS is down, what was known still leads there", async () => {
  const clock = { nowMs: 0 };
  const resolver = resolverAt(clock);
  server.script = onlyA(1, 30);
  await resolver.addresses("a.example");
  server.script = () => undefined;
  clock.nowMs = 60_000;
  assert.deepEqual(await resolver.addresses("a.example"), found("192.0.2.1"));
  clock.nowMs = 30_000 + STALE_MS;
  assert.deepEqual(await resolver.addresses("a.example"), UNREACHABLE);
});

for (const [what, code] of [
  ["SERVFAIL", 2],
  ["REFUSED", 5],
  ["NOTIMP", 4],
] as const)
  test(`${what} is told apart from silence`, async () => {
    const resolver = resolverAt({ nowMs: 0 });
    server.script = () => ({ code });
    assert.deepEqual(await resolver.naptr("a.example"), REFUSED);
  });

test("an answer that nobody asked for is not believed", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  server.script = ({ id }) => ({ id: (id + 1) & 0xffff, records: four(66, 30) ?? [] });
  assert.deepEqual(await resolver.addresses("a.example"), UNREACHABLE);
});

test("a CNAME that leads to itself ends", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  const itself = Buffer.from("c00c", "hex");
  server.script = () => ({ records: [{ type: TYPES.CNAME, ttlS: 30, octets: itself }] });
  assert.deepEqual(await resolver.addresses("a.example"), found());
});

test("octets that are no DNS end as an error value", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  server.script = () => ({ records: [{ type: TYPES.A, ttlS: 30, octets: Buffer.alloc(3) }] });
  assert.equal((await resolver.addresses("a.example")).kind, "failed");
});

test("names that cannot be are not asked for", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  assert.deepEqual(await resolver.srv("a..example"), found());
  assert.deepEqual(await resolver.srv(`${"a".repeat(64)}.example`), found());
  assert.deepEqual(await resolver.srv("a.".repeat(200)), found());
  assert.deepEqual(server.asked, []);
});

test("this machine itself needs no DNS (RFC 6761)", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  assert.deepEqual(await resolver.addresses("localhost"), found("::1", "127.0.0.1"));
  assert.deepEqual(server.asked, []);
});

test("the same question at one time is asked once", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  server.script = onlyA(1, 30);
  await Promise.all(Array.from({ length: 50 }, () => resolver.addresses("a.example")));
  assert.equal(server.asked.length, 2);
});

test("too many different questions at one time: the rest fails at once", async () => {
  const resolver = resolverAt({ nowMs: 0 });
  server.script = () => ({ code: 3 });
  const names = Array.from({ length: MAX_QUESTIONS + 5 }, (_, n) => `n${n}.example`);
  const answers = await Promise.all(names.map((name) => resolver.srv(name)));
  assert.deepEqual(answers.slice(MAX_QUESTIONS), Array(5).fill(UNREACHABLE));
});

test("what is kept is bounded: the oldest goes", () => {
  const cache = new DnsCache<number>(3);
  for (let n = 0; n < 10; n += 1) cache.set(`${n}`, n, 1_000, true, 0);
  assert.equal(cache.size, 3);
  assert.deepEqual(
    ["6", "7", "9"].map((key) => cache.fresh(key, 0)),
    [undefined, 7, 9],
  );
});

test("a server that is none is our own fault", () => {
  assert.throws(() => new DnsResolver({ servers: ["dns.example"] }), TypeError);
});
