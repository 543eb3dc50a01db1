import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { IngestFramer } from "../../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeRecorderMessage,
  encodeAgentMessage,
} from "../../../protocol/ingest/messages.ts";
import {
  IngestServer,
  MAX_CONNECTIONS,
  MAX_UNSENT_BYTES,
} from "../../../recorder/io/ingest-server.ts";

const directory = mkdtempSync(join(tmpdir(), "keyhole-ingest-"));
after(() => rmSync(directory, { recursive: true }));
let sockets = 0;
const newPath = () => join(directory, `${sockets++}.sock`);
const GAP: AgentMessage = { kind: "gap", reason: "r", fromMicros: 1, toMicros: 2 };
const HELLO: AgentMessage = { kind: "hello", version: 1 };
const REPLY = { kind: "order-reply", id: 1, result: "accepted" } as const;

/** A server whose events are awaited one by one. */
async function serve(path = newPath()) {
  const events: string[] = [];
  let wake = () => {};
  const happened = (event: string) => {
    events.push(event);
    wake();
  };
  const server = await IngestServer.listen(path, {
    onMessage: (connection, message) => happened(`${connection} ${message.kind}`),
    onClosed: (connection, fault) => happened(`${connection} closed ${fault}`),
  });
  const next = async () => {
    while (events.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return events.shift();
  };
  return { path, server, next };
}

const dial = (path: string): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = connect(path, () => resolve(socket));
    socket.on("error", () => undefined);
  });

describe("ingest server", () => {
  it("takes messages after a hello and answers on the same connection", async () => {
    const { path, server, next } = await serve();
    assert.equal(statSync(path).mode & 0o777, 0o660);
    const socket = await dial(path);
    socket.write(encodeAgentMessage(HELLO));
    socket.write(encodeAgentMessage(GAP));
    assert.equal(await next(), "1 gap");
    server.send(1, REPLY);
    server.send(9, REPLY);
    const chunk = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    assert.deepEqual(new IngestFramer().push(chunk).map(decodeRecorderMessage), [REPLY]);
    socket.end();
    assert.equal(await next(), "1 closed undefined");
    await server.close();
  });

  it("hangs up on who says no hello, or nonsense, and says why", async () => {
    const { path, server, next } = await serve();
    const bad: readonly [Buffer, RegExp][] = [
      [encodeAgentMessage(GAP), /ERR_INGEST_SYNTAX: no hello/],
      [Buffer.from("GET / HTTP/1.1"), /ERR_INGEST_LIMIT/],
      [
        Buffer.concat([encodeAgentMessage(HELLO), Buffer.from("00000002ff00", "hex")]),
        /frame kind 255/,
      ],
    ];
    for (const [octets, fault] of bad) {
      const socket = await dial(path);
      socket.write(octets);
      assert.match((await next()) ?? "", fault);
    }
    await server.close();
  });

  it("lets go of a peer who never reads", async () => {
    const { path, server, next } = await serve();
    const socket = await dial(path);
    socket.pause();
    socket.write(encodeAgentMessage(HELLO));
    socket.write(encodeAgentMessage(GAP));
    await next();
    const refused = "r".repeat(256);
    for (let n = 0; n < (2 * MAX_UNSENT_BYTES) / 256; n++)
      server.send(1, { kind: "order-reply", id: n, result: { refused } });
    assert.match((await next()) ?? "", /^1 closed/);
    socket.destroy();
    await server.close();
  });

  it("replaces a socket that nobody answers on, and takes none from a living server", async () => {
    const path = newPath();
    const first = await serve(path);
    await assert.rejects(serve(path), { code: "EADDRINUSE" });
    await first.server.close();
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(path, resolve));
    // What a killed process leaves: the name without a listener.
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => stale.close(resolve));
    renameSync(`${path}.kept`, path);
    const second = await serve(path);
    assert.ok((await dial(path)).writable);
    await second.server.close();
  });

  it("serves so many agents and no more", async () => {
    const { path, server, next } = await serve();
    const all = [];
    for (let n = 0; n <= MAX_CONNECTIONS; n++) all.push(await dial(path));
    const last = all.at(-1);
    if (last !== undefined && !last.destroyed)
      await new Promise((resolve) => last.once("close", resolve));
    all[0]?.write(encodeAgentMessage(HELLO));
    all[0]?.write(encodeAgentMessage(GAP));
    assert.equal(await next(), "1 gap");
    await server.close();
  });
});
