/**
 * OpenSSL's command line as an independent judge: each bench has a directory of its own.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";

export interface OpensslResult {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export class OpensslBench {
  readonly directory = mkdtempSync(join(tmpdir(), "keyhole-openssl-"));

  constructor() {
    chmodSync(this.directory, 0o700);
  }

  /** Runs one command in the bench's directory. */
  run(args: readonly string[], input: Uint8Array = Buffer.alloc(0)): OpensslResult {
    const { status, stdout, stderr } = spawnSync("openssl", args, {
      cwd: this.directory,
      input,
      maxBuffer: 4 * 1024 * 1024,
    });
    return { status, stdout, stderr: stderr.toString() };
  }

  write(name: string, octets: Uint8Array | string): void {
    writeFileSync(join(this.directory, name), octets, { mode: 0o600 });
  }

  /** Stores `NAME.pem` and `NAME.key`. */
  writeIdentity(name: string, identity: Identity): void {
    this.write(`${name}.pem`, encodeCertificatePem(identity.certificate));
    this.write(`${name}.key`, identity.privateKey.export({ format: "pem", type: "pkcs8" }));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
