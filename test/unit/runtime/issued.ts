/** Certificates as the authority's database is told of them; what stands in them does not matter. */
import { randomBytes } from "node:crypto";
import type { IssuedCertificate } from "../../../runtime/authority-tables.ts";

export const ALICE = "sip:alice@atlanta.example.com";
export const BOB = "sip:bob@atlanta.example.com";

export const randomHex = (bytes: number): string => randomBytes(bytes).toString("hex");

export const issued = (change: Partial<IssuedCertificate>): IssuedCertificate => ({
  serial: randomHex(16),
  aor: ALICE,
  keyId: randomHex(32),
  fingerprint: randomHex(32),
  notAfter: 1_000_000,
  der: Buffer.from("certificate"),
  ...change,
});
