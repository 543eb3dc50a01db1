/**
 * Runs inside a host of the lab network for `probe.ts`: puts frames on its link as they are told on
 * stdin and reports each marked packet that the link brings. AF_PACKET by way of `cap`.
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { decodeUdpFrame } from "./udp-frame.ts";

interface Capture {
  open(device: string, filter: string, bufferBytes: number, buffer: Buffer): string;
  send(frame: Buffer, bytes: number): void;
  on(event: "packet", listener: (bytes: number) => void): void;
}

const { Cap } = createRequire(import.meta.url)("cap") as { Cap: new () => Capture };
const RING_BYTES = 16 * 1024 * 1024;
const MAX_FRAME_BYTES = 65_535;

const magic = Buffer.from(process.argv[2] ?? "", "hex");
const serialBytes = Number(process.argv[3]);
const own = new Set<string>();
const frame = Buffer.alloc(MAX_FRAME_BYTES);
const capture = new Cap();

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

/** The serial at the end of a marked packet. */
function serialOf(octets: Buffer): string | undefined {
  const payload = decodeUdpFrame(octets)?.payload;
  if (payload === undefined) return undefined;
  const at = payload.length - serialBytes;
  if (at < magic.length || !payload.subarray(at - magic.length, at).equals(magic)) return undefined;
  return payload.toString("hex", at);
}

capture.open("eth0", "udp", RING_BYTES, frame);
capture.on("packet", (bytes) => {
  const serial = serialOf(frame.subarray(0, bytes));
  if (serial === undefined || own.delete(serial)) return;
  say({ event: "seen", serial, atMs: performance.timeOrigin + performance.now() });
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const octets = Buffer.from((JSON.parse(line) as { inject: string }).inject, "base64");
    const serial = serialOf(octets);
    if (serial !== undefined) own.add(serial);
    capture.send(octets, octets.length);
  })
  .on("close", () => process.exit(0));

say({ event: "ready" });
