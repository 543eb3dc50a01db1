/** The other side of our SRTP: GStreamer's command line, on 127.0.0.1 only. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

export const HOST = "127.0.0.1";
/** A test that waits for GStreamer is given so long. */
export const TIMEOUT_MS = 20_000;
export const WAIT_MS = 10_000;

export interface Pipeline {
  /** Waits for its end; fails with what it said. */
  finished(): Promise<void>;
  stop(): Promise<void>;
}

/** Runs `gst-launch-1.0` on loopback. */
export function gstreamer(...pipeline: string[]): Pipeline {
  const words = pipeline.join(" ").split(" ");
  const child = spawn("gst-launch-1.0", ["-q", ...words], { stdio: ["ignore", "pipe", "pipe"] });
  const watchdog = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS - 2000);
  const closed = once(child, "close").finally(() => clearTimeout(watchdog));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      said += chunk;
    });
  return {
    async finished() {
      const [code] = await closed;
      assert.equal(code, 0, said);
    },
    async stop() {
      child.kill("SIGTERM");
      const [code, signal] = await closed;
      assert.ok(code === 0 || signal === "SIGTERM", said);
    },
  };
}

/** A UDP socket that keeps what it receives. */
export async function listen(): Promise<{ socket: Socket; port: number; packets: Buffer[] }> {
  const socket = createSocket("udp4");
  const packets: Buffer[] = [];
  socket.on("message", (packet) => packets.push(packet));
  socket.bind(0, HOST);
  await once(socket, "listening");
  return { socket, port: socket.address().port, packets };
}

export async function freePort(): Promise<number> {
  const { socket, port } = await listen();
  socket.close();
  await once(socket, "close");
  return port;
}

/** Waits until so many packets are there. */
export async function arrived(packets: readonly Buffer[], count: number): Promise<void> {
  const until = Date.now() + WAIT_MS;
  while (packets.length < count && Date.now() < until) await sleep(20);
  assert.ok(packets.length >= count, `${packets.length} of ${count} packets`);
}
