/**
 * Who may send what to whom: trunks as their routes say, users as their own rules say. Pure.
 */
import type { Destination } from "./destination.ts";
import type { Origin } from "./gatekeeper.ts";
import { OWN_USERS } from "./sip-policy.ts";
import type { User } from "./users.ts";

/** Whether the sender may reach the destination at all; an emergency call always does, from a user. */
export function mayReach(origin: Origin, destination: Destination, target: string): boolean {
  switch (destination.kind) {
    case "self":
    case "nowhere":
      return true;
    case "emergency":
      return origin.kind === "user" || origin.trunk.to.has(destination.trunk.domain);
    case "user":
      return origin.kind === "trunk"
        ? origin.trunk.to.has(OWN_USERS)
        : isPermitted(origin.user, destination.aor);
    case "trunk":
      return origin.kind === "trunk"
        ? origin.trunk.to.has(destination.trunk.domain)
        : isPermitted(origin.user, target);
    case "domain":
      return origin.kind === "user" && isPermitted(origin.user, target);
  }
}

/** `*` stands for any characters in the patterns of a user's `mayCall`. */
function isPermitted({ mayCall }: User, target: string): boolean {
  return mayCall === undefined || mayCall.some((pattern) => fits(pattern, target));
}

function fits(pattern: string, text: string): boolean {
  const [head = "", ...parts] = pattern.split("*");
  if (parts.length === 0) return text === pattern;
  const tail = parts.pop() ?? "";
  if (!text.startsWith(head) || text.length < head.length + tail.length) return false;
  if (!text.endsWith(tail)) return false;
  let at = head.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > text.length - tail.length) return false;
    at = found + part.length;
  }
  return true;
}
