/**
 * Whether a user may be known by the key or the certificate that he claims (RFC 2986, RFC 8591
 * §4.4.1): his own name and no other, a key of a kind that is allowed, nobody else's and not
 * revoked. Pure. That the key is his, the desk has seen proven.
 */
import type { Millis } from "../../protocol/machine.ts";
import { keyTypeOf } from "../../protocol/pki/public-key.ts";
import type { AuthorityPolicy } from "./authority-policy.ts";
import type { Claim } from "./certificate-port.ts";
import { aorOfUri } from "./gatekeeper.ts";

export type ClaimFault =
  | "claim-name"
  | "claim-key-type"
  | "claim-owner"
  | "claim-revoked"
  | "claim-expired";

export interface ClaimContext {
  readonly aor: string;
  readonly authority: Pick<AuthorityPolicy, "directory" | "keyTypes">;
  /** Users who have that key in service now. */
  readonly usersOfKey: (keyId: string) => readonly string[];
  readonly now: Millis;
}

/** What forbids the claim, if anything. */
export function claimFault(claim: Claim, context: ClaimContext): ClaimFault | undefined {
  if (claim.kind === "none") return undefined;
  const { aor, authority, usersOfKey, now } = context;
  const { directory, keyTypes } = authority;
  const { keyId, uris } = claim;
  const names = uris.map(aorOfUri);
  const isNamed = claim.kind === "request" ? names.length === 1 : true;
  if (!isNamed || !names.includes(aor)) return "claim-name";
  const keyType = keyTypeOf(claim.publicKey);
  if (keyType === undefined || !keyTypes.includes(keyType)) return "claim-key-type";
  const owners = [directory.ownerOf(keyId) ?? aor, ...usersOfKey(keyId)];
  if (owners.some((owner) => owner !== aor)) return "claim-owner";
  const certificate =
    claim.kind === "certificate"
      ? { fingerprint: claim.fingerprint, der: claim.der.toString("base64") }
      : undefined;
  if (directory.isRevoked({ keyId, ...certificate })) return "claim-revoked";
  return claim.kind === "certificate" && claim.notAfter <= now ? "claim-expired" : undefined;
}
