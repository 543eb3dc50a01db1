/**
 * Asks the controllers for users' certificates, one question at a time. Touches the clock and
 * OpenSSL's random octets.
 */
import { randomBytes } from "node:crypto";
import type { Target } from "../../protocol/sip/flow.ts";
import type {
  QueryEffect,
  QueryInput,
  QueryOutcome,
  QuerySetting,
} from "../core/certificate-query.ts";
import type { OwnContact } from "../core/registration-port.ts";
import type { Credentials } from "./credentials.ts";
import { digestOf, type RegistrarSecrets } from "./registrar-secrets.ts";
import { signQuestion, verifyQuestionAnswer } from "./registration-desk.ts";

export interface QuestionsSetting {
  readonly aor: string;
  readonly nextHop: Target;
  readonly credentials: Credentials;
  /** Absent: nobody is told a password. */
  readonly secrets: RegistrarSecrets | undefined;
  readonly feed: (
    input:
      | { readonly kind: "ask"; readonly setting: QuerySetting }
      | { readonly kind: "query"; readonly input: QueryInput },
  ) => void;
}

export class CertificateQuestions {
  readonly #setting: QuestionsSetting;
  #answered: (outcome: QueryOutcome) => void = () => undefined;

  constructor(setting: QuestionsSetting) {
    this.#setting = setting;
  }

  /** Asks for the certificates of an address of record. Never while another question is open. */
  ask(target: string, own: OwnContact): Promise<QueryOutcome> {
    const { aor, nextHop, secrets, feed } = this.#setting;
    const answered = Promise.withResolvers<QueryOutcome>();
    this.#answered = answered.resolve;
    const digest = digestOf(secrets);
    const setting = { aor, target, nextHop, end: own, contact: own.uri, random: randomBytes };
    feed({ kind: "ask", setting: { ...setting, controllerHost: secrets?.controllerHost, digest } });
    return answered.promise;
  }

  perform(effect: Exclude<QueryEffect, { kind: "transaction" }>): void {
    const { own, trust } = this.#setting.credentials;
    switch (effect.kind) {
      case "sign":
        if (own === undefined) this.#feed({ kind: "not-done", reason: NOTHING_TO_SIGN_BY });
        else void signQuestion(effect, own).then((input) => this.#feed(input));
        break;
      case "verify":
        void verifyQuestionAnswer(effect, trust).then((input) => this.#feed(input));
        break;
      case "over":
        this.#answered(effect.outcome);
        break;
    }
  }

  #feed(input: QueryInput): void {
    this.#setting.feed({ kind: "query", input });
  }
}

export const NOTHING_TO_SIGN_BY = "we have no certificate in service: register first";
