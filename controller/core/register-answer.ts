/**
 * What a REGISTER is answered with (RFC 3261 §10.3 items 7-8, RFC 3327 §5.3, RFC 5626 §6). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { Binding, BindingChange } from "./bindings.ts";
import { contactValue } from "./contact-binding.ts";
import type { RegisterRequest } from "./register-request.ts";

export interface RegistrarAnswer {
  /** What `createResponse` needs. */
  readonly response: {
    readonly status: number;
    readonly reason?: string;
    readonly headers: readonly (readonly [name: string, value: string])[];
  };
  /** To be stored before the response leaves. */
  readonly changes: readonly BindingChange[];
}

export interface Refused {
  readonly kind: "refused";
  readonly response: RegistrarAnswer["response"];
}

export interface Done {
  readonly kind: "done";
  readonly register: RegisterRequest;
  /** A binding of one flow was asked for. */
  readonly outbound: boolean;
  readonly changes: readonly BindingChange[];
}

/** Option tags that a registrar understands (RFC 3327 §5.1, RFC 5626 §11.4). */
export const OPTION_TAGS: ReadonlySet<string> = new Set(["path", "outbound"]);

export const refused = (
  status: number,
  headers: RegistrarAnswer["response"]["headers"] = [],
  reason?: string,
): Refused => ({
  kind: "refused",
  response: { status, headers, ...(reason === undefined ? {} : { reason }) },
});

/** How often a phone is asked to keep its flow alive (Flow-Timer, RFC 5626 §6). */
export const FLOW_TIMER_S = 120;

/** The 200: all that is bound now, the best first; what came sealed is not told in clear. */
export function accepted(
  { register, outbound }: Done,
  bindings: readonly Binding[],
  now: Millis,
): RegistrarAnswer["response"] {
  const { path, supported } = register;
  const row = (name: string, value: string) => [name, value] as const;
  const flow = [row("Require", "outbound"), row("Flow-Timer", String(FLOW_TIMER_S))];
  return {
    status: 200,
    headers: [
      ...bindings
        .filter(({ hidden }) => hidden !== true)
        .map((binding) => row("Contact", contactValue(binding, now))),
      ...(supported.has("path") ? path.map((value) => row("Path", value)) : []),
      ...(outbound && supported.has("outbound") ? flow : []),
      row("Supported", [...OPTION_TAGS].join(", ")),
      row("Date", serializeSipDate(now)),
    ],
  };
}
