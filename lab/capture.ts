/** Captures what passes a host's link into a file. Runs tcpdump in the host. */
import { readFileSync } from "node:fs";
import { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import type { LeafName } from "./topology.ts";

export interface Capture {
  /** Ends it and returns the file, a classic pcap. */
  stop(): Promise<Buffer>;
}

const SETTLE_MS = 100;
const TCPDUMP = ["tcpdump", "-i", "eth0", "-s", "0", "-n", "-U", "--immediate-mode", "-Z", "root"];

/** Starts listening; what passes after it resolves, and fits the filter, is caught. */
export async function startCapture(
  network: Network,
  host: LeafName,
  file: string,
  filter: "tcp" | "udp",
): Promise<Capture> {
  const argv = [...TCPDUMP, "-w", file, filter];
  const child = network.spawn(host, argv, { stdio: ["ignore", "pipe", "pipe"] });
  const tcpdump = new LabProcess(`tcpdump in ${host}`, child);
  await tcpdump.line("listening", (line) => line.includes("listening on"));
  return {
    async stop() {
      // Time for tcpdump to read what passed a moment ago.
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await tcpdump.stop("SIGINT");
      return readFileSync(file);
    },
  };
}
