/**
 * TCP connections made and taken inside a host of the lab network, used from this process: what a
 * test needs to be a peer there. A helper process in the host joins each to a Unix socket of ours.
 * Touches that process and a folder of sockets.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, connect as netConnect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import type { HostName } from "./topology.ts";

const BRIDGE = fileURLToPath(new URL("./inner-sockets-bridge.ts", import.meta.url));
/** What the bridge sends back over a joined socket once the far connection stands. */
const CONNECTED = 0x2b;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface InnerSockets {
  /** Opens a connection from the host. @throws Error if it is refused. */
  connect(to: Endpoint): Promise<Socket>;
  /** Takes connections in the host. */
  listen(at: Endpoint, onConnection: (socket: Socket) => void): Promise<void>;
  close(): Promise<void>;
}

export async function openInnerSockets(network: Network, host: HostName): Promise<InnerSockets> {
  const directory = mkdtempSync(join(tmpdir(), "keyhole-inner-"));
  const bridgeSocket = join(directory, "bridge.sock");
  const argv = [process.execPath, BRIDGE, bridgeSocket];
  const child = network.spawn(host, argv, { stdio: ["pipe", "pipe", "inherit"] });
  const bridge = new LabProcess(`bridge in ${host}`, child);
  await bridge.event({ event: "ready" });

  const closers: (() => void)[] = [];
  let served = 0;
  return {
    async connect(to) {
      const socket = netConnect(bridgeSocket);
      socket.write(`${JSON.stringify(to)}\n`);
      await connected(socket, to);
      return socket;
    },
    async listen(at, onConnection) {
      mkdirSync(directory, { recursive: true });
      const path = join(directory, `${++served}.sock`);
      const server = createServer(onConnection);
      await new Promise<void>((resolve) => server.listen(path, resolve));
      closers.push(() => server.close());
      bridge.send({ listen: at, path });
      await bridge.event({ event: "listening", path });
    },
    async close() {
      for (const closer of closers) closer();
      await bridge.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function connected(socket: Socket, to: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (): void => reject(new Error(`no connection to ${to.address}:${to.port}`));
    socket.once("error", refused).once("close", refused);
    socket.once("readable", () => {
      const mark = socket.read(1) as Buffer | null;
      if (mark?.[0] !== CONNECTED) return refused();
      socket.off("error", refused).off("close", refused);
      resolve();
    });
  });
}
