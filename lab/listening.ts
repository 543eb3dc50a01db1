/** Waits until a program of the lab has its SIP port, without being a peer to it. Reads /proc/net. */
import type { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import type { HostName } from "./topology.ts";

const ATTEMPTS = 400;
const PAUSE_MS = 25;

/** Looks into the host's socket tables. @throws Error the program ended, or has no socket in time. */
export async function untilListening(
  network: Network,
  host: HostName,
  program: LabProcess,
  port: number,
): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const bound = new RegExp(`:${hex} 00000000:0000 (?:07|0A) `); // a UDP socket, a TCP listener
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (program.exit !== undefined) throw new Error(`${program.name} ended: ${program.tail(10)}`);
    if (bound.test(network.run(host, ["cat", "/proc/net/tcp", "/proc/net/udp"]))) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new Error(`${program.name} does not listen: ${program.tail(10)}`);
}
