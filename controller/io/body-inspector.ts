/**
 * Opens sealed bodies and verifies what is in them, off the core's path: an offer with the
 * controller's private key, an answer with the first key that was kept. Reads the clock, for the
 * certificates' validity.
 */
import { isRecipient, openAnswer, openOffer } from "../../protocol/body/open-body.ts";
import { verifySignedEntity } from "../../protocol/body/signed-entity.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../protocol/errors.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { AnswerInspection, OfferInspection, OpenedBody } from "../core/inspection.ts";

export interface BodyInspectorSetting {
  readonly holder: Identity;
  /** DER certificates of whom we believe in signing certificates. */
  readonly anchors: readonly Buffer[];
  readonly log: Logger;
}

/** Its promises never reject: a fault of our own is logged and looks like one of the body's. */
export class BodyInspector {
  readonly #setting: BodyInspectorSetting;

  constructor(setting: BodyInspectorSetting) {
    this.#setting = setting;
  }

  offer(request: SipRequest): Promise<OfferInspection> {
    return this.#guard(async () => {
      const { holder } = this.#setting;
      // Whom it is for is told without the private key; what is not for us is not looked into.
      if (!isRecipient(request.body, holder.certificate))
        return { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" } as const;
      const { entity, firstKey } = await openOffer({ ...sealedPart(request), holder });
      try {
        return { kind: "opened", firstKey, body: await this.#verify(entity) } as const;
      } catch (error) {
        firstKey.cek.wipe();
        throw error;
      }
    });
  }

  answer(response: SipResponse, firstKey: FirstKey): Promise<AnswerInspection> {
    return this.#guard(async () => {
      const { entity } = await openAnswer({ ...sealedPart(response), firstKey });
      return { kind: "opened", body: await this.#verify(entity) } as const;
    });
  }

  async #verify(entity: Buffer): Promise<OpenedBody> {
    const { anchors } = this.#setting;
    const { signer, sipfrag, sdp } = await verifySignedEntity({ entity, anchors, now: Date.now() });
    return { signer: signer.uris, sipfrag, sdp };
  }

  async #guard<T>(inspect: () => Promise<T>): Promise<T | Failed> {
    try {
      return await inspect();
    } catch (error) {
      if (isProtocolError(error)) return { kind: "failed", code: error.code };
      // A call that ended meanwhile has wiped its key; anything else is our fault.
      if (!(error instanceof RangeError))
        this.#setting.log.error({ error: nameOf(error) }, "body inspection");
      return { kind: "failed", code: "ERR_BODY" };
    }
  }
}

interface Failed {
  readonly kind: "failed";
  readonly code: ProtocolErrorCode;
}

/** Its class alone: a message could quote what was decrypted. */
const nameOf = (error: unknown) => (error instanceof Error ? error.name : typeof error);

const sealedPart = (message: SipRequest | SipResponse) => ({
  body: message.body,
  contentType: headerValue(message, "Content-Type") ?? "",
});
