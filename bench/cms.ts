/** Opening one envelope: `protocol/cms` beside pkijs, on the one form that both can open. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, webcrypto } from "node:crypto";
import * as pkijs from "pkijs";
import { decodeMessage } from "../protocol/cms/message.ts";
import { openEnvelope } from "../protocol/cms/open-message.ts";
import { sealEnvelope } from "../protocol/cms/seal-message.ts";
import { issueCertificate } from "../protocol/pki/issue-certificate.ts";
import { interleave } from "./interleave.ts";

const CONTENT = randomBytes(800); // an SDP offer with its signature is about so long
const DAY_MS = 86_400_000;

export async function benchCms(): Promise<object> {
  const { certificate, privateKey } = await recipient();
  const { message } = sealEnvelope({
    content: CONTENT,
    cipher: "aes-256-cbc",
    recipients: [{ kind: "certificate", certificate }],
    random: randomBytes,
  });

  const ours = () => {
    const envelope = decodeMessage(message);
    if (envelope.kind !== "enveloped") throw new TypeError("EnvelopedData expected");
    return openEnvelope(envelope, { kind: "certificate", certificate, privateKey }).content;
  };
  const pkcs8 = bufferOf(privateKey.export({ format: "der", type: "pkcs8" }));
  const crypto = new pkijs.CryptoEngine({ name: "bench", crypto: webcrypto as unknown as Crypto });
  const peer = async () => {
    const info = pkijs.ContentInfo.fromBER(bufferOf(message));
    const envelope = new pkijs.EnvelopedData({ schema: info.content });
    const recipientCertificate = pkijs.Certificate.fromBER(bufferOf(certificate));
    return envelope.decrypt(
      0,
      { recipientCertificate, recipientPrivateKey: pkcs8 },
      crypto as unknown as pkijs.ICryptoEngine,
    );
  };

  assert.deepEqual(ours(), CONTENT);
  assert.deepEqual(Buffer.from(await peer()), CONTENT);
  return interleave([
    { name: "keyhole", once: ours },
    { name: "pkijs", once: peer },
  ]);
}

async function recipient() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const issuer = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = await issueCertificate(
    {
      commonName: "bench",
      publicKey,
      profile: "user",
      alternativeNames: [],
      serialNumber: randomBytes(16),
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
    },
    { privateKey: issuer.privateKey },
  );
  return { certificate, privateKey };
}

function bufferOf(octets: Uint8Array): ArrayBuffer {
  return Uint8Array.from(octets).buffer;
}
