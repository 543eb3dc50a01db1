/** Certificates for the transport tests, made anew each time. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { encodeCertificatePem } from "../../../protocol/pki/certificate.ts";
import type { AlternativeName } from "../../../protocol/pki/general-name.ts";
import { type Issuer, issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { SipTlsSetting } from "../../../runtime/sip-transport-tls.ts";

const HOUR_MS = 3_600_000;

/** One certificate with its key; an authority of its own without an issuer. */
export async function issue(
  profile: "authority" | "host" | "user",
  alternativeNames: readonly AlternativeName[],
  issuer?: Issuer,
  pathLength = 0,
): Promise<{ certificate: Buffer; issuer: Issuer; pem: string; key: string }> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = await issueCertificate(
    {
      commonName: `${profile} ${randomBytes(4).toString("hex")}`,
      publicKey,
      profile,
      alternativeNames,
      serialNumber: randomBytes(16),
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + HOUR_MS),
      pathLength,
    },
    issuer ?? { privateKey },
  );
  return {
    certificate,
    issuer: { certificate, privateKey },
    pem: encodeCertificatePem(certificate),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

export const uri = (text: string): AlternativeName => ({ kind: "uri", uri: text });
export const dns = (name: string): AlternativeName => ({ kind: "dns", name });
export const LOOPBACK: AlternativeName = { kind: "address", octets: Buffer.from([127, 0, 0, 1]) };

/** A domain: its server, its user Alice, and Mallory, whose authority nobody knows. */
export async function makeDomain(): Promise<Record<"server" | "alice" | "mallory", SipTlsSetting>> {
  const authority = await issue("authority", []);
  const foreign = await issue("authority", []);
  const serverNames = [dns("ss1.atlanta.example.com"), LOOPBACK, uri("sip:atlanta.example.com")];
  const server = await issue("host", serverNames, authority.issuer);
  const aliceNames = [uri("sip:alice@atlanta.example.com"), uri("https://alice.example.com")];
  const alice = await issue("user", aliceNames, authority.issuer);
  const mallory = await issue(
    "host",
    [uri("sip:alice@atlanta.example.com"), LOOPBACK],
    foreign.issuer,
  );
  const setting = ({ pem, key }: typeof server, clientCertificates: "require" | "request") => ({
    certificate: pem,
    key,
    anchors: [authority.pem],
    clientCertificates,
  });
  return {
    server: setting(server, "require"),
    alice: setting(alice, "request"),
    mallory: setting(mallory, "request"),
  };
}
