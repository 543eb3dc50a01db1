/**
 * The body of a sealed REGISTER's 200: signed by the controller, encrypted to the device. It hands
 * out the device's certificate, the controllers' and whom to trust for other domains. Pure: random
 * octets are an argument.
 *
 *     multipart/signed { envelope { multipart/mixed { sipfrag, application/pkix-cert ... } } }
 */
import { decryptFailure, notForHolder } from "../cms/decrypt-failure.ts";
import type { FirstKey } from "../cms/first-key.ts";
import type { CmsMessage } from "../cms/message.ts";
import { openEnvelope } from "../cms/open-message.ts";
import { sealEnvelope } from "../cms/seal-message.ts";
import { assertNever, isProtocolError, ProtocolError } from "../errors.ts";
import { type ContentDisposition, dispositionOf } from "../mime/content-disposition.ts";
import { type MimeEntity, parseEntity, serializeEntity } from "../mime/entity.ts";
import type { Certificate } from "../pki/certificate.ts";
import type { Identity } from "../pki/signed-data.ts";
import { certificatePart, PKIX_CERT, readCertificatePart } from "./certificate-part.ts";
import { openUnderFirstKey, sealUnderFirstKey } from "./first-key-message.ts";
import {
  asBody,
  mixedPartsOf,
  requireKnownParts,
  serializeMixed,
  singlePart,
} from "./mixed-entity.ts";
import { decodeSealedPart, envelopeType, type SealedBody } from "./sealed-message.ts";
import { type SigningRequest, signBody, verifyBody } from "./signed-content.ts";
import { parseSipfrag, SIPFRAG, type SipfragRows, sipfragPart } from "./sipfrag.ts";

/** Most controllers' certificates in one answer. */
export const ANSWER_MAX_CONTROLLERS = 4;
/** Most trust anchors in one answer, of all domains together. */
export const ANSWER_MAX_ANCHORS = 10;

export interface RegistrationAnswerRequest extends SigningRequest {
  readonly rows: SipfragRows;
  /** DER, of the device. */
  readonly certificate?: Uint8Array;
  /** DER, of the controllers that the first call may name; at most `ANSWER_MAX_CONTROLLERS`. */
  readonly controllers: readonly Uint8Array[];
  /** DER anchors by domain; at most `ANSWER_MAX_ANCHORS` together. */
  readonly trust: readonly { readonly domain: string; readonly anchors: readonly Uint8Array[] }[];
  /** The first key if the registration lets it be used again, else a certificate of the device. */
  readonly to:
    | { readonly kind: "first-key"; readonly firstKey: FirstKey }
    | { readonly kind: "certificate"; readonly certificate: Uint8Array };
}

export interface RegistrationAnswer {
  readonly rows: SipfragRows;
  readonly certificate?: Certificate;
  readonly controllers: readonly Certificate[];
  /** Domains in lower case, each once. */
  readonly trust: readonly { readonly domain: string; readonly anchors: readonly Certificate[] }[];
  readonly signer: Certificate;
  /** The other certificates that came along: candidates for the path, not trusted. */
  readonly others: readonly Certificate[];
}

const OWN = "signal";
const CONTROLLER = "controller";
const TRUST_ANCHOR = "trust-anchor";
const CIPHER = "aes-256-gcm";
const DOMAIN = /^(?=.{1,253}$)[\da-z](?:[\da-z-]*[\da-z])?(?:\.[\da-z](?:[\da-z-]*[\da-z])?)*$/;

/**
 * Seals an answer to the device and signs what was sealed.
 * @throws ProtocolError `ERR_CERTIFICATE`; `ERR_CMS_UNSUPPORTED` (first key not to be used again).
 *   RangeError beyond a limit, or for what is no domain.
 */
export async function sealRegistrationAnswer(
  request: RegistrationAnswerRequest,
): Promise<SealedBody> {
  const content = serializeMixed(serializeParts(request), request.random);
  const sealed = sealTo(request, content);
  const part = serializeEntity(
    [
      ["Content-Type", sealed.contentType],
      ["Content-Transfer-Encoding", "binary"],
      ["Content-Disposition", `${OWN};handling=required`],
    ],
    sealed.body,
  );
  return signBody({ ...request, content: part });
}

/**
 * Verifies the signature, and only then opens what was signed. Whether the signer is a controller
 * of the device's domain, and its path, is for the caller.
 * @throws ProtocolError `ERR_BODY`, `ERR_SIGNATURE_MISSING`, `ERR_SIGNATURE`,
 *   `ERR_CMS_NO_RECIPIENT`, `ERR_CMS_DECRYPT`, `ERR_CERTIFICATE` (a certificate is unreadable).
 */
export async function openRegistrationAnswer(request: {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly holders: { readonly firstKey?: FirstKey; readonly identity?: Identity };
}): Promise<RegistrationAnswer> {
  const { content, signer, others } = await verifyBody(request);
  const octets = openSealed(decodeSealedPart(content), request.holders);
  return { ...asBody(() => readAnswer(parseEntity(octets))), signer, others };
}

function serializeParts(request: RegistrationAnswerRequest): readonly Buffer[] {
  const { rows, certificate, controllers, trust } = request;
  const anchors = trust.flatMap(({ domain, anchors }) =>
    anchors.map((anchor) => certificatePart(anchor, anchorDisposition(domain))),
  );
  if (controllers.length > ANSWER_MAX_CONTROLLERS || anchors.length > ANSWER_MAX_ANCHORS)
    throw new RangeError("too many certificates for one answer");
  return [
    sipfragPart(rows),
    ...(certificate === undefined ? [] : [certificatePart(certificate, OWN)]),
    ...controllers.map((controller) => certificatePart(controller, CONTROLLER)),
    ...anchors,
  ];
}

function anchorDisposition(domain: string): string {
  const name = domain.toLowerCase();
  if (!DOMAIN.test(name)) throw new RangeError("a domain expected");
  return `${TRUST_ANCHOR};domain="${name}"`;
}

function sealTo({ to, random }: RegistrationAnswerRequest, content: Buffer): SealedBody {
  switch (to.kind) {
    case "first-key":
      return sealUnderFirstKey(content, to.firstKey, random);
    case "certificate": {
      const sealed = sealEnvelope({ content, cipher: CIPHER, recipients: [to], random });
      sealed.firstKey.cek.wipe();
      return { body: sealed.message, contentType: envelopeType(CIPHER) };
    }
    default:
      return assertNever(to);
  }
}

/** By the first key if the message is under it, else by the identity. */
function openSealed(
  message: CmsMessage,
  { firstKey, identity }: { readonly firstKey?: FirstKey; readonly identity?: Identity },
): Buffer {
  if (firstKey !== undefined)
    try {
      return openUnderFirstKey(message, firstKey);
    } catch (error) {
      const mayBeOthers = isProtocolError(error, "ERR_CMS_NO_RECIPIENT");
      if (!mayBeOthers || identity === undefined) throw error;
    }
  if (identity === undefined) throw notForHolder();
  if (message.kind === "encrypted") throw decryptFailure();
  const opened = openEnvelope(message, { kind: "certificate", ...identity });
  opened.firstKey.cek.wipe();
  return opened.content;
}

function readAnswer(content: MimeEntity): Omit<RegistrationAnswer, "signer" | "others"> {
  const parts = mixedPartsOf(content);
  requireKnownParts(parts, [SIPFRAG, PKIX_CERT]);
  const certificates = parts
    .filter(({ contentType }) => contentType.type === PKIX_CERT)
    .map((part) => ({ part, role: dispositionOf(part) }))
    .filter(({ role }) => isKnownRole(role));
  const by = (wanted: string) => certificates.filter(({ role }) => role.disposition === wanted);
  const [own, ...more] = by(OWN);
  if (more.length > 0) throw new ProtocolError("ERR_BODY", "two certificates of one device");
  return {
    rows: parseSipfrag(singlePart(parts, SIPFRAG).body),
    ...(own === undefined ? {} : { certificate: readCertificatePart(own.part) }),
    controllers: by(CONTROLLER).map(({ part }) => readCertificatePart(part)),
    trust: byDomain(by(TRUST_ANCHOR)),
  };
}

/** @throws ProtocolError `ERR_BODY` for a role that we do not know and must. */
function isKnownRole({ disposition, isRequired }: ContentDisposition): boolean {
  const isKnown = [OWN, CONTROLLER, TRUST_ANCHOR].includes(disposition);
  if (!isKnown && isRequired) throw new ProtocolError("ERR_BODY", "certificate of no known role");
  return isKnown;
}

function byDomain(
  anchors: readonly { readonly part: MimeEntity; readonly role: ContentDisposition }[],
): RegistrationAnswer["trust"] {
  const domains = new Map<string, Certificate[]>();
  for (const { part, role } of anchors) {
    const domain = role.parameters.get("domain")?.toLowerCase() ?? "";
    if (!DOMAIN.test(domain)) throw new ProtocolError("ERR_BODY", "trust anchor of no domain");
    const known = domains.get(domain) ?? [];
    domains.set(domain, [...known, readCertificatePart(part)]);
  }
  return Array.from(domains, ([domain, anchors]) => ({ domain, anchors }));
}
