/**
 * Which REGISTERs are sealed, for whom, and what their credentials cover (RFC 3261 §8.2.3, §20.11,
 * RFC 7616 §3.4.3). Pure.
 *
 * Two profiles: `open` shows Contact and credentials outside and is challenged unopened; `private`
 * shows neither, and must be opened before anybody can say who it is from.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { decodeMessage } from "../../protocol/cms/message.ts";
import { authValues } from "../../protocol/sip/credentials.ts";
import type { Peer } from "../../protocol/sip/flow.ts";
import { inspectionLabels } from "../../protocol/sip/inspection-label.ts";
import {
  appendHeader,
  headerValue,
  headerValues,
  type SipRequest,
  withBody,
} from "../../protocol/sip/message.ts";
import { bodyKind } from "./body-kind.ts";
import type { Claim, HolderKind } from "./certificate-port.ts";
import { UNDECIPHERABLE } from "./certificate-refusals.ts";
import type { Gatekeeper } from "./gatekeeper.ts";
import { messageOf } from "./inner-rows.ts";
import { namesBody } from "./labelled-body.ts";
import { type Rejection, rejection } from "./sender.ts";
import type { Site } from "./site.ts";
import type { User } from "./users.ts";
import { parsed, refusalOf } from "./verdict.ts";

/**
 * True for a REGISTER whose body counts. Without an authority a body that may be ignored is: it is
 * an ordinary registration then.
 */
export function isSealedRegister(request: SipRequest, { authority }: Site): boolean {
  if (bodyKind(request) !== "sealed") return false;
  const disposition = headerValue(request, "Content-Disposition") ?? "";
  return authority !== undefined || !/;\s*handling\s*=\s*optional\b/i.test(disposition);
}

/** True for one that says who it is from only inside, if at all. */
export const isPrivate = (request: SipRequest, { identities }: Peer): boolean =>
  identities.length === 0 &&
  headerValue(request, "Authorization") === undefined &&
  headerValue(request, "Contact") === undefined;

/**
 * True for EnvelopedData. CBC authenticates nothing: whoever has another's body can change it, or
 * make one under the same key even if that was for GCM (RFC 9709 §1), and learns what is sealed from
 * being told whether it still makes sense.
 */
export function isMalleable({ body }: SipRequest): boolean {
  const message = parsed(() => decodeMessage(body));
  return message.ok && message.value.kind === "enveloped";
}

/** Whether a label names us, and what it names is there; one for others alone is not for us. */
export function labelOf(
  request: SipRequest,
  { policy, neighbourhood }: Site,
): "absent" | "ours" | Rejection {
  const rows = parsed(() => inspectionLabels(request));
  if (!rows.ok) return rejection(400);
  if (rows.value.length === 0) return "absent";
  const ours = rows.value.filter(
    ({ host }) => host === policy.name || neighbourhood.isOwnDomain(host),
  );
  if (ours.length === 0) return UNDECIPHERABLE;
  const isThere = namesBody(
    request,
    ours.flatMap(({ cids }) => cids),
  );
  return isThere ? "ours" : refusalOf("body-absent");
}

/** Who has proved to send a REGISTER, or how he is turned away. */
export type RegisterAdmission =
  | { readonly kind: "user"; readonly user: User }
  | { readonly kind: "reject"; readonly rejection: Rejection };

export function admitRegister(
  gatekeeper: Gatekeeper,
  request: SipRequest,
  peer: Peer,
  now: number,
): RegisterAdmission {
  const admission = gatekeeper.admit(request, peer, now, "Authorization");
  switch (admission.kind) {
    case "user":
      return { kind: "user", user: admission.user };
    case "challenge": {
      const headers = admission.values.map((value) => ["WWW-Authenticate", value] as const);
      return { kind: "reject", rejection: rejection(401, headers) };
    }
    default:
      return { kind: "reject", rejection: rejection(403) };
  }
}

/**
 * The REGISTER that inner credentials are for. Nothing can hold a digest of itself: of `auth-int`
 * the entity body is what the phone claims, without its envelope.
 */
export function withInnerCredentials(
  received: SipRequest,
  rows: SipfragRows,
  claim: Claim,
): SipRequest {
  const values = headerValues(messageOf(rows), "Authorization");
  const request = values.reduce(
    (made, value) => appendHeader(made, "Authorization", value),
    received,
  );
  return withBody(request, claim.kind === "none" ? Buffer.alloc(0) : claim.der);
}

/**
 * True where nobody can have put his own request for a certificate under credentials of the user
 * that he overheard: they cover the body, or the body was sealed with the user's secret, or the
 * connection is the user's. One without a certificate is whoever's opened it, by TLS as well.
 */
export function coversClaim(
  credentialed: SipRequest,
  { peer, holder, claim }: { peer: Peer; holder: HolderKind; claim: Claim },
): boolean {
  if (claim.kind !== "request" || holder !== "certificate" || peer.identities.length > 0)
    return true;
  const credentials = parsed(() => authValues(credentialed, "Authorization"));
  return (
    credentials.ok &&
    credentials.value.length > 0 &&
    credentials.value.every(({ params }) => params.get("qop")?.toLowerCase() === "auth-int")
  );
}
