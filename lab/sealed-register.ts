/**
 * REGISTER with a sealed part as a test wants it, right or wrong in one place: rows inside and
 * outside, claim, recipient and date are the caller's. Reads the clock and the random source.
 */
import { randomBytes } from "node:crypto";
import { sealRegistration } from "../protocol/body/registration-body.ts";
import type { SipfragRows } from "../protocol/body/sipfrag.ts";
import type { FirstKey } from "../protocol/cms/first-key.ts";
import { serializeSipDate } from "../protocol/sip/date.ts";
import {
  appendHeader,
  headerRows,
  type SipRequest,
  withBody,
  withoutHeader,
} from "../protocol/sip/message.ts";

type Sealing = Parameters<typeof sealRegistration>[0];

export interface SealedRegisterOptions {
  readonly claim: Sealing["claim"];
  readonly recipient: Sealing["recipient"];
  /** Whom the label names; none: no label. */
  readonly controller?: string;
  /** What the sealed Date says; now unless given. */
  readonly dateMs?: number;
  /** `private`: location, expiry and credentials stand inside alone. */
  readonly profile?: "open" | "private";
  /** Changes the rows inside. */
  readonly rows?: (rows: SipfragRows) => SipfragRows;
  readonly cipher?: Sealing["cipher"];
}

export interface SealedRegister {
  readonly request: SipRequest;
  readonly firstKey: FirstKey;
}

const INNER_ROWS = ["From", "To", "Call-ID", "CSeq", "Contact", "Expires"];
const HIDDEN_ROWS = ["Contact", "Expires", "Authorization"];

/** Seals a REGISTER without a body; credentials in the open are added to the result, after. */
export async function sealRegister(
  register: SipRequest,
  options: SealedRegisterOptions,
): Promise<SealedRegister> {
  const { claim, recipient, controller, profile = "open", dateMs = Date.now(), cipher } = options;
  const names = profile === "private" ? [...INNER_ROWS, "Authorization"] : INNER_ROWS;
  const rows: SipfragRows = [
    ...names.flatMap((name) =>
      headerRows(register, name).map(({ value }) => [name, value] as const),
    ),
    ["Date", serializeSipDate(dateMs)],
  ];
  const { body, contentType, firstKey } = await sealRegistration({
    ...{ rows: options.rows?.(rows) ?? rows, claim, recipient, random: randomBytes },
    ...(cipher === undefined ? {} : { cipher }),
  });
  const hidden = profile === "private" ? HIDDEN_ROWS : [];
  const outside = hidden.reduce((message, name) => withoutHeader(message, name), register);
  const request = labelled(outside, contentType, controller);
  return { request: withBody(request, body), firstKey };
}

function labelled(register: SipRequest, contentType: string, controller?: string): SipRequest {
  const cid = `${randomBytes(8).toString("hex")}@example.com`;
  const label =
    controller === undefined ? [] : [["Proxy-Inspect-Body", `${controller};cid="${cid}"`] as const];
  const content = [
    ["Content-Type", contentType],
    ["Content-Disposition", "signal;handling=required"],
    ["Content-ID", `<${cid}>`],
  ] as const;
  const bare = withoutHeader(register, "Content-Length");
  return [...label, ...content].reduce(
    (message, [name, value]) => appendHeader(message, name, value),
    bare,
  );
}
