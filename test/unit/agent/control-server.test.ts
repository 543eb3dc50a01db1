import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import {
  ControlServer,
  MAX_CONTROL_CONNECTIONS,
  MAX_UNREAD_BYTES,
} from "../../../agent/io/control-server.ts";
import { MAX_CONTROL_LINE_BYTES } from "../../../protocol/control/line-codec.ts";
import { createLogger } from "../../../runtime/logger.ts";

let directory: string;
let path: string;
let requests: [number, string][];
let gone: number[];
let server: ControlServer;
const sockets: Socket[] = [];

function createControlServer(): ControlServer {
  return new ControlServer({
    socket: path,
    log: createLogger("test", "silent"),
    onRequest: (connection, { id }) => {
      requests.push([connection, id]);
      server.send(connection, { kind: "reply", id, ok: true });
    },
    onDisconnected: (connection) => gone.push(connection),
  });
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "kh-"));
  path = join(directory, "agent.sock");
  requests = [];
  gone = [];
  server = createControlServer();
  await server.listen();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true });
});

async function connect(): Promise<Socket> {
  const socket = createConnection(path);
  sockets.push(socket);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

async function nextLines(socket: Socket, count: number): Promise<Record<string, unknown>[]> {
  let text = "";
  while (text.split("\n").length <= count) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString();
  }
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("the socket is for owner and group alone", () => {
  assert.equal(statSync(path).mode & 0o777, 0o660);
});

test("requests come whole, however they are cut; bad lines between them cost an error each", async () => {
  const socket = await connect();
  const answers = nextLines(socket, 5);
  for (const part of [
    '{"kind":"hea',
    'lth","id":"1"}\n\n{"kind"',
    ':"health","id":"2"}\n',
    "nonsense\n",
  ])
    socket.write(part);
  socket.write("x".repeat(MAX_CONTROL_LINE_BYTES + 1));
  socket.write('\n{"kind":"health","id":"3"}\n');
  const codes = (await answers).map(({ ok, error }) => ok || (error as { code: string }).code);
  const [syntax, limit] = ["ERR_CONTROL_SYNTAX", "ERR_CONTROL_LIMIT"];
  assert.deepEqual(codes.slice(0, 5), [true, syntax, true, syntax, limit]);
  if (requests.length < 3) await nextLines(socket, 1);
  assert.deepEqual(requests, [
    [1, "1"],
    [1, "2"],
    [1, "3"],
  ]);
});

test("a controller that does not read is cut off; others are served", async () => {
  const [deaf, other] = [await connect(), await connect()];
  deaf.pause();
  const closed = Array(900).fill("s".repeat(64));
  for (let bytes = 0; bytes < 2 * MAX_UNREAD_BYTES; bytes += 60_000)
    server.send(1, { kind: "reply", id: "1", ok: true, closed });
  while (gone.length === 0) await new Promise(setImmediate);
  assert.deepEqual(gone, [1]);
  other.write('{"kind":"health","id":"1"}\n');
  assert.equal((await nextLines(other, 1))[0]?.["ok"], true);
});

test(`no more than ${MAX_CONTROL_CONNECTIONS} connections at a time`, async () => {
  for (let n = 0; n < MAX_CONTROL_CONNECTIONS; n += 1) await connect();
  const late = await connect();
  await once(late.resume(), "close");
  sockets[0]?.destroy();
  while (gone.length === 0) await new Promise(setImmediate);
  const next = await connect();
  next.write('{"kind":"health","id":"1"}\n');
  assert.equal((await nextLines(next, 1))[0]?.["ok"], true);
});

test("a second agent does not take the socket from a living one, but from a dead one", async () => {
  await assert.rejects(createControlServer().listen(), /another agent/);
  server.close();
  writeFileSync(path, "");
  server = createControlServer();
  await server.listen();
  await connect();
});
