/** REGISTERs and a registrar to send them to. */

import type { RegistrarAnswer } from "../../../controller/core/register-answer.ts";
import {
  Registrar,
  type RegistrarSetting,
  type Registration,
} from "../../../controller/core/registrar.ts";
import type { Peer } from "../../../protocol/sip/flow.ts";
import { headerValues, type SipRequest } from "../../../protocol/sip/message.ts";

export const ALICE = "sip:alice@atlanta.example.com";
export const BOB = "sip:bob@atlanta.example.com";
export const NOW = Date.UTC(2026, 10, 22, 12);
export const OWN_HOST = "proxy.atlanta.example.com";

export const PHONE: Peer = {
  transport: "udp",
  address: "192.0.2.4",
  port: 5060,
  identities: [],
};

export const FROM_PHONE: Registration = { by: ALICE, peer: PHONE, flow: "udp/1" };

export const newRegistrar = (setting: Partial<RegistrarSetting> = {}): Registrar =>
  new Registrar({
    isUser: (aor) => [ALICE, BOB].includes(aor),
    isOwn: ({ host }) => host === OWN_HOST,
    ...setting,
  });

export interface RegisterParts {
  readonly to?: string;
  readonly contacts?: readonly string[];
  readonly callId?: string;
  readonly cseq?: number;
  readonly vias?: number;
  /** Further rows, `Name: value`. */
  readonly rows?: readonly string[];
}

let counter = 0;

/** With a Call-ID of its own unless told. */
export function register(parts: RegisterParts = {}): SipRequest {
  counter += 1;
  const vias = Array.from({ length: parts.vias ?? 1 }, (_, at) => ({
    name: "Via",
    value: `SIP/2.0/UDP 192.0.2.${4 + at};branch=z9hG4bK${counter}-${at}`,
  }));
  const rows = (parts.rows ?? []).map((row) => {
    const [, name = "", value = ""] = /^([^:]+): (.*)$/.exec(row) ?? [];
    return { name, value };
  });
  return {
    kind: "request",
    method: "REGISTER",
    uri: "sip:atlanta.example.com",
    headers: [
      ...vias,
      { name: "From", value: `<${ALICE}>;tag=1` },
      { name: "To", value: parts.to ?? `<${ALICE}>` },
      { name: "Call-ID", value: parts.callId ?? `call-${counter}` },
      { name: "CSeq", value: `${parts.cseq ?? 1} REGISTER` },
      ...(parts.contacts ?? []).map((value) => ({ name: "Contact", value })),
      ...rows,
    ],
    body: Buffer.alloc(0),
  };
}

/** Values of a field of the answer. */
export const valuesOf = ({ response }: RegistrarAnswer, name: string): readonly string[] =>
  headerValues({ headers: response.headers.map(([n, value]) => ({ name: n, value })) }, name);
