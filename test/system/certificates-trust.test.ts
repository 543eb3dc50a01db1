/** Two domains that trust each other: with their own users and controllers, and with nothing else. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { DOMAINS, SIPS_PORT } from "../../lab/domain-config.ts";
import { openInnerSockets } from "../../lab/inner-sockets.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import { holdConnection } from "../../lab/sip-peer.ts";
import { runKeyhole } from "../../lab/site.ts";
import { aorOf, openTwoDomains, type TwoDomains } from "../../lab/two-domains.ts";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { asked, registered, WAIT_MS } from "./certificate-phones.ts";

let domains: TwoDomains;
let atlanta: LabProcess;

before(async () => {
  domains = openTwoDomains();
  [atlanta] = await Promise.all([
    domains.startController("atlanta"),
    domains.startController("biloxi"),
  ]);
});
after(() => domains?.close());

describe("an authority speaks for its own domain alone", () => {
  /** Says REGISTER by TLS from alice's host, showing this certificate and no password. */
  async function registerShowing(user: string, issuer: "atlanta" | "biloxi"): Promise<number> {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const read = (name: string): Buffer => readFileSync(join(domains.folder(issuer), name));
    const now = Date.now();
    const certificate = await issueCertificate(
      {
        ...{ commonName: user, publicKey, profile: "user", serialNumber: randomBytes(16) },
        alternativeNames: [{ kind: "uri", uri: aorOf(user) }],
        notBefore: new Date(now - 60_000),
        notAfter: new Date(now + 60_000),
      },
      {
        certificate: new X509Certificate(read("ca.pem")).raw,
        privateKey: createPrivateKey(read("ca.key")),
      },
    );
    const { inside, controller, name } = DOMAINS.atlanta;
    const sockets = await openInnerSockets(domains.network, "alice");
    try {
      const secured = tlsConnect({
        socket: await sockets.connect({ address: inside, port: SIPS_PORT }),
        ca: readFileSync(join(domains.folder("atlanta"), "ca.pem")),
        servername: controller,
        cert: encodeCertificatePem(certificate),
        key: privateKey.export({ format: "pem", type: "pkcs8" }),
      });
      await once(secured, "secureConnect");
      const peer = holdConnection(secured);
      const request = createRequest({
        ...{ method: "REGISTER", uri: `sip:${name}`, callId: randomBytes(8).toString("hex") },
        via: ownVia("tls", inside, SIPS_PORT, newBranch(randomBytes)),
        from: { uri: aorOf(user), params: [{ name: "tag", value: "showing" }] },
        to: { uri: aorOf(user), params: [] },
        cseq: 1,
      });
      peer.send(request);
      const { status } = await peer.final(request, WAIT_MS);
      peer.close();
      return status;
    } finally {
      await sockets.close();
    }
  }

  test("our own names our user: known without a password", async () => {
    assert.equal(await registerShowing("alice", "atlanta"), 200);
  });

  test("the other domain's names our user: it proves nothing", async () => {
    const status = await registerShowing("alice", "biloxi");
    assert.ok([401, 403].includes(status), `${status}`);
  });

  test("a controller that is not certified for its domain gets no question", async () => {
    const { controller, name } = DOMAINS.biloxi;
    const strangers = join(domains.directory, "strangers");
    runKeyhole(
      ["ca", "init", "--out", strangers, "--domain", name].concat("--controller", controller),
    );
    const trusted = join(domains.folder("atlanta"), `${name}-ca.pem`);
    const before = readFileSync(trusted);
    try {
      writeFileSync(trusted, readFileSync(join(strangers, "ca.pem")));
      await atlanta.stop();
      atlanta = await domains.startController("atlanta");
      const [{ phone: alice }, { phone: bob }] = [
        await registered(domains, "alice"),
        await registered(domains, "bob"),
      ];
      const answer = await asked(domains, "alice", aorOf("bob"));
      assert.equal(answer["event"], "no-certificate", JSON.stringify(answer));
      await Promise.all([alice.stop(), bob.stop()]);
    } finally {
      writeFileSync(trusted, before);
    }
  });
});
