/**
 * Stands between controller and agent and hands on what the controller says some time later: a slow
 * agent, as the controller sees it. Touches one Unix socket.
 */
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { SOCKET_GROUPS } from "./site-config.ts";

export interface SlowRelay {
  close(): void;
}

const ROOT = 0;

export async function openSlowRelay(
  path: string,
  agentSocket: string,
  delayMs: number,
): Promise<SlowRelay> {
  mkdirSync(dirname(path), { recursive: true });
  const sockets = new Set<Socket>();
  const server = createServer((controller) => {
    const agent = connect(agentSocket);
    for (const [one, other] of [
      [controller, agent],
      [agent, controller],
    ] as const) {
      sockets.add(one);
      one.on("error", () => one.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    controller.on("data", (chunk) => setTimeout(() => agent.write(chunk), delayMs));
    agent.pipe(controller);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  chownSync(path, ROOT, SOCKET_GROUPS.control);
  chmodSync(path, 0o660);
  return {
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
