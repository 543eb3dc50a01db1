/**
 * Does the sealing and opening that a call asks for. Touches OpenSSL's random octets.
 */
import { randomBytes } from "node:crypto";
import { openAnswer, openOffer } from "../../protocol/body/open-body.ts";
import { type SealingForm, sealAnswer, sealOffer } from "../../protocol/body/seal-body.ts";
import { type VerifiedEntity, verifySignedEntity } from "../../protocol/body/signed-entity.ts";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import type { SealingResult, SealingTask } from "../core/call.ts";
import { type SealedStage, verifyStage } from "../core/offer-refusal.ts";
import type { Credentials } from "./credentials.ts";

/** Does one task. What the peer did wrong is a result; rejects only for our own faults. */
export async function performSealing(
  task: SealingTask,
  credentials: Credentials,
  form: SealingForm,
  now: Millis,
): Promise<SealingResult> {
  const progress: Progress = { stage: "open" };
  try {
    return await perform(task, { credentials, form, now, progress });
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return { kind: "not-opened", stage: progress.stage, code: error.code };
  }
}

/** How far the work had come when it failed. */
interface Progress {
  stage: SealedStage;
}

interface Desk {
  readonly credentials: Credentials;
  readonly form: SealingForm;
  readonly now: Millis;
  readonly progress: Progress;
}

async function perform(task: SealingTask, desk: Desk): Promise<SealingResult> {
  const { own } = desk.credentials;
  if (own === undefined) throw new ProtocolError("ERR_CERTIFICATE", "we have no certificate");
  const { identity, chain } = own;
  const signing = { signer: identity, chain, random: randomBytes };
  switch (task.kind) {
    case "seal-offer": {
      const recipients = recipientsOf(task.callee, desk.credentials);
      const sealed = await sealOffer({ ...task, ...signing, recipients, form: desk.form });
      return { kind: "offer-sealed", ...sealed };
    }
    case "seal-answer":
      return { kind: "answer-sealed", ...(await sealAnswer({ ...task, ...signing })) };
    case "open-offer": {
      const holders = [identity, ...(desk.credentials.former ?? [])];
      const { entity, firstKey } = await openByAny(task, holders);
      desk.progress.stage = verifyStage(firstKey);
      return { kind: "offer-opened", verified: await verify(entity, desk), firstKey };
    }
    case "open-answer": {
      const { entity } = await openAnswer(task);
      desk.progress.stage = verifyStage(task.firstKey);
      const known = desk.credentials.contacts.get(addressOfRecord(task.callee)) ?? [];
      return { kind: "answer-opened", verified: await verify(entity, desk, known) };
    }
  }
}

type OpenedOffer = ReturnType<typeof openOffer>;

/** A caller may have asked for our certificate just before it was renewed. */
async function openByAny(
  task: Extract<SealingTask, { kind: "open-offer" }>,
  [holder, ...others]: readonly Identity[],
): OpenedOffer {
  if (holder === undefined) throw new ProtocolError("ERR_CMS_NO_RECIPIENT", "sealed for another");
  try {
    return await openOffer({ ...task, holder });
  } catch (error) {
    if (others.length === 0 || !isProtocolError(error, "ERR_CMS_NO_RECIPIENT")) throw error;
    return openByAny(task, others);
  }
}

/** By the anchors of the signer's domain, or as one of the certificates that we hold of him. */
const verify = (
  entity: Buffer,
  { credentials, now }: Desk,
  known: readonly Buffer[] = [],
): Promise<VerifiedEntity> =>
  verifySignedEntity({
    entity,
    anchors: (signer) => [...known, ...credentials.trust.anchorsFor(signer)],
    now,
  });

/** The callee's phones first, then the controllers that may look. */
function recipientsOf(callee: string, { contacts, controllers }: Credentials): readonly Buffer[] {
  const certificates = contacts.get(addressOfRecord(callee)) ?? [];
  if (certificates.length === 0)
    throw new ProtocolError("ERR_CERTIFICATE", "no certificate is known for the callee");
  return [...certificates, ...controllers.map((controller) => controller.certificate)];
}
