/**
 * The encrypted part of a REGISTER: header rows, and a request for a certificate or the proof of
 * one that the device has already. Pure: random octets are an argument.
 *
 *     envelope { multipart/mixed { sipfrag, application/pkcs10 } }
 *     envelope { multipart/signed { multipart/mixed { sipfrag, application/pkix-cert } } }
 *     envelope { multipart/mixed { sipfrag } }
 */
import { type ContentCipher, isCbcCipher } from "../cms/algorithms.ts";
import { decryptFailure, notForHolder } from "../cms/decrypt-failure.ts";
import type { FirstKey } from "../cms/first-key.ts";
import { type Envelope, type Holder, openEnvelopeForAny } from "../cms/open-message.ts";
import { derivePasswordRecipient, type PasswordRecipient } from "../cms/password-recipient.ts";
import { type Recipient, sealEnvelope } from "../cms/seal-message.ts";
import { assertNever, isProtocolError, ProtocolError } from "../errors.ts";
import { type MimeEntity, parseEntity } from "../mime/entity.ts";
import type { Certificate } from "../pki/certificate.ts";
import type { Identity } from "../pki/signed-data.ts";
import type { Secret } from "../secret.ts";
import { binaryPart, certificatePart, PKIX_CERT, readCertificatePart } from "./certificate-part.ts";
import {
  asBody,
  mixedPartsOf,
  optionalPart,
  requireKnownParts,
  serializeMixed,
  singlePart,
} from "./mixed-entity.ts";
import { decodeSealed, envelopeType, type SealedBody } from "./sealed-message.ts";
import { SIGNED, signContent, verifyContent } from "./signed-content.ts";
import { isExpectedEntity } from "./signed-entity.ts";
import { parseSipfrag, SIPFRAG, type SipfragRows, sipfragPart } from "./sipfrag.ts";

/** Whom a registration is sealed for: the controller, by one of its keys or one of the user's. */
export type RegistrationRecipient =
  | Exclude<Recipient, PasswordRecipient>
  | { readonly kind: "password"; readonly password: Secret };

export interface RegistrationRequest {
  readonly rows: SipfragRows;
  readonly claim:
    | { readonly kind: "none" }
    /** DER CertificationRequest (RFC 2986). */
    | { readonly kind: "request"; readonly request: Uint8Array }
    /** A certificate that the device has; the identity's key proves it. */
    | {
        readonly kind: "certificate";
        readonly identity: Identity;
        readonly chain?: readonly Uint8Array[];
      };
  readonly recipient: RegistrationRecipient;
  /** Whether the answer may use the key again (RFC 3185); yes unless given. */
  readonly reference?: boolean;
  /** AES-256-GCM unless given. */
  readonly cipher?: ContentCipher;
  readonly random: (size: number) => Buffer;
}

export type OpenedClaim =
  | { readonly kind: "none" }
  /** As received: neither its signature nor its names are verified. */
  | { readonly kind: "request"; readonly request: Buffer }
  /** Its key signed the registration; its path and dates are for the caller. */
  | {
      readonly kind: "certificate";
      readonly certificate: Certificate;
      readonly others: readonly Certificate[];
    };

export interface OpenedRegistration {
  readonly rows: SipfragRows;
  readonly claim: OpenedClaim;
  /** Kept to seal the answer; whoever drops the registration wipes it. */
  readonly firstKey: FirstKey;
  readonly holder: Holder["kind"];
}

const PKCS10 = "application/pkcs10";
const CLAIM_DISPOSITION = "signal;handling=required";
const REFERENCE_BYTES = 16;

/**
 * Seals header rows and claim for the controller; the first key opens its answer.
 * @throws ProtocolError `ERR_CERTIFICATE` (recipient's).
 */
export async function sealRegistration(
  request: RegistrationRequest,
): Promise<SealedBody & { readonly firstKey: FirstKey }> {
  const { cipher = "aes-256-gcm", reference = true, random } = request;
  const content = await serializeClaim(request);
  const recipient = await readyRecipient(request.recipient, random);
  const { message, firstKey } = sealEnvelope({
    content,
    cipher,
    recipients: [recipient],
    ...(reference ? { reference: random(REFERENCE_BYTES) } : {}),
    random,
  });
  if (recipient.kind === "password") recipient.kek.wipe();
  return { body: message, contentType: envelopeType(cipher), firstKey };
}

/**
 * What the body of a REGISTER says of whom it is for; nothing is opened.
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` (EncryptedData), `ERR_CMS_DECRYPT`.
 */
export function decodeRegistration(sealed: {
  readonly body: Uint8Array;
  readonly contentType: string;
}): Envelope {
  const message = decodeSealed(sealed.body, sealed.contentType);
  if (message.kind === "encrypted") throw notForHolder();
  return message;
}

/**
 * Opens a registration by the first holder for whom it has an entry, and verifies that the key of
 * an existing certificate signed it. What CBC gives is not authenticated: there every fault of the
 * content reads like a failure to decrypt.
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT`, `ERR_CMS_DECRYPT`; after GCM also `ERR_BODY`
 *   (parts missing, twice or unknown), `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`, `ERR_CERTIFICATE`.
 */
export async function openRegistration(
  envelope: Envelope,
  holders: readonly Holder[],
): Promise<OpenedRegistration> {
  const { content, firstKey, holder } = await openEnvelopeForAny(envelope, holders);
  try {
    if (!isExpectedEntity(content)) throw decryptFailure();
    return { ...(await readContent(content)), firstKey, holder: holder.kind };
  } catch (error) {
    firstKey.cek.wipe();
    throw isCbcCipher(firstKey.cipher) && isProtocolError(error) ? decryptFailure() : error;
  }
}

function readyRecipient(
  recipient: RegistrationRecipient,
  random: (size: number) => Buffer,
): Recipient | Promise<PasswordRecipient> {
  return recipient.kind === "password"
    ? derivePasswordRecipient(recipient.password, random)
    : recipient;
}

async function serializeClaim(request: RegistrationRequest): Promise<Buffer> {
  const { rows, claim, random } = request;
  switch (claim.kind) {
    case "none":
      return serializeMixed([sipfragPart(rows)], random);
    case "request": {
      const part = binaryPart(PKCS10, claim.request, CLAIM_DISPOSITION);
      return serializeMixed([sipfragPart(rows), part], random);
    }
    case "certificate": {
      const { identity: signer, chain = [] } = claim;
      const part = certificatePart(signer.certificate, CLAIM_DISPOSITION);
      const content = serializeMixed([sipfragPart(rows), part], random);
      return signContent({ content, signer, chain, random });
    }
    default:
      return assertNever(claim);
  }
}

type ReadContent = Pick<OpenedRegistration, "rows" | "claim">;

async function readContent(content: Buffer): Promise<ReadContent> {
  const entity = asBody(() => parseEntity(content));
  return entity.contentType.type === SIGNED
    ? readSigned(content)
    : asBody(() => readUnsigned(entity));
}

function readUnsigned(entity: MimeEntity): ReadContent {
  const parts = mixedPartsOf(entity);
  if (optionalPart(parts, PKIX_CERT) !== undefined)
    throw new ProtocolError("ERR_SIGNATURE_MISSING", "certificate without proof of its key");
  requireKnownParts(parts, [SIPFRAG, PKCS10]);
  const rows = parseSipfrag(singlePart(parts, SIPFRAG).body);
  const part = optionalPart(parts, PKCS10);
  return { rows, claim: part ? { kind: "request", request: part.body } : { kind: "none" } };
}

/** Verified first, and read only then; the signer must be the certificate that is claimed. */
async function readSigned(content: Buffer): Promise<ReadContent> {
  const { content: signed, signer, others } = await verifyContent(content);
  return asBody(() => {
    const parts = mixedPartsOf(signed);
    requireKnownParts(parts, [SIPFRAG, PKIX_CERT]);
    const certificate = readCertificatePart(singlePart(parts, PKIX_CERT));
    if (!certificate.encoded.equals(signer.encoded))
      throw new ProtocolError("ERR_SIGNATURE", "signed by another key than the certificate's");
    const rows = parseSipfrag(singlePart(parts, SIPFRAG).body);
    return { rows, claim: { kind: "certificate", certificate, others } };
  });
}
