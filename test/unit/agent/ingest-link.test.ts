import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { Gap } from "../../../agent/io/capture.ts";
import {
  IngestLink,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_MESSAGES,
} from "../../../agent/io/ingest-link.ts";
import {
  encodeBatch,
  encodeFrame,
  FRAME_KINDS,
  IngestFramer,
} from "../../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeAgentMessage,
  encodeRecorderMessage,
  type RecorderMessage,
} from "../../../protocol/ingest/messages.ts";
import { createLogger } from "../../../runtime/logger.ts";

const CLOSE: AgentMessage = {
  kind: "close",
  session: "s1",
  reason: "bye",
  counters: {},
  exact: true,
};
const batch = (bytes: number) =>
  encodeFrame(FRAME_KINDS.batch, encodeBatch([{ captureMicros: 1, nflog: Buffer.alloc(bytes) }]));

let directory: string;
let path: string;
let server: Server | undefined;
let link: IngestLink;
let heard: (boolean | RecorderMessage | Gap)[];
let waiting: (() => void)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kh-"));
  path = join(directory, "ingest.sock");
  // Of this test alone: the link of the one before may have a last word.
  const own: typeof heard = [];
  heard = own;
  waiting = [];
  const hear = (what: boolean | RecorderMessage | Gap) => {
    own.push(what);
    for (const wake of waiting.splice(0)) wake();
  };
  link = new IngestLink({
    socket: path,
    log: createLogger("test", "silent"),
    onConnected: hear,
    onMessage: hear,
    onGap: hear,
  });
});
afterEach(() => {
  link.stop();
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true });
});

/** Starts to listen; resolves with the link's connection. */
async function listen(): Promise<Socket> {
  server = createServer();
  server.listen(path);
  const [socket] = (await once(server, "connection")) as [Socket];
  return socket;
}

/** The first messages on a connection. */
async function read(socket: Socket, count: number): Promise<AgentMessage[]> {
  const framer = new IngestFramer();
  const messages: AgentMessage[] = [];
  for await (const chunk of socket) {
    messages.push(...framer.push(chunk as Buffer).map(decodeAgentMessage));
    if (messages.length >= count) break;
  }
  return messages;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise<void>((resolve) => waiting.push(resolve));
}

test("what waits for the recorder comes after hello, in order, and packets with it", async () => {
  link.start();
  link.sendBatch(batch(10));
  link.send(CLOSE);
  const messages = await read(await listen(), 3);
  assert.deepEqual(
    messages.map(({ kind }) => kind),
    ["hello", "batch", "close"],
  );
});

test("the recorder's answers are handed on; nonsense costs it the connection, which is made anew", async () => {
  link.start();
  const socket = await listen();
  socket.resume();
  socket.write(encodeRecorderMessage({ kind: "order-reply", id: "1", result: "accepted" }));
  await until(() => heard.length >= 2);
  assert.deepEqual(heard, [true, { kind: "order-reply", id: "1", result: "accepted" }]);
  const again = once(server as Server, "connection");
  socket.write(encodeFrame(77, Buffer.from("?")));
  await until(() => heard.length >= 3);
  assert.equal(heard[2], false);
  await again;
});

test(`beyond ${MAX_QUEUED_BYTES} octets packets are dropped, with a stated gap, and closes are kept`, async () => {
  const frame = batch(64_000);
  for (let n = 0; n * frame.length <= MAX_QUEUED_BYTES; n += 1) link.sendBatch(frame);
  link.send(CLOSE);
  link.start();
  const fits = Math.floor(MAX_QUEUED_BYTES / frame.length);
  const messages = await read(await listen(), fits + 3);
  const kinds = messages.map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === "batch").length, fits);
  assert.deepEqual(kinds.slice(-2), ["gap", "close"]);
  const [gap] = heard.filter(
    (what): what is Gap => typeof what === "object" && "fromMicros" in what,
  );
  assert.equal(gap?.reason, "recorder too slow");
});

test(`more than ${MAX_QUEUED_MESSAGES} messages do not wait`, async () => {
  for (let n = 0; n < MAX_QUEUED_MESSAGES + 5; n += 1) link.send(CLOSE);
  link.start();
  const messages = await read(await listen(), MAX_QUEUED_MESSAGES + 1);
  assert.equal(messages.length, MAX_QUEUED_MESSAGES + 1);
});
