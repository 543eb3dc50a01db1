/**
 * The SRTP keys of a call, learnt as only a called phone can: by opening its sealed bodies with
 * bob's private key. The search for them starts from here. Pure.
 */
import { openAnswer, openOffer } from "../protocol/body/open-body.ts";
import { type CmsMessage, decodeMessage } from "../protocol/cms/message.ts";
import type { Identity } from "../protocol/pki/signed-data.ts";
import { headerValue, type SipMessage } from "../protocol/sip/message.ts";
import type { PassedMessage } from "./signalling.ts";

export interface CallSecrets {
  /** SRTP master key and salt, one after the other: the offer's, then the answer's. */
  readonly mediaKeys: readonly Buffer[];
  /** The content key of the sealed bodies. */
  readonly firstKey: Buffer | undefined;
  /** The two session descriptions with all that stood round them inside the envelope. */
  readonly entities: readonly Buffer[];
}

const INLINE_KEY = /inline:([A-Za-z\d+/]+={0,2})/g;

/** @throws RangeError if the messages hold no offer, or no answer with a body. */
export async function callSecrets(
  messages: readonly PassedMessage[],
  bob: Identity,
): Promise<CallSecrets> {
  const offer = messages.find(({ message }) => isOffer(message))?.message;
  const answer = messages.find(({ message }) => isAnswer(message))?.message;
  if (offer === undefined || answer === undefined) throw new RangeError("no offer, or no answer");
  if (headerValue(offer, "Content-Type")?.startsWith("application/sdp"))
    return secretsOf([offer.body, answer.body], undefined);
  const opened = await openOffer({ ...bodyOf(offer), holder: bob });
  const answered = await openAnswer({ ...bodyOf(answer), firstKey: opened.firstKey });
  return secretsOf([opened.entity, answered.entity], opened.firstKey.cek.expose());
}

/** The CMS content types in which this call's offer and answer are sealed. */
export function sealedForms(messages: readonly PassedMessage[]): {
  readonly offer: CmsMessage["kind"] | undefined;
  readonly answer: CmsMessage["kind"] | undefined;
} {
  const formOf = (isIt: (message: SipMessage) => boolean): CmsMessage["kind"] | undefined => {
    const found = messages.find(({ message }) => isIt(message))?.message;
    return found === undefined ? undefined : decodeMessage(found.body).kind;
  };
  return { offer: formOf(isOffer), answer: formOf(isAnswer) };
}

export const isOffer = (message: SipMessage): boolean =>
  message.kind === "request" && message.method === "INVITE" && message.body.length > 0;

export const isAnswer = (message: SipMessage): boolean =>
  message.kind === "response" && message.status === 200 && message.body.length > 0;

function bodyOf(message: SipMessage): { body: Buffer; contentType: string } {
  return { body: message.body, contentType: headerValue(message, "Content-Type") ?? "" };
}

function secretsOf(entities: readonly Buffer[], firstKey: Buffer | undefined): CallSecrets {
  const mediaKeys = entities.flatMap((entity) =>
    [...entity.toString("latin1").matchAll(INLINE_KEY)].map(([, key = ""]) =>
      Buffer.from(key, "base64"),
    ),
  );
  return { mediaKeys, firstKey, entities };
}
