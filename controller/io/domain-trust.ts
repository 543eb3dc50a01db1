/**
 * Whose word counts for which names: our own domains' anchors for our users, another domain's for
 * its users alone, and nobody else's for anybody. Pure.
 */
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Certificate } from "../../protocol/pki/certificate.ts";
import { verifyChain } from "../../protocol/pki/verify-chain.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import type { AuthorityCredentials } from "./authority-credentials.ts";
import type { BodyCredentials } from "./credentials.ts";

export interface ShownChain {
  readonly certificate: Certificate;
  /** As they came along: candidates, not trusted. */
  readonly others: readonly Certificate[];
  readonly now: Millis;
}

export class DomainTrust {
  readonly #byDomain: ReadonlyMap<string, readonly Buffer[]>;
  /** For our own domains, and those that nothing is said of. */
  readonly #common: readonly Buffer[];

  constructor(body: BodyCredentials, authority: AuthorityCredentials | undefined) {
    const { issuer, chain = [], trust = [] } = authority ?? {};
    this.#byDomain = new Map(trust.map(({ domain, anchors }) => [domain, anchors]));
    // Phones need not send along who issued what we issued.
    this.#common = [...body.anchors, ...(issuer ? [issuer.certificate, ...chain] : [])];
  }

  /** DER certificates whose word counts for names of that domain. */
  anchorsOf(domain: string): readonly Buffer[] {
    return this.#byDomain.get(domain) ?? this.#common;
  }

  /**
   * The SIP URIs of a certificate for which its own chain may speak, and is valid now.
   * @throws ProtocolError `ERR_CERTIFICATE` if there is none.
   */
  async namesOf(shown: ShownChain): Promise<readonly string[]> {
    const { certificate, others: intermediates, now } = shown;
    const byAnchors = Map.groupBy(certificate.uris, (uri) => this.anchorsOf(domainOf(uri)));
    const names: string[] = [];
    for (const [anchors, uris] of byAnchors)
      if (await holds(() => verifyChain({ certificate, intermediates, anchors, now })))
        names.push(...uris);
    if (names.length === 0)
      throw new ProtocolError("ERR_CERTIFICATE", "nobody vouches for a name of the certificate");
    return names;
  }
}

/** Of what is no SIP URI: none. */
function domainOf(uri: string): string {
  try {
    return parseSipUri(uri).host.toLowerCase();
  } catch (error) {
    if (isProtocolError(error)) return "";
    throw error;
  }
}

async function holds(verify: () => Promise<unknown>): Promise<boolean> {
  try {
    await verify();
    return true;
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}
