/**
 * Who is told who somebody is: P-Asserted-Identity within the trust domain, and nowhere else
 * (RFC 3325 §5-7); and what Privacy asks for that nobody here does (RFC 3323 §5). Pure.
 */
import {
  type IdentityChange,
  type IdentitySource,
  identityChange,
} from "../../protocol/sip/asserted-identity.ts";
import {
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../protocol/sip/message.ts";
import { messagePrivacy, unmetPrivacy } from "../../protocol/sip/privacy.ts";
import type { Whom } from "./next-hops.ts";
import { type Rejection, rejection } from "./sender.ts";
import { parsed } from "./verdict.ts";

const isTrusted = ({ trunk }: Whom): boolean => trunk?.trusted ?? false;

const bearsIdentity = (message: SipMessage): boolean =>
  headerValue(message, "P-Asserted-Identity") !== undefined ||
  headerValue(message, "P-Preferred-Identity") !== undefined;

function sourceOf(whom: Whom): IdentitySource {
  if (isTrusted(whom)) return { kind: "trusted" };
  return whom.aor === undefined ? { kind: "unknown" } : { kind: "user", uris: [whom.aor] };
}

/** What forwarding changes; undefined where no identity is told and none is to be. */
export function amendment(
  message: SipMessage,
  sender: Whom,
  receiver: Whom,
): IdentityChange | undefined {
  const asserts = isTrusted(receiver) && sender.aor !== undefined;
  if (!asserts && !bearsIdentity(message)) return undefined;
  return identityChange(message, { source: sourceOf(sender), isTrusted: isTrusted(receiver) });
}

/** A response as the one who asked may see it. */
export function amendedResponse(response: SipResponse, sender: Whom, receiver: Whom): SipResponse {
  if (!bearsIdentity(response)) return response;
  const change = parsed(() => amendment(response, sender, receiver));
  const isWithheld = change.ok ? change.value?.isWithheld : isIdentity;
  const headers = response.headers.filter(({ name }) => isWithheld?.(name.toLowerCase()) !== true);
  return { ...response, headers };
}

/** Where Privacy cannot be read, guessing would tell. */
const isIdentity = (name: string): boolean =>
  name === "p-asserted-identity" || name === "p-preferred-identity";

/** Why a request is refused whose privacy cannot be had; undefined if it can. */
export function privacyFault(request: SipRequest): Rejection | undefined {
  if (headerValue(request, "Privacy") === undefined) return undefined;
  const privacy = parsed(() => messagePrivacy(request));
  if (!privacy.ok) return rejection(400);
  const unmet = unmetPrivacy(privacy.value);
  return unmet.length === 0
    ? undefined
    : { status: 500, reason: `Privacy needed: ${unmet.join(" ")}` };
}
