/** Reads what `ca init` wrote, for the lab's own use of it. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "../protocol/pki/signed-data.ts";

/** The certificate and private key of `name` (`alice`, `bob`, `ss1`) in a folder of keys. */
export function readIdentity(keys: string, name: string): Identity {
  return {
    certificate: readCertificate(keys, name),
    privateKey: createPrivateKey(readFileSync(join(keys, `${name}.key`))),
  };
}

/** DER. */
export function readCertificate(keys: string, name: string): Buffer {
  return new X509Certificate(readFileSync(join(keys, `${name}.pem`))).raw;
}
