/**
 * Listens to the clear signalling on a host's link and searches it for what nobody there may see:
 * SRTP keys and SDP lines. Runs tcpdump in the host; the search itself is pure.
 */
import { startCapture } from "./capture.ts";
import type { Network } from "./network.ts";
import { readTcpStreams, type TcpStream } from "./tcp-streams.ts";
import type { LeafName } from "./topology.ts";

export interface WireTap {
  /** Ends the capture and returns all TCP it saw. */
  stop(): Promise<readonly TcpStream[]>;
}

/** What the search looks for, and whether it was there. */
export interface Findings {
  /** Key octets as they are, anywhere, also inside base64. */
  readonly rawKeys: boolean;
  /** Keys as `a=crypto` writes them. */
  readonly base64Keys: boolean;
  readonly mediaLines: boolean;
  readonly connectionLines: boolean;
  readonly cryptoLines: boolean;
}

/** Long enough not to be found by chance in encrypted octets. */
const MEDIA_LINE = /(?:^|[\r\n])m=[a-z]+ \d+ /;
const CONNECTION_LINE = /(?:^|[\r\n])c=IN IP[46] /;
const CRYPTO_LINE = /(?:^|[\r\n])a=crypto:\d+ /;
/** Lines of base64 one under the other; a blank line ends it. */
const BASE64_RUN = /[A-Za-z\d+/]{16,}(?:\r?\n[A-Za-z\d+/]+)*/g;
const BASE64_ALIGNMENTS = [0, 1, 2, 3];

/** Starts listening; what passes after it resolves is caught. */
export async function startWireTap(
  network: Network,
  host: LeafName,
  file: string,
): Promise<WireTap> {
  const capture = await startCapture(network, host, file, "tcp");
  return { stop: async () => readTcpStreams(await capture.stop()) };
}

/** Searches signalling for these keys (master key and salt as one) and for any SDP. Pure. */
export function searchSignalling(streams: readonly TcpStream[], keys: readonly Buffer[]): Findings {
  const views = streams.flatMap(({ octets }) => [octets, ...base64Contents(octets)]);
  const texts = views.map((view) => view.toString("latin1"));
  const hasText = (pattern: RegExp): boolean => texts.some((text) => pattern.test(text));
  return {
    rawKeys: keys.some((key) => views.some((view) => view.includes(key))),
    base64Keys: keys.some((key) => texts.some((text) => text.includes(unpaddedBase64(key)))),
    mediaLines: hasText(MEDIA_LINE),
    connectionLines: hasText(CONNECTION_LINE),
    cryptoLines: hasText(CRYPTO_LINE),
  };
}

export const isAnythingFound = (findings: Findings): boolean =>
  Object.values(findings).some((found) => found);

export const isAllFound = (findings: Findings): boolean =>
  Object.values(findings).every((found) => found);

/** What runs of base64 hold, wherever in the run it may have begun. */
function base64Contents(octets: Buffer): Buffer[] {
  const runs = octets.toString("latin1").match(BASE64_RUN) ?? [];
  return runs
    .map((run) => run.replace(/[\r\n]/g, ""))
    .flatMap((run) => BASE64_ALIGNMENTS.map((skip) => Buffer.from(run.slice(skip), "base64")));
}

function unpaddedBase64(key: Buffer): string {
  return key.toString("base64").replace(/=+$/, "");
}
