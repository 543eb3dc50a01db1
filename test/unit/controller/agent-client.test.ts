import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AgentClient,
  HOUSEKEEPING_TIMEOUT_MS,
  RECONNECT_MS,
} from "../../../controller/core/agent-client.ts";
import type {
  AgentClientEffect,
  WantedSession,
} from "../../../controller/core/agent-client-port.ts";
import type { AgentMessage, ControlRequest } from "../../../protocol/control/messages.ts";

const LEASE_MS = 30_000;

const wanted = (session: string, revision = 1): WantedSession => ({
  session,
  revision,
  leaseMs: LEASE_MS,
  pinholes: [],
});

const sent = (effects: readonly AgentClientEffect[]): readonly ControlRequest[] =>
  effects.flatMap((effect) => (effect.kind === "send" ? [effect.request] : []));

const ok = (id: string, more: object = {}): AgentMessage => ({
  kind: "reply",
  id,
  ok: true,
  ...more,
});
const no = (id: string, code: string): AgentMessage => ({
  kind: "reply",
  id,
  ok: false,
  error: { code, message: "no" },
});

/** A client whose agent has greeted back. */
function risen(): AgentClient {
  const client = new AgentClient("ss1.example.com");
  client.handle({ kind: "tick" }, 0);
  const [hello] = sent(client.handle({ kind: "connected" }, 0));
  for (const request of sent(client.handle({ kind: "message", message: ok(hello?.id ?? "") }, 0)))
    client.handle({ kind: "message", message: ok(request.id) }, 0);
  return client;
}

/** Puts a session and has the agent apply it. */
function apply(client: AgentClient, session: WantedSession, now: number): void {
  const [put] = sent(client.handle({ kind: "put", session, timeoutMs: 2000 }, now));
  const message = ok(put?.id ?? "", { applied: session.revision });
  const [effect] = client.handle({ kind: "message", message }, now);
  assert.equal(effect?.kind === "put-result" && effect.result.kind, "applied");
}

test("it greets first and says nothing else before the agent has greeted back", () => {
  const client = new AgentClient("ss1.example.com");
  assert.deepEqual(client.handle({ kind: "tick" }, 0), [{ kind: "connect" }]);
  const early = client.handle({ kind: "put", session: wanted("a"), timeoutMs: 2000 }, 0);
  assert.deepEqual(early[0]?.kind === "put-result" && early[0].result, {
    kind: "failed",
    verdict: "gateway-gone",
  });
  const requests = sent(client.handle({ kind: "connected" }, 5));
  assert.deepEqual(requests, [
    { kind: "hello", id: "r1", version: 1, controller: "ss1.example.com" },
  ]);
  const after = client.handle({ kind: "message", message: ok("r1") }, 6);
  assert.deepEqual(
    sent(after).map(({ kind }) => kind),
    ["sync.begin", "sync.end"],
  );
  assert.deepEqual(after.at(-1), { kind: "availability", up: true });
});

test("a put succeeds only with the reply that names its revision", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a", 2), timeoutMs: 2000 }, 0));
  const message = ok(put?.id ?? "", { applied: 1 });
  const [effect] = client.handle({ kind: "message", message }, 0);
  assert.equal(effect?.kind === "put-result" && effect.result.kind, "failed");
});

test("a recorder's refusal is handed on with the result", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a"), timeoutMs: 2000 }, 0));
  const recording = { refused: "no space" };
  const message = ok(put?.id ?? "", { applied: 1, recording });
  assert.deepEqual(client.handle({ kind: "message", message }, 0), [
    { kind: "put-result", session: "a", revision: 1, result: { kind: "applied", recording } },
  ]);
});

test("an error reply fails the put with the agent's code", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a"), timeoutMs: 2000 }, 0));
  const message = no(put?.id ?? "", "ERR_CONTROL_REALM");
  const [effect] = client.handle({ kind: "message", message }, 0);
  assert.deepEqual(effect?.kind === "put-result" && effect.result, {
    kind: "failed",
    verdict: "gateway-refused",
    code: "ERR_CONTROL_REALM",
  });
});

test("a slow put fails at its own time; its late reply changes nothing", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a"), timeoutMs: 500 }, 1000));
  assert.equal(client.deadline(), 1500);
  assert.deepEqual(client.handle({ kind: "tick" }, 1499), []);
  const [late] = client.handle({ kind: "tick" }, 1500);
  assert.equal(
    late?.kind === "put-result" && late.result.kind === "failed" && late.result.verdict,
    "gateway-slow",
  );
  const message = ok(put?.id ?? "", { applied: 1 });
  assert.deepEqual(client.handle({ kind: "message", message }, 1600), []);
  assert.equal(client.deadline(), undefined);
});

test("the lease is renewed with the same revision until the session is closed", () => {
  const client = risen();
  apply(client, wanted("a", 3), 0);
  assert.equal(client.deadline(), LEASE_MS / 3);
  const [again] = sent(client.handle({ kind: "tick" }, LEASE_MS / 3));
  assert.equal(again?.kind === "session.put" && again.revision, 3);
  client.handle({ kind: "message", message: ok(again?.id ?? "", { applied: 3 }) }, LEASE_MS / 3);
  const [close] = sent(client.handle({ kind: "close", session: "a", reason: "bye" }, LEASE_MS / 3));
  assert.equal(close?.kind, "session.close");
  const counters = { "caller.0.rtp": { packets: 7, bytes: 1204 } };
  const message = ok(close?.id ?? "", { counters, exact: true });
  assert.deepEqual(client.handle({ kind: "message", message }, LEASE_MS / 3), [
    { kind: "closed", session: "a", counters, exact: true },
  ]);
  assert.equal(client.deadline(), undefined);
});

test("an older revision is not renewed while a newer one is on its way", () => {
  const client = risen();
  apply(client, wanted("a", 1), 0);
  client.handle({ kind: "put", session: wanted("a", 2), timeoutMs: 2000 }, 9_999);
  assert.deepEqual(sent(client.handle({ kind: "tick" }, 10_000)), []);
});

test("a lost connection fails what was asked, and a new one says all sessions again", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  apply(client, wanted("b", 2), 0);
  client.handle({ kind: "close", session: "b", reason: "bye" }, 10);
  client.handle({ kind: "put", session: wanted("c"), timeoutMs: 2000 }, 10);
  const lost = client.handle({ kind: "disconnected" }, 20);
  assert.deepEqual(
    lost.map(({ kind }) => kind),
    ["availability", "put-result"],
  );
  assert.equal(client.deadline(), 20 + RECONNECT_MS);
  assert.deepEqual(client.handle({ kind: "tick" }, 21), []);
  assert.deepEqual(client.handle({ kind: "tick" }, 20 + RECONNECT_MS), [{ kind: "connect" }]);
  const [hello] = sent(client.handle({ kind: "connected" }, 600));
  const said = sent(client.handle({ kind: "message", message: ok(hello?.id ?? "") }, 600));
  assert.deepEqual(
    said.map((request) => (request.kind === "session.put" ? request.session : request.kind)),
    ["sync.begin", "a", "sync.end"],
  );
  assert.equal(said[2]?.kind === "sync.end" && said[2].count, 1);
});

test("a session that is not taken again, or that expires, is reported lost once", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  const event = { kind: "session.expired", session: "a", counters: {}, exact: true } as const;
  const heard = client.handle({ kind: "message", message: event }, 5);
  assert.deepEqual(
    heard.map(({ kind }) => kind),
    ["event", "session-lost"],
  );
  assert.deepEqual(client.handle({ kind: "message", message: event }, 6), [
    { kind: "event", event },
  ]);

  apply(client, wanted("b"), 0);
  const [again] = sent(client.handle({ kind: "tick" }, LEASE_MS));
  const message = no(again?.id ?? "", "ERR_CONTROL_STATE");
  assert.deepEqual(client.handle({ kind: "message", message }, LEASE_MS), [
    { kind: "session-lost", session: "b", code: "ERR_CONTROL_STATE" },
  ]);
});

test("an agent that does not answer a renewal or a greeting is left and tried anew", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  client.handle({ kind: "tick" }, LEASE_MS);
  const [effect] = client.handle({ kind: "tick" }, LEASE_MS + HOUSEKEEPING_TIMEOUT_MS);
  assert.equal(effect?.kind, "disconnect");

  const other = new AgentClient("ss1.example.com");
  other.handle({ kind: "tick" }, 0);
  const [hello] = sent(other.handle({ kind: "connected" }, 0));
  const refused = other.handle(
    { kind: "message", message: no(hello?.id ?? "", "ERR_CONTROL_VALUE") },
    1,
  );
  assert.deepEqual(refused, [{ kind: "disconnect", reason: "hello: ERR_CONTROL_VALUE" }]);
});

test("replies nobody waits for are passed over", () => {
  const client = risen();
  assert.deepEqual(client.handle({ kind: "message", message: ok("r999") }, 0), []);
  const message: AgentMessage = {
    kind: "reply",
    id: null,
    ok: false,
    error: { code: "ERR_CONTROL_SYNTAX", message: "no" },
  };
  assert.deepEqual(client.handle({ kind: "message", message }, 0), []);
});

test("closing while the put is on its way forgets the put", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a"), timeoutMs: 500 }, 0));
  client.handle({ kind: "close", session: "a", reason: "cancelled" }, 1);
  const message = ok(put?.id ?? "", { applied: 1 });
  assert.deepEqual(client.handle({ kind: "message", message }, 2), []);
  assert.deepEqual(client.handle({ kind: "disconnected" }, 3), [
    { kind: "availability", up: false },
  ]);
  assert.deepEqual(client.handle({ kind: "close", session: "a", reason: "again" }, 4), []);
});

test("close-all closes every session that was applied, and tells when it is done", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  apply(client, wanted("b"), 0);
  const closes = sent(client.handle({ kind: "close-all", reason: "stopped" }, 1));
  assert.deepEqual(
    closes.map((request) => request.kind === "session.close" && [request.session, request.reason]),
    [
      ["a", "stopped"],
      ["b", "stopped"],
    ],
  );
  assert.equal(client.isWaiting, true);
  for (const { id } of closes) client.handle({ kind: "message", message: ok(id) }, 2);
  assert.equal(client.isWaiting, false);
});

test("what must be recorded and is not is told from other refusals by the path of the error", () => {
  const client = risen();
  const [put] = sent(client.handle({ kind: "put", session: wanted("a"), timeoutMs: 2000 }, 0));
  const error = { code: "ERR_CONTROL_STATE", path: "recording", message: "no" };
  const message: AgentMessage = { kind: "reply", id: put?.id ?? "", ok: false, error };
  const [effect] = client.handle({ kind: "message", message }, 0);
  assert.ok(effect?.kind === "put-result" && effect.result.kind === "failed");
  assert.equal(effect.result.verdict, "not-recorded");
});

test("an agent that refuses to reconcile is left and tried anew; one that refuses a close is not", () => {
  const client = new AgentClient("ss1.example.com");
  client.handle({ kind: "tick" }, 0);
  assert.equal(client.deadline(), undefined);
  assert.deepEqual(client.handle({ kind: "tick" }, 1), []);
  const [hello] = sent(client.handle({ kind: "connected" }, 1));
  const said = sent(client.handle({ kind: "message", message: ok(hello?.id ?? "") }, 1));
  const end = said.at(-1)?.id ?? "";
  const refused = client.handle({ kind: "message", message: no(end, "ERR_CONTROL_STATE") }, 2);
  assert.deepEqual(refused, [{ kind: "disconnect", reason: "sync: ERR_CONTROL_STATE" }]);

  const other = risen();
  const [close] = sent(other.handle({ kind: "close", session: "x", reason: "bye" }, 0));
  const message = no(close?.id ?? "", "ERR_CONTROL_STATE");
  assert.deepEqual(other.handle({ kind: "message", message }, 1), []);
});

test("a session that was closed before its renewal was refused is not reported lost", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  const [again] = sent(client.handle({ kind: "tick" }, LEASE_MS));
  client.handle({ kind: "close", session: "a", reason: "bye" }, LEASE_MS);
  const message = no(again?.id ?? "", "ERR_CONTROL_STATE");
  assert.deepEqual(client.handle({ kind: "message", message }, LEASE_MS), []);
});

test("a connection lost before it served is tried again without further word", () => {
  const client = new AgentClient("ss1.example.com");
  client.handle({ kind: "tick" }, 0);
  assert.deepEqual(client.handle({ kind: "disconnected" }, 5), []);
  assert.equal(client.deadline(), 5 + RECONNECT_MS);
});

const BOB_ADDRESS = "10.20.0.2";
/** A session with one hole toward alice, from anywhere unless told otherwise. */
const withHole = (
  session: string,
  source?: string,
  revision = 1,
  port = 20_000,
): WantedSession => ({
  ...wanted(session, revision),
  pinholes: [
    {
      id: "caller.0.rtp",
      from: source === undefined ? {} : { address: source },
      to: { address: "10.10.0.2", port },
      media: "audio",
      component: "rtp",
    },
  ],
});

test("a put that shares packets with another session waits until that one has narrowed", () => {
  const client = risen();
  apply(client, withHole("a"), 0);
  const second = withHole("b", "10.20.0.3");
  assert.deepEqual(client.handle({ kind: "put", session: second, timeoutMs: 500 }, 0), []);
  assert.equal(client.deadline(), 500);
  const narrowed = withHole("a", BOB_ADDRESS, 2);
  const [narrowing] = sent(client.handle({ kind: "put", session: narrowed, timeoutMs: 500 }, 10));
  assert.ok(narrowing?.kind === "session.put" && narrowing.session === "a");
  const message = ok(narrowing.id, { applied: 2 });
  const [put] = sent(client.handle({ kind: "message", message }, 100));
  assert.ok(put?.kind === "session.put" && put.session === "b");
  assert.equal(client.deadline(), 500);
});

test("one from the same source waits until the other session is closed", () => {
  const client = risen();
  apply(client, withHole("a", BOB_ADDRESS), 0);
  const again = withHole("b", BOB_ADDRESS);
  assert.deepEqual(client.handle({ kind: "put", session: again, timeoutMs: 500 }, 0), []);
  const close = { kind: "close", session: "a", reason: "answered elsewhere" } as const;
  const requests = sent(client.handle(close, 10));
  assert.deepEqual(
    requests.map(({ kind }) => kind),
    ["session.close"],
  );
  const message = ok(requests[0]?.id ?? "", { counters: {}, exact: true });
  assert.equal(sent(client.handle({ kind: "message", message }, 20))[0]?.kind, "session.put");
});

test("one whose way is never free fails at its time; other ports and sources are no obstacle", () => {
  const client = risen();
  apply(client, withHole("a", BOB_ADDRESS), 0);
  for (const free of [withHole("c", "10.20.0.3"), withHole("d", BOB_ADDRESS, 1, 20_002)])
    assert.equal(sent(client.handle({ kind: "put", session: free, timeoutMs: 500 }, 0)).length, 1);
  client.handle({ kind: "put", session: withHole("b"), timeoutMs: 400 }, 0);
  const [failed] = client.handle({ kind: "tick" }, 400);
  assert.ok(failed?.kind === "put-result" && failed.session === "b");
  assert.deepEqual(failed.result, {
    kind: "failed",
    verdict: "gateway-refused",
    code: "ERR_CONTROL_STATE",
  });
});

test("what is held back fails with the connection, and is forgotten when its session is closed", () => {
  const client = risen();
  apply(client, withHole("a"), 0);
  client.handle({ kind: "put", session: withHole("b"), timeoutMs: 500 }, 0);
  client.handle({ kind: "put", session: withHole("c"), timeoutMs: 500 }, 0);
  client.handle({ kind: "close", session: "b", reason: "BYE" }, 0);
  const lost = client.handle({ kind: "disconnected" }, 0);
  assert.deepEqual(
    lost.map((effect) => (effect.kind === "put-result" ? effect.session : effect.kind)),
    ["availability", "c"],
  );
});

test("the close of all closes also what the agent was asked for and has not answered", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  client.handle({ kind: "put", session: wanted("b"), timeoutMs: 500 }, 0);
  const closed = sent(client.handle({ kind: "close-all", reason: "stopped" }, 0));
  assert.deepEqual(
    closed.map((request) => request.kind === "session.close" && request.session),
    ["a", "b"],
  );
});

test("what the agent holds from before a restart is said again, and what is not named it closes", () => {
  const client = new AgentClient("ss1.example.com");
  const stored = [wanted("a", 7), wanted("b", 3)];
  assert.deepEqual(client.handle({ kind: "resume", sessions: stored }, 0), [{ kind: "connect" }]);
  const [hello] = sent(client.handle({ kind: "connected" }, 0));
  const [begin, ...more] = sent(
    client.handle({ kind: "message", message: ok(hello?.id ?? "") }, 0),
  );
  assert.equal(begin?.kind, "sync.begin");
  assert.deepEqual(
    more.map((request) =>
      request.kind === "session.put" ? [request.session, request.revision] : request.kind,
    ),
    [["a", 7], ["b", 3], "sync.end"],
  );
  assert.equal(more[2]?.kind === "sync.end" && more[2].count, 2);
  const [lost] = client.handle(
    { kind: "message", message: no(more[0]?.id ?? "", "ERR_CONTROL_STATE") },
    0,
  );
  assert.deepEqual(lost, { kind: "session-lost", session: "a", code: "ERR_CONTROL_STATE" });
});

const narrower = (session: string, revision: number): WantedSession => ({
  ...wanted(session, revision),
  leaseMs: LEASE_MS + 1,
});

test("what only narrows is what counts from then on, also while the agent is away", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  client.handle({ kind: "disconnected" }, 10);
  const put = { kind: "put", session: narrower("a", 2), timeoutMs: 100, background: true } as const;
  assert.deepEqual(client.handle(put, 20), []);
  client.handle({ kind: "tick" }, 1_000);
  const [hello] = sent(client.handle({ kind: "connected" }, 1_000));
  const requests = sent(client.handle({ kind: "message", message: ok(hello?.id ?? "") }, 1_000));
  const again = requests.find(({ kind }) => kind === "session.put");
  assert.equal(again?.kind === "session.put" && again.revision, 2);
});

test("a put that is answered after a narrower one was sent does not come back", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  const [wide] = sent(client.handle({ kind: "put", session: wanted("a", 2), timeoutMs: 2000 }, 0));
  const put = { kind: "put", session: narrower("a", 3), timeoutMs: 100, background: true } as const;
  const [narrow] = sent(client.handle(put, 10));
  assert.equal(narrow?.kind === "session.put" && narrow.revision, 3);
  client.handle({ kind: "message", message: ok(wide?.id ?? "", { applied: 2 }) }, 20);
  client.handle({ kind: "message", message: ok(narrow?.id ?? "", { applied: 3 }) }, 20);
  const [renewal] = sent(client.handle({ kind: "tick" }, LEASE_MS));
  assert.equal(renewal?.kind === "session.put" && renewal.revision, 3);
});

test("a refused renewal of what has been replaced since loses nothing", () => {
  const client = risen();
  apply(client, wanted("a"), 0);
  const [renewal] = sent(client.handle({ kind: "tick" }, LEASE_MS / 3));
  apply(client, wanted("a", 2), LEASE_MS / 3);
  const message = no(renewal?.id ?? "", "ERR_CONTROL_STATE");
  assert.deepEqual(client.handle({ kind: "message", message }, LEASE_MS / 3), []);
});
