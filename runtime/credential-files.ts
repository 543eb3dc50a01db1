/**
 * Reads the certificate and key files that a configuration names, and goes on after a fault, so that
 * all are reported at once. Touches those files only, once, at start.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError, type ConfigFault, locateFaults, resolveConfigPath } from "./config-file.ts";

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class CredentialFiles {
  readonly #faults: ConfigFault[] = [];
  readonly #file: string;

  /** @param file The config file: paths in it are relative to its folder. */
  constructor(file: string) {
    this.#file = file;
  }

  /** What `parse` makes of the file, or undefined and a fault at `at`, the config key that names it. */
  read<T>(path: string, at: string, parse: (pem: string) => T): T | undefined {
    return this.readOctets(path, at, (octets) => parse(octets.toString("utf8")));
  }

  /** As `read`, of a file that may be binary. */
  readOctets<T>(path: string, at: string, parse: (octets: Buffer) => T): T | undefined {
    const octets = this.#octets(path);
    if (octets === undefined) {
      this.fault(at, `${path} cannot be read`);
      return undefined;
    }
    try {
      return parse(octets);
    } catch {
      // What a key parser says may quote the file.
      this.fault(at, `${path} is not what is needed here`);
      return undefined;
    }
  }

  /** The file as it is, without a fault if it cannot be read. */
  text(path: string): string | undefined {
    return this.#octets(path)?.toString("utf8");
  }

  fault(path: string, message: string): void {
    this.#faults.push({ path, message });
  }

  /** @throws ConfigError with every fault, if there was one. */
  throwFaults(): void {
    if (this.#faults.length === 0) return;
    const text = readFileSync(this.#file, "utf8");
    throw new ConfigError(this.#file, locateFaults(text, this.#faults));
  }

  #octets(path: string): Buffer | undefined {
    try {
      return readFileSync(resolveConfigPath(this.#file, path));
    } catch {
      return undefined;
    }
  }
}

/** All certificates of a PEM text, in order. @throws TypeError if there is none. */
export function parsePemCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new TypeError("no certificate");
  return blocks.map((block) => new X509Certificate(block));
}
