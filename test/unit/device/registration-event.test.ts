import assert from "node:assert/strict";
import { test } from "node:test";
import { describePhoneEvent, type PhoneEvent } from "../../../device/core/phone-event.ts";

const aor = "sip:alice@atlanta.example.com";
const shown = { serial: "01ab", notBefore: 1, notAfter: 9, fingerprint: "cd" };
const contact = "sip:alice@192.0.2.101:5061";

const SENTENCES: readonly (readonly [event: PhoneEvent, sentence: string])[] = [
  [{ event: "registering", aor, callId: "x" }, `Registering ${aor}.`],
  [
    { event: "registered", aor, contact, expiresAt: 9, refreshAt: 8, certificate: shown },
    "Registered until t9, certificate serial 01ab, refreshes at t8.",
  ],
  [
    { event: "registered", aor, contact, expiresAt: 9, refreshAt: 8 },
    "Registered until t9, refreshes at t8.",
  ],
  [{ event: "flow-lost" }, "The connection to the registrar is gone."],
  [{ event: "registration-expired" }, "The registration has ended: nobody reaches this phone."],
  [{ event: "registration-failed", reason: "no answer" }, "Not registered: no answer."],
  [
    { event: "registration-failed", reason: "Forbidden", status: 403, warning: "w", retryAt: 7 },
    "Not registered (403): Forbidden (w). Trying again at t7.",
  ],
  [{ event: "unregistered", aor }, `${aor} is registered here no longer.`],
  [
    { event: "certificate", aor, expiresAt: 8, ...shown },
    `${aor} has certificate serial 01ab, in service until t8, SHA-256 cd.`,
  ],
  [
    { event: "no-certificate", aor, reason: "Not Found", status: 404 },
    `No certificate of ${aor} (404): Not Found.`,
  ],
  [{ event: "ringing" }, "It rings."],
];

for (const [event, sentence] of SENTENCES)
  test(`${JSON.stringify(event)} reads: ${sentence}`, () => {
    assert.equal(
      describePhoneEvent(event, (at) => `t${at}`),
      sentence,
    );
  });
