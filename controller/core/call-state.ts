/**
 * Where a call stands between its INVITE and its end, and what its dialogs are judged by. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import type { Offer } from "./agreement.ts";
import type { DialogsSetting, InitialOffer } from "./call-dialogs.ts";
import type { CallRules, Report } from "./call-port.ts";
import { aorOf, type Names } from "./inspection.ts";
import { isInside } from "./media-end.ts";

/** Unopened: neither its offer nor its answer is any of our business. */
export const UNOPENED: InitialOffer = { offer: undefined, absent: false };

export type CallState =
  | { readonly kind: "new" }
  | { readonly kind: "inspecting"; readonly deadline: Millis }
  | {
      readonly kind: "opening";
      readonly offer: Offer;
      readonly session: string;
      readonly deadline: Millis;
    }
  | { readonly kind: "proceeding"; readonly initial: InitialOffer }
  | {
      readonly kind: "answered";
      readonly initial: InitialOffer;
      readonly acknowledged: boolean;
      readonly deadline: Millis;
      readonly endsAt: Millis;
    }
  | { readonly kind: "closed"; readonly until: Millis };

/** Of a call of before a restart, whose INVITE is gone. */
export type RestoredSetting = CallRules & { readonly names: Names; readonly invite?: undefined };

/** The two parties, as the INVITE names them. */
export const namesOf = (invite: SipRequest): Names => ({
  caller: aorOf(messageAddress(invite, "From").uri),
  callee: aorOf(messageAddress(invite, "To").uri),
});

/** Nothing is judged where there is no gateway, or nobody who is behind it. */
export function judgingOf(setting: CallRules, names: Names): DialogsSetting {
  const { policy, emergency, parties } = setting;
  if (policy === undefined) return undefined;
  const isBehind = [parties.caller, parties.callee].some(({ addresses }) =>
    addresses.some((address) => isInside(address, policy)),
  );
  if (!isBehind) return undefined;
  const mustRecord = setting.mustRecord && !emergency;
  return { names, rules: { ...setting, policy, mustRecord } };
}

export function report(
  level: Report["level"],
  event: Report["event"],
  more: Pick<Report, "verdict" | "session" | "reason"> = {},
): Report {
  return { kind: "report", level, event, ...more };
}
