/**
 * Whose word counts for which names: our own domains' anchors for our users, another domain's for
 * its users alone, and nobody else's for anybody. Pure.
 */
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Certificate } from "../../protocol/pki/certificate.ts";
import type { Crl } from "../../protocol/pki/crl.ts";
import { keyIdOf } from "../../protocol/pki/public-key.ts";
import { type ChainRequest, verifyChain } from "../../protocol/pki/verify-chain.ts";
import { hostOfUri } from "../../protocol/sip/uri.ts";
import type { AuthorityDirectory } from "../core/authority-policy.ts";
import type { AuthorityCredentials } from "./authority-credentials.ts";
import type { BodyCredentials } from "./credentials.ts";

export interface ShownChain {
  readonly certificate: Certificate;
  /** As they came along: candidates, not trusted. */
  readonly others: readonly Certificate[];
  readonly now: Millis;
}

export interface TrustSetting {
  readonly body: BodyCredentials;
  /** Absent: what `body` says is all. */
  readonly authority?: AuthorityCredentials | undefined;
  /** What is revoked; absent without an authority of our own. */
  readonly directory: Pick<AuthorityDirectory, "isRevoked"> | undefined;
}

export class DomainTrust {
  readonly #byDomain: ReadonlyMap<string, readonly Buffer[]>;
  /** For our own domains, and those that nothing is said of. */
  readonly #common: readonly Buffer[];
  readonly #crls: readonly Crl[];
  readonly #directory: TrustSetting["directory"];

  constructor({ body, authority, directory }: TrustSetting) {
    const { issuer, chain = [], trust = [], foreignCrls = [] } = authority ?? {};
    this.#byDomain = new Map(trust.map(({ domain, anchors }) => [domain, anchors]));
    // Phones need not send along who issued what we issued.
    this.#common = [...body.anchors, ...(issuer ? [issuer.certificate, ...chain] : [])];
    this.#crls = foreignCrls;
    this.#directory = directory;
  }

  /**
   * DER certificates whose word counts for all the names of a certificate; none if no authority
   * may speak for all of them.
   */
  anchorsOf({ uris }: Certificate): readonly Buffer[] {
    const [anchors = this.#common, ...more] = new Set(uris.map((uri) => this.#anchorsFor(uri)));
    return more.length === 0 ? anchors : [];
  }

  /**
   * The SIP URIs of a certificate for which its own chain may speak, and is valid now.
   * @throws ProtocolError `ERR_CERTIFICATE` if there is none, or it is revoked.
   */
  async namesOf({ certificate, others, now }: ShownChain): Promise<readonly string[]> {
    const request = { certificate, intermediates: others, now };
    const byAnchors = Map.groupBy(certificate.uris, (uri) => this.#anchorsFor(uri));
    const names: string[] = [];
    for (const [anchors, uris] of byAnchors)
      if (await this.#isVouchedFor({ ...request, anchors })) names.push(...uris);
    if (names.length === 0)
      throw new ProtocolError("ERR_CERTIFICATE", "nobody vouches for a name of the certificate");
    return names;
  }

  /** Whether a certificate, its chain apart, was revoked by us or its own authority's list. */
  readonly isRevoked = ({ publicKey, encoded }: Certificate): boolean =>
    this.#directory?.isRevoked({
      keyId: keyIdOf(publicKey),
      der: encoded.toString("base64"),
    }) === true;

  #anchorsFor(uri: string): readonly Buffer[] {
    return this.#byDomain.get(hostOfUri(uri) ?? "") ?? this.#common;
  }

  async #isVouchedFor(
    shown: Pick<ChainRequest, "certificate" | "intermediates" | "anchors" | "now">,
  ): Promise<boolean> {
    try {
      await verifyChain({
        ...shown,
        crls: this.#crls,
        crlCoverage: "where-present",
        isRevoked: this.isRevoked,
      });
      return true;
    } catch (error) {
      if (isProtocolError(error)) return false;
      throw error;
    }
  }
}
