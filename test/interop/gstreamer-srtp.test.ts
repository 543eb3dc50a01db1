/**
 * SRTP against GStreamer, which is libsrtp: its packets open here, ours open there, over
 * rollovers, with the speech equal octet for octet. Sockets on 127.0.0.1 only.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeMuLaw } from "../../protocol/audio/g711.ts";
import { decodeTelephoneWav } from "../../protocol/audio/wav.ts";
import { decodeRtcp } from "../../protocol/rtp/rtcp-packet.ts";
import { decodeRtp, encodeRtp } from "../../protocol/rtp/rtp-packet.ts";
import { masterKeySaltBytes } from "../../protocol/rtp/srtp-suite.ts";
import { Secret } from "../../protocol/secret.ts";
import type { MasterKey } from "../../protocol/srtp/packet-keys.ts";
import { SrtpReceiver } from "../../protocol/srtp/srtp-receiver.ts";
import { SrtpSender } from "../../protocol/srtp/srtp-sender.ts";
import {
  arrived,
  freePort,
  gstreamer,
  HOST,
  listen,
  TIMEOUT_MS,
  WAIT_MS,
} from "./gstreamer-command.ts";

const PACKET_OCTETS = 160;
const FIRST_SEQUENCE_NUMBER = 65_500;
const SSRC = 1234;

const SUITES = [
  { suite: "AES_CM_128_HMAC_SHA1_80", cipher: "aes-128-icm", auth: "hmac-sha1-80" },
  { suite: "AES_CM_128_HMAC_SHA1_32", cipher: "aes-128-icm", auth: "hmac-sha1-32" },
  { suite: "AES_256_CM_HMAC_SHA1_80", cipher: "aes-256-icm", auth: "hmac-sha1-80" },
  { suite: "AES_256_CM_HMAC_SHA1_32", cipher: "aes-256-icm", auth: "hmac-sha1-32" },
] as const;

const directory = mkdtempSync(join(tmpdir(), "kh-gstreamer-"));
const source = join(directory, "speech.ul");
const wav = readFileSync(new URL("../../lab/voices/alice.wav", import.meta.url));
/** Whole packets of speech, enough to pass sequence number 65535. */
const speech = encodeMuLaw(decodeTelephoneWav(wav).subarray(0, 60 * PACKET_OCTETS));

before(() => writeFileSync(source, speech));
after(() => rmSync(directory, { recursive: true }));

const keyOf = (suite: MasterKey["suite"]): { hex: string; master: MasterKey } => {
  const octets = Buffer.from(
    Array.from({ length: masterKeySaltBytes(suite) }, (_, at) => 3 * at + 1),
  );
  return { hex: octets.toString("hex"), master: { suite, masterKeySalt: new Secret(octets) } };
};

for (const { suite, cipher, auth } of SUITES)
  test(`${suite}: what srtpenc sends opens here, SRTP and SRTCP`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { hex, master } = keyOf(suite);
    const [rtp, rtcp] = [await listen(), await listen()];
    const pipeline = gstreamer(
      `srtpenc name=enc key=${hex} rtp-cipher=${cipher} rtp-auth=${auth}`,
      `rtcp-cipher=${cipher} rtcp-auth=hmac-sha1-80`,
      "rtpbin name=bin",
      `filesrc location=${source} blocksize=1600`,
      "! rawaudioparse use-sink-caps=false format=mulaw sample-rate=8000 num-channels=1",
      "! rtppcmupay pt=0 min-ptime=20000000 max-ptime=20000000",
      `ssrc=${SSRC} seqnum-offset=${FIRST_SEQUENCE_NUMBER} ! bin.send_rtp_sink_0`,
      `bin.send_rtp_src_0 ! enc.rtp_sink_0 enc.rtp_src_0 ! udpsink host=${HOST} port=${rtp.port} sync=true async=false`,
      `bin.send_rtcp_src_0 ! enc.rtcp_sink_0 enc.rtcp_src_0 ! udpsink host=${HOST} port=${rtcp.port} sync=false async=false`,
    );
    try {
      await arrived(rtp.packets, speech.length / PACKET_OCTETS);
      await arrived(rtcp.packets, 1);
    } finally {
      // Not waited for: the RTCP half of rtpbin does not always pass the end of the stream on.
      await pipeline.stop();
      rtp.socket.close();
      rtcp.socket.close();
    }

    const receiver = new SrtpReceiver(master);
    const opened = receiver.unprotectBatch(rtp.packets).map((result, at) => {
      assert.equal(result.kind, "ok", `packet ${at}`);
      return result.kind === "ok" ? decodeRtp(result.packet) : assert.fail();
    });
    assert.ok(Buffer.concat(opened.map(({ payload }) => payload)).equals(speech));
    assert.deepEqual(
      opened.map(({ sequenceNumber }) => sequenceNumber),
      opened.map((_, at) => (FIRST_SEQUENCE_NUMBER + at) % 65_536),
    );
    assert.ok(!rtp.packets.some((packet, at) => packet.includes(speechPacket(at))));

    const reports = receiver.unprotectRtcpBatch(rtcp.packets);
    assert.ok(reports.every(({ kind }) => kind === "ok"));
    const kinds = reports.flatMap((result) =>
      result.kind === "ok" ? decodeRtcp(result.packet).map(({ kind }) => kind) : [],
    );
    assert.ok(
      kinds.includes("sender-report") && kinds.includes("source-description"),
      kinds.join(),
    );
    assert.deepEqual(receiver.ssrcs, { rtp: [SSRC], rtcp: [SSRC] });
  });

for (const { suite, cipher, auth } of SUITES)
  test(`${suite}: what is protected here opens in srtpdec`, { timeout: TIMEOUT_MS }, async () => {
    const { hex, master } = keyOf(suite);
    const port = await freePort();
    const heard = join(directory, `${suite}.ul`);
    const count = speech.length / PACKET_OCTETS;
    const caps = [
      "application/x-srtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0",
      `ssrc=(uint)${SSRC},roc=(uint)0,srtp-key=(buffer)${hex}`,
      `srtp-cipher=(string)${cipher},srtp-auth=(string)${auth}`,
      `srtcp-cipher=(string)${cipher},srtcp-auth=(string)hmac-sha1-80`,
    ].join(",");
    const pipeline = gstreamer(
      `udpsrc address=${HOST} port=${port} num-buffers=${count} caps=${caps}`,
      `! srtpdec ! rtppcmudepay ! filesink location=${heard}`,
    );
    await Promise.race([pipeline.finished(), bound(port)]);

    const sender = new SrtpSender(master);
    const socket = createSocket("udp4");
    for (let at = 0; at < count; at += 1) {
      const packet = encodeRtp({
        marker: at === 0,
        payloadType: 0,
        sequenceNumber: (FIRST_SEQUENCE_NUMBER + at) % 65_536,
        timestamp: at * PACKET_OCTETS,
        ssrc: SSRC,
        csrcs: [],
        payload: speechPacket(at),
      });
      socket.send(sender.protectRtp(packet), port, HOST);
    }
    await pipeline.finished().finally(() => socket.close());
    assert.ok(readFileSync(heard).equals(speech));
  });

const speechPacket = (at: number): Buffer =>
  speech.subarray(at * PACKET_OCTETS, (at + 1) * PACKET_OCTETS);

/** Waits until a process of this machine listens on the UDP port. */
async function bound(port: number): Promise<void> {
  const entry = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const until = Date.now() + WAIT_MS;
  while (!readFileSync("/proc/net/udp", "utf8").includes(entry)) {
    assert.ok(Date.now() < until, "srtpdec does not listen");
    await sleep(20);
  }
}
