/**
 * A call in clear, placed to prove that the search for keys and SDP finds them where they are. The
 * gateway opens nothing for it, so its phones talk into the void.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startPhones } from "./call.ts";
import type { Stage } from "./stage.ts";
import type { TcpStream } from "./tcp-streams.ts";
import { startWireTap } from "./wire-tap.ts";

/** Returns the signalling of the call on the links that are not trusted. */
export async function placeControlCall(
  stage: Stage,
  results: string,
): Promise<readonly TcpStream[]> {
  mkdirSync(results, { recursive: true });
  const tap = await startWireTap(stage.network, "biloxi", join(results, "signalling-biloxi.pcap"));
  const { alice, bob } = await startPhones(stage, { results, sealing: { enabled: false } });
  await bob.event("incoming");
  bob.tell("answer");
  await Promise.all([alice.event("answered"), bob.event("answered")]);
  alice.tell("hangup");
  await Promise.all([alice.event("ended"), bob.event("ended")]);
  await Promise.all([alice.process.exited, bob.process.exited]);
  return tap.stop();
}
