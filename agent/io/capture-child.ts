/**
 * The capture process: copies what the kernel logs to one NFLOG group to its stdout, as frames of the ingest protocol,
 * and does nothing else. `cap` can abort its process; here that costs a stated gap and nothing more.
 *
 * Argument: the group. It waits, loaded and ready, until anything is said on its stdin, and then binds the group; first
 * frame: `hello`. It ends with its stdin, that is with the agent.
 */
import { Socket } from "node:net";
import cap from "cap";
import {
  type CapturedPacket,
  encodeBatch,
  encodeFrame,
  FRAME_KINDS,
} from "../../protocol/ingest/frames.ts";

/** Becomes the NFLOG socket's receive buffer, as far as net.core.rmem_max allows. */
const SOCKET_BUFFER_BYTES = 16 * 1024 * 1024;
/** What `cap` sets as snaplen. */
const PACKET_BUFFER_BYTES = 65_535;
const FLUSH_BYTES = 64 * 1024;
const FLUSH_MS = 20;
/** More than this unread by the agent, and packets are dropped with a stated gap. */
const MAX_UNREAD_BYTES = 32 * 1024 * 1024;
const EXIT_OPEN = 71; // EX_OSERR of sysexits.h

// Not process.stdout, whose writes to a pipe block the process: the kernel would overrun us.
const output = new Socket({ fd: 1, readable: false, writable: true });
// Kept in a module variable: the native side writes to it for as long as the capture lives.
const packetBuffer = Buffer.alloc(PACKET_BUFFER_BYTES);
let packets: CapturedPacket[] = [];
let packetBytes = 0;
let gapFromMicros: number | undefined;

function main(): void {
  const group = Number(process.argv[2]);
  if (!Number.isInteger(group) || group < 0 || group > 65_535)
    throw new RangeError("capture: the group is 0 to 65535");
  process.stdin.on("end", () => process.exit(0)).once("data", () => open(group));
  output.on("error", () => process.exit(0));
}

function open(group: number): void {
  const capture = new cap.Cap();
  capture.on("packet", (bytes) => take(packetBuffer.subarray(0, bytes)));
  try {
    capture.open(`nflog:${group}`, "", SOCKET_BUFFER_BYTES, packetBuffer);
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
    process.exit(EXIT_OPEN); // at once: a Cap that failed to open aborts when it is collected
  }
  output.write(encodeJson(FRAME_KINDS.hello, { version: 1 }));
}

function take(octets: Buffer): void {
  if (packets.length === 0) setTimeout(flush, FLUSH_MS);
  packets.push({ captureMicros: nowMicros(), nflog: Buffer.from(octets) });
  packetBytes += octets.length;
  if (packetBytes >= FLUSH_BYTES) flush();
}

function flush(): void {
  const [first] = packets;
  if (first === undefined) return;
  if (output.writableLength > MAX_UNREAD_BYTES) gapFromMicros ??= first.captureMicros;
  else {
    stateGap(first.captureMicros);
    output.write(encodeFrame(FRAME_KINDS.batch, encodeBatch(packets)));
  }
  packets = [];
  packetBytes = 0;
}

function stateGap(toMicros: number): void {
  if (gapFromMicros === undefined) return;
  const fromMicros = gapFromMicros;
  gapFromMicros = undefined;
  output.write(encodeJson(FRAME_KINDS.gap, { reason: "agent too slow", fromMicros, toMicros }));
}

/** As `protocol/ingest/messages.ts` does; that module's schemas would double the time to be ready. */
function encodeJson(kind: number, value: object): Buffer {
  return encodeFrame(kind, Buffer.from(JSON.stringify(value)));
}

function nowMicros(): number {
  return Date.now() * 1000;
}

main();
