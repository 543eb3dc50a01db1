/**
 * Opens sealed bodies and verifies what is in them, off the core's path: with the controller's
 * private key what names it as a recipient, anything else with the first key that was kept. Reads
 * the clock, for the certificates' validity.
 */
import { isRecipient, openAnswer, openOffer } from "../../protocol/body/open-body.ts";
import { verifySignedEntity } from "../../protocol/body/signed-entity.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import { type Certificate, decodeCertificate } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { headerValue, type SipMessage } from "../../protocol/sip/message.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Inspection, OpenedBody } from "../core/call-port.ts";
import type { DomainTrust } from "./domain-trust.ts";
import { nameOfError } from "./name-of-error.ts";

export interface BodyInspectorSetting {
  readonly holder: Identity;
  readonly trust: DomainTrust;
  readonly log: Logger;
}

/** Its promises never reject: a fault of our own is logged and looks like one of the body's. */
export class BodyInspector {
  readonly #setting: BodyInspectorSetting;

  constructor(setting: BodyInspectorSetting) {
    this.#setting = setting;
  }

  /** @param firstKey The dialog's: what does not name us may be under it. */
  async inspect(message: SipMessage, firstKey: FirstKey | undefined): Promise<Inspection> {
    try {
      return await this.#open(message, firstKey);
    } catch (error) {
      if (isProtocolError(error)) return { kind: "failed", code: error.code };
      // A call that ended meanwhile has wiped its key; anything else is our fault.
      if (firstKey?.cek.isWiped !== true)
        this.#setting.log.error({ error: nameOfError(error) }, "body inspection");
      return { kind: "failed", code: "ERR_BODY" };
    }
  }

  async #open(message: SipMessage, kept: FirstKey | undefined): Promise<Inspection> {
    const { holder } = this.#setting;
    // Whom it is for is told without the private key; what is not for us is not looked into.
    if (isRecipient(message.body, holder.certificate)) return this.#openOwn(message);
    if (kept === undefined) return { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" };
    const { entity } = await openAnswer({ ...sealedPart(message), firstKey: kept });
    return { kind: "opened", body: await this.#verify(entity) };
  }

  async #openOwn(message: SipMessage): Promise<Inspection> {
    const { holder } = this.#setting;
    const { entity, firstKey } = await openOffer({ ...sealedPart(message), holder });
    try {
      return { kind: "opened", firstKey, body: await this.#verify(entity) };
    } catch (error) {
      firstKey.cek.wipe();
      throw error;
    }
  }

  async #verify(entity: Buffer): Promise<OpenedBody> {
    const { trust } = this.#setting;
    const anchors = (signer: Certificate) => trust.anchorsOf(signer);
    const verified = await verifySignedEntity({ entity, anchors, now: Date.now() });
    const { signer, sipfrag, sdp } = verified;
    if (trust.isRevoked(decodeCertificate(signer.certificate)))
      throw new ProtocolError("ERR_CERTIFICATE", "certificate is revoked");
    return { signer: signer.uris, sipfrag, sdp };
  }
}

const sealedPart = (message: SipMessage) => ({
  body: message.body,
  contentType: headerValue(message, "Content-Type") ?? "",
});
