/**
 * What controllers are told without having asked. Pure.
 */
import { parseAddress } from "../../protocol/net/address.ts";
import type { AgentInput, PacketEnds } from "./agent-effect.ts";
import type { AgentState } from "./agent-state.ts";
import { overlaps } from "./claims.ts";

/** The recorder closed a recording: its controller hears of it, though the session is long gone. */
export function tellRecordingClosed(
  state: AgentState,
  { session, recording, completeness }: Extract<AgentInput, { kind: "recording-closed" }>,
): void {
  const { owner } = state.sessions.get(session) ?? state.remembered.get(session) ?? {};
  state.remembered.delete(session);
  if (owner !== undefined)
    state.notify(owner, { kind: "recording.closed", session, recording, completeness });
}

/** Copies may be missing: every controller with a recording hears of it. */
export function tellLoss(
  state: AgentState,
  { reason, fromMicros, toMicros }: Extract<AgentInput, { kind: "gap" }>,
): void {
  state.log("warn", "packets may have passed uncopied", { reason, fromMicros, toMicros });
  for (const { id: session, owner, recording } of state.sessions.values())
    if (recording?.outcome === "accepted")
      state.notify(owner, { kind: "loss", session, reason, fromMicros, toMicros });
}

/** The first packet to a watched destination came: its pinhole is told active, once. */
export function tellActive(state: AgentState, packet: PacketEnds): void {
  const to = { address: parseAddress(packet.destination), port: packet.destinationPort };
  const address = parseAddress(packet.source);
  const from = { kind: "socket", address, port: packet.sourcePort } as const;
  const asleep = state.claims
    .at(to)
    .filter(({ session, pinhole }) => !state.sessions.get(session)?.active.has(pinhole));
  const woken = asleep.find((claim) => overlaps(claim, { from, to }));
  const session = woken && state.sessions.get(woken.session);
  if (woken !== undefined && session !== undefined) {
    session.active.add(woken.pinhole);
    const { id, owner } = session;
    state.notify(owner, { kind: "pinhole.active", session: id, pinhole: woken.pinhole });
  }
  if (asleep.some((claim) => claim !== woken))
    state.emit({ kind: "watch", address: to.address.text, port: to.port });
}
