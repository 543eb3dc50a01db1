/**
 * NAPTR and SRV records of SIP: which count, and in which order (RFC 3263 §4.1, RFC 2782). Pure.
 */
import type { SipTransport } from "./flow.ts";

export interface NaptrRecord {
  readonly flags: string;
  readonly service: string;
  readonly regexp: string;
  readonly replacement: string;
  readonly order: number;
  readonly preference: number;
}

export interface SrvRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
}

const TRANSPORTS: Readonly<Record<string, SipTransport>> = {
  "sip+d2u": "udp",
  "sip+d2t": "tcp",
  "sips+d2t": "tls",
};

/**
 * The services to ask SRV for: of the records that lead to a transport of ours those of the lowest
 * order, by preference (RFC 3263 §4.1; RFC 3403 §4.1 forbids to look at a higher order once one
 * fits).
 */
export function chooseNaptr(
  records: readonly NaptrRecord[],
  allowed: readonly SipTransport[],
): { readonly transport: SipTransport; readonly srvName: string }[] {
  const usable = records.flatMap((record) => {
    const transport = TRANSPORTS[record.service.toLowerCase()];
    const leads = record.flags.toLowerCase() === "s" && record.regexp === "";
    const srvName = record.replacement.toLowerCase().replace(/\.$/, "");
    return leads && transport !== undefined && allowed.includes(transport) && srvName !== ""
      ? [{ record, service: { transport, srvName } }]
      : [];
  });
  const lowest = Math.min(...usable.map(({ record }) => record.order));
  return usable
    .filter(({ record }) => record.order === lowest)
    .sort((left, right) => left.record.preference - right.record.preference)
    .map(({ service }) => service);
}

/**
 * SRV records in the order to try them: by priority, and drawn by weight within one (RFC 2782);
 * without those that state that there is no such service.
 */
export function orderSrv(
  records: readonly SrvRecord[],
  random: (size: number) => Buffer,
): readonly SrvRecord[] {
  const offered = records.filter(({ name, port }) => name !== "" && name !== "." && port > 0);
  if (offered.length < 2) return offered;
  const byPriority = Map.groupBy(offered, ({ priority }) => priority);
  return [...byPriority.entries()]
    .sort(([left], [right]) => left - right)
    .flatMap(([, group]) => drawByWeight(group, random));
}

/**
 * Records without weight stand first, so that chance takes them only when it draws nothing; among
 * themselves all are alike.
 */
function drawByWeight(group: readonly SrvRecord[], random: (size: number) => Buffer): SrvRecord[] {
  const left = [...group].sort((one, other) => Number(one.weight > 0) - Number(other.weight > 0));
  const draw = (count: number): number => Math.floor((random(4).readUInt32BE() / 2 ** 32) * count);
  const drawn: SrvRecord[] = [];
  while (left.length > 0) {
    const total = left.reduce((sum, { weight }) => sum + weight, 0);
    let mark = total === 0 ? 0 : draw(total + 1);
    const weighed = left.findIndex(({ weight }) => {
      mark -= weight;
      return mark <= 0;
    });
    drawn.push(...left.splice(total === 0 ? draw(left.length) : weighed, 1));
  }
  return drawn;
}
