/** An order of two SRTP streams for tests. Its keys are not secret: RFC 4568 §7.1.1 prints them. */

import type { RecordingOrder } from "../../../protocol/ingest/order.ts";

const PCMU = { type: 0, codec: "PCMU", clockHz: 8000, channels: 1 };

export function orderFixture(): RecordingOrder {
  return {
    version: 1,
    recording: "0b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e",
    session: "session-1",
    revision: 2,
    callId: "3848276298220188511@atlanta.example.com",
    from: "sip:alice@atlanta.example.com",
    to: "sip:bob@biloxi.example.com",
    startedAt: "2026-11-22T20:00:00.000Z",
    policy: "decrypted",
    streams: [
      {
        label: "caller",
        media: "audio",
        source: { address: "10.10.0.2" },
        destination: { address: "10.20.0.2", port: 30000 },
        rtcpPort: 30001,
        payloads: [PCMU],
        protection: {
          kind: "srtp",
          suite: "AES_CM_128_HMAC_SHA1_80",
          masterKeySalt: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        },
      },
      {
        label: "callee",
        media: "audio",
        destination: { address: "10.10.0.2", port: 20000 },
        payloads: [PCMU],
        protection: {
          kind: "srtp",
          suite: "AES_CM_128_HMAC_SHA1_80",
          masterKeySalt: "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR",
        },
      },
    ],
  };
}
