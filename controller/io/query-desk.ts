/**
 * Verifies who asks for a user's certificates, and signs the answers; off the core's path. Reads
 * the clock, for the validity of certificates.
 */
import { randomBytes } from "node:crypto";
import { signQueryAnswer, verifyQuery } from "../../protocol/body/certificate-query.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Asked, AskerOutcome, SignedOutcome } from "../core/certificate-port.ts";
import type { BodyCredentials } from "./credentials.ts";
import type { DomainTrust } from "./domain-trust.ts";
import type { FairQueue } from "./fair-queue.ts";
import { nameOfError } from "./name-of-error.ts";

export interface QueryDeskSetting {
  readonly body: BodyCredentials;
  readonly trust: DomainTrust;
  /** Where signatures wait their turn; it outlives a reload. */
  readonly signatures: FairQueue;
  readonly log: Logger;
}

/** A signature and its chain cost a millisecond or two. */
export const SIGNATURE_LIMITS = { running: 8, waiting: 256, waitingOfOne: 32 };

/** Its promises never reject: a fault of our own is logged, and is one without a code. */
export class QueryDesk {
  readonly #setting: QueryDeskSetting;

  constructor(setting: QueryDeskSetting) {
    this.#setting = setting;
  }

  async verify({ request, source }: Asked<"verify-asker">): Promise<AskerOutcome> {
    try {
      const verified = this.#setting.signatures.run(source, () => this.#verify(request));
      return (await verified) ?? { kind: "failed" };
    } catch (error) {
      return this.#failed(error, "certificate query");
    }
  }

  async sign({ rows, certificates }: Asked<"sign-answer">): Promise<SignedOutcome> {
    const { identity: signer, chain } = this.#setting.body;
    try {
      const answer = { rows, certificates, signer, chain, random: randomBytes };
      return { kind: "done", ...(await signQueryAnswer(answer)) };
    } catch (error) {
      return this.#failed(error, "certificate answer");
    }
  }

  async #verify(request: SipRequest): Promise<AskerOutcome> {
    const { startLine, rows, signer, others } = await verifyQuery({
      body: request.body,
      contentType: headerValue(request, "Content-Type") ?? "",
    });
    const shown = { certificate: signer, others, now: Date.now() };
    const uris = await this.#setting.trust.namesOf(shown);
    return { kind: "asker", uris, startLine, rows };
  }

  #failed(error: unknown, what: string): { readonly kind: "failed" } & AskerOutcome {
    if (isProtocolError(error)) return { kind: "failed", code: error.code };
    this.#setting.log.error({ error: nameOfError(error) }, what);
    return { kind: "failed" };
  }
}
