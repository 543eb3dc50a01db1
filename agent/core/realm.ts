/**
 * What a controller may ask for at all: checks of one pinhole against the agent's own realm. Pure.
 */
import type { ControlError, Pinhole } from "../../protocol/control/messages.ts";
import {
  type Address,
  isForbiddenMediaAddress,
  isMediaPort,
  type Prefix,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import type { Endpoint, Source } from "./element.ts";

export interface Realm {
  readonly prefixes: readonly Prefix[];
  /** First and last media port. */
  readonly ports: readonly [number, number];
}

export interface Opening {
  readonly from: Source;
  readonly to: Endpoint;
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: ControlError };

/**
 * Reads a pinhole and checks that one of its ends lies in the realm and that no end is an address or a port that
 * may never carry media. `path` names the pinhole in the error.
 */
export function checkPinhole(pinhole: Pinhole, realm: Realm, path: string): Checked<Opening> {
  const to = checkEnd(pinhole.to.address, pinhole.to.port, `${path}.to`);
  if (!to.ok) return to;
  const from = checkSource(pinhole.from, `${path}.from`);
  if (!from.ok) return from;
  const source = from.value;
  if (source.kind !== "any" && source.address.family !== to.value.address.family)
    return fault("ERR_CONTROL_VALUE", `${path}.from.address`, "ends of two families");
  if (!isInRealm(to.value, realm) && !(source.kind !== "any" && isInRealm(source, realm)))
    return fault("ERR_CONTROL_REALM", path, "neither end lies in the realm");
  return { ok: true, value: { from: source, to: to.value } };
}

function checkSource({ address, port }: Pinhole["from"], path: string): Checked<Source> {
  if (address === undefined) {
    if (port === undefined) return { ok: true, value: { kind: "any" } };
    return fault("ERR_CONTROL_VALUE", `${path}.port`, "a port without an address");
  }
  if (port !== undefined) {
    const end = checkEnd(address, port, path);
    return end.ok ? { ok: true, value: { kind: "socket", ...end.value } } : end;
  }
  const host = checkAddress(address, `${path}.address`);
  return host.ok ? { ok: true, value: { kind: "host", address: host.value } } : host;
}

function checkEnd(address: string, port: number, path: string): Checked<Endpoint> {
  const checked = checkAddress(address, `${path}.address`);
  if (!checked.ok) return checked;
  if (!isMediaPort(port))
    return fault("ERR_CONTROL_REALM", `${path}.port`, "a port that may never carry media");
  return { ok: true, value: { address: checked.value, port } };
}

function checkAddress(text: string, path: string): Checked<Address> {
  const address = tryAddress(text);
  if (address === undefined) return fault("ERR_CONTROL_VALUE", path, "not an IPv4 or IPv6 address");
  if (isForbiddenMediaAddress(address))
    return fault("ERR_CONTROL_REALM", path, "an address that may never carry media");
  return { ok: true, value: address };
}

function tryAddress(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}

function isInRealm(
  { address, port }: { readonly address: Address; readonly port?: number },
  { prefixes, ports: [low, high] }: Realm,
): boolean {
  const portFits = port === undefined || (port >= low && port <= high);
  return portFits && prefixes.some((prefix) => prefixContains(prefix, address));
}

function fault(code: string, path: string, message: string): { ok: false; error: ControlError } {
  return { ok: false, error: { code, path, message } };
}
