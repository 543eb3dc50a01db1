/**
 * Whether one packet could pass through holes of both sessions: the agent refuses that, since
 * counts and recordings would not say whose packet it was. Pure.
 */
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { WantedSession } from "./agent-client-port.ts";

export const sharePackets = (one: WantedSession, other: WantedSession): boolean =>
  one.pinholes.some((hole) => other.pinholes.some((each) => overlap(hole, each)));

/** Source ports are not looked at: the controller names none. */
function overlap(one: Pinhole, other: Pinhole): boolean {
  if (one.to.port !== other.to.port || one.to.address !== other.to.address) return false;
  const [left, right] = [one.from.address, other.from.address];
  return left === undefined || right === undefined || left === right;
}
