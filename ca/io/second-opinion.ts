/**
 * Asks another implementation, pkijs, whether a certificate that we made leads to its authority:
 * what is written here lasts for years, and our own encoder made it. Reads the clock.
 */
import { Certificate, CertificateChainValidationEngine } from "pkijs";
import { ENGINE, toArrayBuffer } from "../../protocol/pki/engine.ts";

/** @throws TypeError if pkijs finds no valid path; the certificates are DER. */
export async function requireSecondOpinion(
  certificate: Uint8Array,
  authority: Uint8Array,
): Promise<void> {
  const read = (octets: Uint8Array) => Certificate.fromBER(toArrayBuffer(octets));
  const chain = new CertificateChainValidationEngine({
    trustedCerts: [read(authority)],
    certs: [read(certificate)],
  });
  const { result, resultMessage } = await chain.verify({}, ENGINE);
  if (!result) throw new TypeError(`a certificate that we made is not valid: ${resultMessage}`);
}
