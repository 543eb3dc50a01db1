/**
 * What the controller itself writes: requests as they leave, responses made here. Pure.
 */
import { createResponse } from "../../protocol/sip/create-response.ts";
import { appendHeader, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import type { TransactionInput } from "../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import type { ControllerEffect, ControllerSetting } from "./controller-port.ts";
import { leavingRequest, type Neighbour, refusalResponse } from "./forward.ts";
import { callLabel } from "./new-call.ts";
import { ALLOWED_METHODS, type Rejection } from "./triage.ts";

const TAG_BYTES = 8;

export class Sender {
  readonly #setting: ControllerSetting;

  constructor(setting: ControllerSetting) {
    this.#setting = setting;
  }

  newTag(): string {
    return this.#setting.random(TAG_BYTES).toString("hex");
  }

  /** The request for the next hop and the key of its transaction; undefined: no way there. */
  leave(
    request: SipRequest,
    path: { readonly from: Neighbour; readonly to: Neighbour; readonly recordRoute?: boolean },
  ): { readonly request: SipRequest; readonly key: string } | undefined {
    const { sip: policy, random } = this.#setting;
    const { from, to, recordRoute = false } = path;
    const leaving = leavingRequest({ request, policy, random, from, to, recordRoute });
    const key = leaving === undefined ? undefined : clientKey(leaving);
    return leaving === undefined || key === undefined ? undefined : { request: leaving, key };
  }

  /** The response of a refusal, 496 with our certificate. */
  refuse(request: SipRequest, key: string, rejection: Rejection): ControllerEffect {
    return respond(key, this.#refusal(request, rejection));
  }

  /** As `refuse`, of a request that never became a call: nothing of it is remembered. */
  turnAway(request: SipRequest, key: string, rejection: Rejection): readonly ControllerEffect[] {
    const { status } = rejection;
    const told = { kind: "turned-away", call: callLabel(request), status } as const;
    return [told, respond(key, this.#refusal(request, rejection), true)];
  }

  /** To OPTIONS for the proxy itself (RFC 3261 §11.2). */
  answerOptions(request: SipRequest, key: string): ControllerEffect {
    const headers = [["Allow", ALLOWED_METHODS]] as const;
    return respond(key, createResponse(request, 200, { toTag: this.newTag(), headers }));
  }

  #refusal(request: SipRequest, rejection: Rejection): SipResponse {
    const { sip, bodyCertificate: certificate } = this.#setting;
    const parts = { name: sip.name, toTag: this.newTag(), certificate };
    return (rejection.headers ?? []).reduce(
      (made, [name, value]) => appendHeader(made, name, value),
      refusalResponse(request, rejection, parts),
    );
  }
}

export const transaction = (input: TransactionInput): ControllerEffect => ({
  kind: "transaction",
  input,
});

export const respond = (key: string, response: SipResponse, forget = false): ControllerEffect =>
  transaction({ kind: "respond", key, response, ...(forget ? { forget } : {}) });
