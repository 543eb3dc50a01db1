/**
 * What the controller itself writes: requests as they leave, responses made here. Pure.
 */

import type { OwnResponse } from "../../protocol/sip/best-response.ts";
import { createResponse, reasonPhrase } from "../../protocol/sip/create-response.ts";
import { appendHeader, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import type { TransactionInput } from "../../protocol/sip/transaction-events.ts";
import { callLabel } from "./call-label.ts";
import type { ControllerEffect, ControllerRules } from "./controller-port.ts";
import { refusalResponse } from "./forward.ts";
import type { Refusal } from "./verdict.ts";

const TAG_BYTES = 8;

/** What may be sent through here, said in Allow; other methods pass as well. */
export const ALLOWED_METHODS =
  "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, SUBSCRIBE, NOTIFY, REFER, PUBLISH";

/** A refusal made by the rules of a proxy, with the header fields that explain it. */
export interface Rejection extends Refusal {
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

export interface SenderSetting {
  /** Our own host name, and the certificate that goes with 493 and 496. */
  readonly rules: () => Pick<ControllerRules, "sip" | "bodyCertificate">;
  readonly random: (size: number) => Buffer;
}

export class Sender {
  readonly #setting: SenderSetting;

  constructor(setting: SenderSetting) {
    this.#setting = setting;
  }

  newTag(): string {
    return this.#setting.random(TAG_BYTES).toString("hex");
  }

  /** The response of a refusal, 493 and 496 with our certificate. */
  refuse(request: SipRequest, key: string, rejection: Rejection): ControllerEffect {
    return respond(key, this.#refusal(request, rejection));
  }

  /**
   * As `refuse`, of a request that never became a call: nothing of it is remembered, unless it had
   * cost something.
   */
  turnAway(
    request: SipRequest,
    key: string,
    rejection: Rejection,
    forget = true,
  ): readonly ControllerEffect[] {
    const { status } = rejection;
    const told = { kind: "turned-away", call: callLabel(request), status } as const;
    return [told, respond(key, this.#refusal(request, rejection), forget)];
  }

  /** To OPTIONS for the proxy itself (RFC 3261 §11.2). */
  answerOptions(request: SipRequest, key: string): ControllerEffect {
    const headers = [["Allow", ALLOWED_METHODS]] as const;
    return respond(key, createResponse(request, 200, { toTag: this.newTag(), headers }));
  }

  /** One that stands for those that cannot be passed on (RFC 3261 §16.7 item 6). */
  own(request: SipRequest, { status, retryAfterS }: OwnResponse): SipResponse {
    const headers =
      retryAfterS === undefined ? [] : ([["Retry-After", String(retryAfterS)]] as const);
    return createResponse(request, status, { toTag: this.newTag(), headers });
  }

  #refusal(request: SipRequest, rejection: Rejection): SipResponse {
    const { sip, bodyCertificate: certificate } = this.#setting.rules();
    const parts = { name: sip.name, toTag: this.newTag(), certificate };
    return (rejection.headers ?? []).reduce(
      (made, [field, value]) => appendHeader(made, field, value),
      refusalResponse(request, rejection, parts),
    );
  }
}

export const rejection = (status: number, headers: Rejection["headers"] = []): Rejection => ({
  status,
  reason: reasonPhrase(status),
  headers,
});

export const transaction = (input: TransactionInput): ControllerEffect => ({
  kind: "transaction",
  input,
});

export const respond = (key: string, response: SipResponse, forget = false): ControllerEffect =>
  transaction({ kind: "respond", key, response, ...(forget ? { forget } : undefined) });
