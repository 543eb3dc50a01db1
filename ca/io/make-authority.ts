/**
 * Makes keys and certificates after a plan and writes them: reads the clock and the system's
 * random source, touches one directory.
 */
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DAY_MS } from "../../protocol/calendar.ts";
import { assertNever } from "../../protocol/errors.ts";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import {
  type CertificateRequest,
  type Issuer,
  issueCertificate,
} from "../../protocol/pki/issue-certificate.ts";
import type { PlannedItem } from "../core/authority-plan.ts";
import { requireSecondOpinion } from "./second-opinion.ts";

export interface Validity {
  readonly authorityDays: number;
  readonly certificateDays: number;
}

/** The directory cannot take the files; nothing of it was changed. */
export class CannotWriteError extends Error {
  override readonly name = "CannotWriteError";
}

interface MadeFile {
  readonly path: string;
  readonly pem: string;
  readonly mode: number;
}

const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;
const CLOCK_SKEW_MS = 5 * 60 * 1000;
const SERIAL_NUMBER_BYTES = 16;

/**
 * Makes everything planned and writes it, all or nothing; existing files are never touched.
 * @throws CannotWriteError naming each file that stands in the way, or the system's reason.
 */
export async function makeAuthority(
  directory: string,
  items: readonly PlannedItem[],
  validity: Validity,
): Promise<void> {
  await refuseOverwriting(directory, items);
  const files = await makeFiles(directory, items, validity);
  const written: string[] = [];
  try {
    await mkdir(directory, { recursive: true });
    for (const { path, pem, mode } of files) {
      await writeFile(path, pem, { flag: "wx", mode });
      written.push(path);
    }
  } catch (cause) {
    await Promise.all(written.map((path) => rm(path, { force: true })));
    throw new CannotWriteError(`cannot write to ${directory}: ${reasonOf(cause)}`, { cause });
  }
}

async function refuseOverwriting(directory: string, items: readonly PlannedItem[]): Promise<void> {
  const paths = items.flatMap((item) => [
    join(directory, item.publicFile),
    join(directory, item.privateFile),
  ]);
  const found = await Promise.all(paths.map(isThere));
  const existing = paths.filter((_, index) => found[index]);
  if (existing.length > 0)
    throw new CannotWriteError(
      `will not overwrite:\n${existing.map((path) => `  ${path}\n`).join("")}`,
    );
}

async function makeFiles(
  directory: string,
  items: readonly PlannedItem[],
  validity: Validity,
): Promise<readonly MadeFile[]> {
  const files: MadeFile[] = [];
  const now = Date.now();
  let authority: Required<Issuer> | undefined;
  for (const item of items) {
    const { publicKey, privateKey } = generateKeys(item);
    let publicPem = publicKey.export({ format: "pem", type: "spki" });
    if (item.kind === "certificate") {
      const request = requestOf(item, publicKey, validity, now);
      const certificate = await issueCertificate(request, authority ?? { privateKey });
      authority ??= { certificate, privateKey };
      publicPem = encodeCertificatePem(certificate);
      await requireSecondOpinion(certificate, authority.certificate);
      if (item.isChain) publicPem += encodeCertificatePem(authority.certificate);
    }
    const privatePem = privateKey.export({ format: "pem", type: "pkcs8" });
    files.push(
      { path: join(directory, item.publicFile), pem: publicPem.toString(), mode: PUBLIC_MODE },
      { path: join(directory, item.privateFile), pem: privatePem.toString(), mode: PRIVATE_MODE },
    );
  }
  return files;
}

function requestOf(
  item: PlannedItem & { kind: "certificate" },
  publicKey: KeyObject,
  validity: Validity,
  now: number,
): CertificateRequest {
  const days = item.profile === "authority" ? validity.authorityDays : validity.certificateDays;
  return {
    ...item,
    publicKey,
    serialNumber: randomBytes(SERIAL_NUMBER_BYTES),
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: new Date(now + days * DAY_MS),
  };
}

function generateKeys(item: PlannedItem): { publicKey: KeyObject; privateKey: KeyObject } {
  const type = item.kind === "certificate" ? item.keyType : item.algorithm;
  switch (type) {
    case "p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "rsa2048":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "rsa3072":
      return generateKeyPairSync("rsa", { modulusLength: 3072 });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "x25519":
      return generateKeyPairSync("x25519");
    default:
      return assertNever(type);
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw new CannotWriteError(`cannot look at ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const codeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;
