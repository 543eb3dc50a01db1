/**
 * Which sessions lead to which destination, so that those in a put's way are found at once. The
 * agent lets no two sessions share a packet: counts and recordings would not say whose it was. Pure.
 */
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { WantedSession } from "./agent-client-port.ts";
import { destinationOf } from "./pinholes.ts";

export class ClaimedDestinations {
  /** By destination: each wanted state that leads there, as often as it was added. */
  readonly #byDestination = new Map<string, WantedSession[]>();

  add(wanted: WantedSession): void {
    for (const key of keysOf(wanted)) {
      const present = this.#byDestination.get(key);
      if (present === undefined) this.#byDestination.set(key, [wanted]);
      else present.push(wanted);
    }
  }

  remove(wanted: WantedSession): void {
    for (const key of keysOf(wanted)) {
      const present = this.#byDestination.get(key) ?? [];
      const at = present.indexOf(wanted);
      if (at >= 0) present.splice(at, 1);
      if (present.length === 0) this.#byDestination.delete(key);
    }
  }

  /** True if a packet could pass through holes of another session as well. */
  isObstructed(wanted: WantedSession): boolean {
    return wanted.pinholes.some((hole) => {
      const others = this.#byDestination.get(destinationOf(hole)) ?? [];
      return others.some(
        ({ session, pinholes }) =>
          session !== wanted.session && pinholes.some((other) => overlap(hole, other)),
      );
    });
  }
}

const keysOf = ({ pinholes }: WantedSession): ReadonlySet<string> =>
  new Set(pinholes.map(destinationOf));

/** Source ports are not looked at: the controller names none. */
function overlap(one: Pinhole, other: Pinhole): boolean {
  if (one.to.port !== other.to.port || one.to.address !== other.to.address) return false;
  const [left, right] = [one.from.address, other.from.address];
  return left === undefined || right === undefined || left === right;
}
