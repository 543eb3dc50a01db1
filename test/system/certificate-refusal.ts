/** Asking for what is refused, and seeing that nothing came of it. */
import assert from "node:assert/strict";
import { headerValue, headerValues, type SipResponse } from "../../protocol/sip/message.ts";
import { AuthorityDatabase } from "../../runtime/authority-database.ts";
import { type Asked, type Office, register } from "./certificate-office.ts";
import type { Phone } from "./registrar-phone.ts";

/** What is bound to a user, and what was issued to anybody. */
export async function stateOf(office: Office, phone: Phone): Promise<readonly string[]> {
  const response = await phone.register({ contacts: [] });
  assert.equal(response.status, 200);
  const contacts = headerValues(response, "Contact").map((value) =>
    value.replace(/;expires=\d+/, ""),
  );
  const issued = AuthorityDatabase.open(office.path("keys/authority.sqlite"));
  try {
    return [...contacts, ...issued.list().map(({ serial }) => serial)];
  } finally {
    issued.close();
  }
}

/** Asks, is refused with one of these, and nothing has changed. */
export async function refused(
  office: Office,
  phone: Phone,
  asked: Asked,
  ...statuses: readonly number[]
): Promise<SipResponse> {
  const before = await stateOf(office, phone);
  const { response } = await register(office, phone, asked);
  const warning = headerValue(response, "Warning") ?? "";
  assert.ok(statuses.includes(response.status), `${response.status} ${warning}`);
  assert.deepEqual(await stateOf(office, phone), before);
  if (response.status === 403) assert.match(warning, /^399 /);
  return response;
}
