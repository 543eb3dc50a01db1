/**
 * Opens sealed messages. Public knowledge first (is there an entry for us?), then one private-key
 * operation at most, then one failure for everything that can go wrong (RFC 3218). Pure.
 */
import type { KeyObject } from "node:crypto";
import { assertNever } from "../errors.ts";
import { Secret } from "../secret.ts";
import { CONTENT_CIPHERS, wrapAlgorithmOf } from "./algorithms.ts";
import { type CertificateIdentity, isIdentifiedBy, ownIdentityOf } from "./certificate-identity.ts";
import { decryptFailure, notForHolder } from "./decrypt-failure.ts";
import {
  type EncryptedContent,
  openCbcContent,
  openGcmContent,
  readEncryptedContent,
} from "./encrypted-content.ts";
import type { FirstKey } from "./first-key.ts";
import { openKeyAgree } from "./key-agreement.ts";
import { openKeyTransport } from "./key-transport.ts";
import { unwrapKey } from "./key-wrap.ts";
import type { CmsMessage } from "./message.ts";
import { openPasswordEntry } from "./password-recipient.ts";
import type {
  KekEntry,
  KeyAgreeEntry,
  KeyTransportEntry,
  PasswordEntry,
  RecipientEntry,
} from "./recipient-info.ts";

/** Most password entries of one message that are tried: none says whose it is. */
export const PASSWORD_MAX_ENTRIES = 2;

/** Holds a key that an entry can name. */
export type KeyHolder =
  | {
      readonly kind: "certificate";
      readonly certificate: Uint8Array;
      readonly privateKey: KeyObject;
    }
  | { readonly kind: "kek"; readonly keyIdentifier: Uint8Array; readonly kek: Secret };

/** Whoever can open a message: by a key, or by a password of which a key is derived. */
export type Holder = KeyHolder | { readonly kind: "password"; readonly password: Secret };

export interface OpenedEnvelope {
  readonly content: Buffer;
  readonly firstKey: FirstKey;
}

export type Envelope = Extract<CmsMessage, { recipients: readonly RecipientEntry[] }>;
export type EncryptedData = Extract<CmsMessage, { kind: "encrypted" }>;

type CertificateEntry = KeyAgreeEntry | KeyTransportEntry;

/** True if an entry of the envelope names this certificate; no key is touched. */
export const isEnvelopeFor = (envelope: Envelope, identity: CertificateIdentity): boolean =>
  findCertificateEntry(envelope, identity) !== undefined;

/**
 * Opens an envelope with the first entry that names the holder; no other is tried.
 * Its content must be CBC in EnvelopedData and GCM in AuthEnvelopedData.
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` if none does; else `ERR_CMS_DECRYPT`, always alike.
 */
export function openEnvelope(envelope: Envelope, holder: KeyHolder): OpenedEnvelope {
  const unwrap = findUnwrap(envelope, holder);
  if (unwrap === undefined) throw notForHolder();
  return openWith(envelope, unwrap);
}

/**
 * Opens an envelope by the first of these holders for whom it has an entry; no other is tried.
 * A password may fit any password entry: the first `PASSWORD_MAX_ENTRIES` are tried in turn.
 * @throws ProtocolError `ERR_CMS_NO_RECIPIENT` if none has one; else `ERR_CMS_DECRYPT`, always alike.
 */
export async function openEnvelopeForAny(
  envelope: Envelope,
  holders: readonly Holder[],
): Promise<OpenedEnvelope & { readonly holder: Holder }> {
  for (const holder of holders) {
    if (holder.kind === "password") {
      const entries = envelope.recipients.filter((entry) => entry.kind === "password");
      if (entries.length === 0) continue;
      return { ...(await openWithPassword(envelope, entries, holder.password)), holder };
    }
    const unwrap = findUnwrap(envelope, holder);
    if (unwrap !== undefined) return { ...openWith(envelope, unwrap), holder };
  }
  throw notForHolder();
}

/**
 * Opens EncryptedData with the first key of an earlier envelope, under the same algorithm only.
 * @throws ProtocolError `ERR_CMS_DECRYPT`, always alike.
 */
export function openEncryptedData(message: EncryptedData, firstKey: FirstKey): Buffer {
  try {
    const content = readEncryptedContent(message.contentInfo);
    if (content.mode !== "cbc" || content.cipher !== firstKey.cipher)
      throw new TypeError("the first key serves another algorithm");
    return openCbcContent(content, firstKey.cek.expose());
  } catch {
    throw decryptFailure();
  }
}

function openWith(envelope: Envelope, unwrap: () => Buffer): OpenedEnvelope {
  try {
    const sealed = readEncryptedContent(envelope.contentInfo);
    return openUnder(envelope, sealed, unwrap());
  } catch {
    throw decryptFailure();
  }
}

/** Tries no password on what could not be opened anyway. */
async function openWithPassword(
  envelope: Envelope,
  entries: readonly PasswordEntry[],
  password: Secret,
): Promise<OpenedEnvelope> {
  try {
    const sealed = readEncryptedContent(envelope.contentInfo);
    return openUnder(envelope, sealed, await findPasswordKey(entries, password));
  } catch {
    throw decryptFailure();
  }
}

async function findPasswordKey(
  entries: readonly PasswordEntry[],
  password: Secret,
): Promise<Buffer> {
  for (const entry of entries.slice(0, PASSWORD_MAX_ENTRIES)) {
    try {
      return await openPasswordEntry(entry, password);
    } catch {
      // Of another password, or not of our kind: the next may be.
    }
  }
  throw decryptFailure();
}

/** Wipes the key, of which the first key is a copy. @throws Error whatever is wrong. */
function openUnder(envelope: Envelope, sealed: EncryptedContent, key: Buffer): OpenedEnvelope {
  const { cipher } = sealed;
  const { reference } = envelope;
  try {
    if (key.length !== CONTENT_CIPHERS[cipher].keyBytes) throw new RangeError("length of key");
    const content = openContent(envelope, sealed, key);
    const cek = new Secret(key);
    return { content, firstKey: reference ? { cek, cipher, reference } : { cek, cipher } };
  } finally {
    key.fill(0);
  }
}

function openContent(envelope: Envelope, sealed: EncryptedContent, cek: Buffer): Buffer {
  switch (envelope.kind) {
    case "enveloped":
      if (sealed.mode !== "cbc") throw new TypeError("EnvelopedData is CBC");
      return openCbcContent(sealed, cek);
    case "auth-enveloped":
      if (sealed.mode !== "gcm") throw new TypeError("AuthEnvelopedData is GCM");
      return openGcmContent(sealed, cek, envelope.associatedData, envelope.mac);
    default:
      return assertNever(envelope);
  }
}

function findUnwrap(envelope: Envelope, holder: KeyHolder): (() => Buffer) | undefined {
  switch (holder.kind) {
    case "certificate": {
      const identity = ownIdentityOf(holder.certificate);
      const entry = findCertificateEntry(envelope, identity);
      return entry && (() => openCertificateEntry(entry, identity, holder.privateKey));
    }
    case "kek": {
      const entry = envelope.recipients.find(
        (candidate): candidate is KekEntry =>
          candidate.kind === "kek" && candidate.keyIdentifier.equals(holder.keyIdentifier),
      );
      return entry && (() => openKekEntry(entry, holder.kek));
    }
    default:
      return assertNever(holder);
  }
}

const findCertificateEntry = (
  envelope: Envelope,
  identity: CertificateIdentity,
): CertificateEntry | undefined =>
  envelope.recipients.find(
    (entry): entry is CertificateEntry =>
      (entry.kind === "key-agree" || entry.kind === "key-transport") &&
      isIdentifiedBy(identity, entry.id),
  );

function openCertificateEntry(
  entry: CertificateEntry,
  identity: CertificateIdentity,
  privateKey: KeyObject,
): Buffer {
  if (entry.kind === "key-agree" && identity.key.kind === "p256")
    return openKeyAgree(entry, privateKey);
  if (entry.kind === "key-transport" && identity.key.kind === "rsa")
    return openKeyTransport(entry, privateKey);
  throw new TypeError("entry and key do not match");
}

function openKekEntry(entry: KekEntry, kek: Secret): Buffer {
  const wrap = wrapAlgorithmOf(entry.algorithm.oid);
  if (wrap?.keyBytes !== kek.length) throw new TypeError("wrap and key do not match");
  return unwrapKey(wrap, kek.expose(), entry.encryptedKey);
}
