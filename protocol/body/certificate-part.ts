/**
 * Certificates as parts: application/pkix-cert (RFC 2585 §4.1), told apart by their disposition. Pure.
 */
import { type MimeEntity, serializeEntity } from "../mime/entity.ts";
import { type Certificate, decodeCertificate } from "../pki/certificate.ts";

export const PKIX_CERT = "application/pkix-cert";

/** A part of one DER certificate with this Content-Disposition. */
export const certificatePart = (certificate: Uint8Array, disposition: string): Buffer =>
  binaryPart(PKIX_CERT, certificate, disposition);

/** A part of octets that stay as they are. */
export const binaryPart = (type: string, octets: Uint8Array, disposition: string): Buffer =>
  serializeEntity(
    [
      ["Content-Type", type],
      ["Content-Transfer-Encoding", "binary"],
      ["Content-Disposition", disposition],
    ],
    octets,
  );

/** The certificate of a part; nothing in it is verified. @throws ProtocolError `ERR_CERTIFICATE`. */
export const readCertificatePart = (part: MimeEntity): Certificate => decodeCertificate(part.body);
