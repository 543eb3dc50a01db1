/**
 * Who vouches for whom: another domain's users and servers are vouched for by that domain's anchors
 * alone, as our registration learnt them. Touches nothing.
 */
import type { Certificate } from "../../protocol/pki/certificate.ts";
import { hostOfUri } from "../../protocol/sip/uri.ts";
import type { DomainTrust } from "../core/registration-answer.ts";

export class Trust {
  readonly #ownDomain: string | undefined;
  readonly #anchors: readonly Buffer[];
  readonly #byDomain: ReadonlyMap<string, readonly Buffer[]>;

  /** @param anchors DER: of our own domain, and of every other that `learnt` does not name */
  constructor(aor: string, anchors: readonly Buffer[], learnt: readonly DomainTrust[]) {
    this.#ownDomain = hostOfUri(aor);
    this.#anchors = anchors;
    this.#byDomain = new Map(learnt.map((each) => [each.domain.toLowerCase(), each.anchors]));
  }

  /** DER. What we were told of our own domain does not replace what is configured. */
  anchorsOf(domain: string): readonly Buffer[] {
    const wanted = domain.toLowerCase();
    if (wanted === this.#ownDomain) return this.#anchors;
    return this.#byDomain.get(wanted) ?? this.#anchors;
  }

  /** Of the domain of a user's certificate; none for one that names users of several. */
  anchorsFor(signer: Pick<Certificate, "uris">): readonly Buffer[] {
    const [domain, ...more] = new Set(signer.uris.map(hostOfUri));
    return domain === undefined || more.length > 0 ? [] : this.anchorsOf(domain);
  }
}
