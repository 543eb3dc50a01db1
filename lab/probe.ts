/**
 * Proves with packets what the gateway lets through: frames built by hand are put on the wire at one
 * host, under any source address, and looked for at the other. Two helper processes, in alice and bob.
 */
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import { LEAVES } from "./topology.ts";
import { encodeUdpFrame, type UdpEndpoint } from "./udp-frame.ts";

const CHILD = fileURLToPath(new URL("./probe-child.ts", import.meta.url));
/** The gateway is slow or broken if what it always lets through has not come by then. */
const WITNESS_TIMEOUT_MS = 10_000;
/** How much later than its witness a packet may come: two processors may swap them. */
const OVERTAKEN_MS = 50;
/** Discard (RFC 863): no media port, so that no pinhole is needed. */
const WITNESS_PORT = 9;
const SERIAL_BYTES = 8;
/** Ends every test packet, before its serial. Its first octet has the version bits of no RTP. */
export const PROBE_MAGIC = Buffer.from("KHPROBE!", "latin1");

export type ProbeHost = "alice" | "bob";

export interface Flow {
  readonly fromHost: ProbeHost;
  readonly from: UdpEndpoint;
  readonly to: UdpEndpoint;
  /** Stands before the marker, for packets that should look like something. */
  readonly prefix?: Buffer;
}

export interface Probes {
  /**
   * Sends one packet a flow and tells which arrived on the link beyond the gateway. A packet to the discard port
   * goes behind each: that one must be let through, and when it is there the other has been dropped.
   */
  try(flows: readonly Flow[]): Promise<readonly boolean[]>;
  /** As `try`, of one flow, with the times of sending and arrival. */
  time(flow: Flow): Promise<{ readonly sentMs: number; readonly arrivedMs: number | undefined }>;
  close(): Promise<void>;
}

export async function openProbes(network: Network): Promise<Probes> {
  const hosts: Record<ProbeHost, LabProcess> = {
    alice: startChild(network, "alice"),
    bob: startChild(network, "bob"),
  };
  const ready = await Promise.all(
    Object.values(hosts).map((host) => host.event({ event: "ready" })),
  );
  if (ready.length !== 2) throw new Error("a probe did not start");

  const time: Probes["time"] = async (flow) => {
    const [serial, witness] = [newSerial(), newSerial()];
    const sender = hosts[flow.fromHost];
    const receiver = hosts[flow.fromHost === "alice" ? "bob" : "alice"];
    const from = receiver.lines.length;
    const seen = (serials: readonly string[], timeoutMs: number) =>
      receiver.line(
        "probe",
        (line) => serials.some((each) => line.includes(each)),
        timeoutMs,
        from,
      );
    const first = seen([serial, witness], WITNESS_TIMEOUT_MS);
    const sentMs = performance.timeOrigin + performance.now();
    sender.send({ inject: frameOf(flow, serial).toString("base64") });
    sender.send({ inject: frameOf(witnessOf(flow), witness).toString("base64") });
    const line = await first;
    if (line.includes(serial)) return { sentMs, arrivedMs: arrivalTime(line) };
    const late = await seen([serial], OVERTAKEN_MS).catch((): undefined => undefined);
    return { sentMs, arrivedMs: late === undefined ? undefined : arrivalTime(late) };
  };
  return {
    time,
    async try(flows) {
      const results = await Promise.all(flows.map(time));
      return results.map(({ arrivedMs }) => arrivedMs !== undefined);
    },
    async close() {
      await Promise.all(Object.values(hosts).map((host) => host.stop()));
    },
  };
}

function startChild(network: Network, host: ProbeHost): LabProcess {
  const argv = [process.execPath, CHILD, PROBE_MAGIC.toString("hex"), String(SERIAL_BYTES)];
  const child = network.spawn(host, argv, { stdio: ["pipe", "pipe", "pipe"] });
  return new LabProcess(`probe in ${host}`, child);
}

function frameOf(flow: Flow, serial: string): Buffer {
  const { mac, routerMac } = LEAVES[flow.fromHost];
  return encodeUdpFrame({
    sourceMac: mac,
    destinationMac: routerMac,
    source: flow.from,
    destination: flow.to,
    payload: Buffer.concat([
      flow.prefix ?? Buffer.alloc(0),
      PROBE_MAGIC,
      Buffer.from(serial, "hex"),
    ]),
  });
}

/** What takes the same way behind a probe and always arrives: when it has, the probe was dropped. */
function witnessOf({ fromHost }: Flow): Flow {
  const [from, to] = fromHost === "alice" ? [LEAVES.alice, LEAVES.bob] : [LEAVES.bob, LEAVES.alice];
  const end = ({ address }: { readonly address: string }) => ({ address, port: WITNESS_PORT });
  return { fromHost, from: end(from), to: end(to) };
}

const newSerial = (): string => randomBytes(SERIAL_BYTES).toString("hex");

function arrivalTime(line: string): number {
  return (JSON.parse(line) as { readonly atMs: number }).atMs;
}
