/** The demo's three calls: each is placed, shown step by step, and laid beside its recording. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CallReport, type CallStep, placeCall } from "./call.ts";
import { placeControlCall } from "./control-call.ts";
import type { CallFigures, DemoFigures } from "./demo-report.ts";
import type { Screen } from "./demo-screen.ts";
import { readIdentity } from "./identities.ts";
import type { JsonObject } from "./lab-process.ts";
import { type NamedSecret, privateKeysIn, searchLog } from "./log-search.ts";
import { isComplete, mediaFigures } from "./media-figures.ts";
import { callSecrets, isOffer, sealedForms } from "./media-keys.ts";
import { isMatrixAsPromised, type Phase, type PinholeMatrix } from "./pinhole-matrix.ts";
import { readRecording } from "./recording.ts";
import { readSignalling } from "./signalling.ts";
import type { Stage } from "./stage.ts";
import type { TcpStream } from "./tcp-streams.ts";
import { type Findings, isAllFound, isAnythingFound, searchSignalling } from "./wire-tap.ts";

const HASH_DIGITS = 16;
const MASTER_KEY_BYTES = 16; // AES_CM_128 (RFC 4568 §6.2)

export async function placeDemoCalls(
  screen: Screen,
  stage: Stage,
  out: string,
): Promise<DemoFigures> {
  screen.section("A sealed call");
  const call = await placeCall(stage, {
    results: join(out, "call"),
    sealing: { form: "rfc3185" },
    onStep: (step, details) => showStep(screen, step, details),
  });
  if (call.pinholes === undefined) throw new RangeError("the call was placed without probes");
  const figures = await examine(screen, stage, call, join(out, "call"));

  screen.section("The same call in the patent's form: EnvelopedData, answered by EncryptedData");
  const patent = await placeCall(stage, {
    results: join(out, "patent-call"),
    sealing: { form: "patent" },
    probe: false,
    hangUp: "bob",
    onStep: (step, details) => showStep(screen, step, details),
  });
  const { offer, answer } = sealedForms(readSignalling(patent.signalling));
  const isPatentForm = offer === "enveloped" && answer === "encrypted";
  screen.check(isPatentForm, "alice sent EnvelopedData, bob EncryptedData");
  const patentCall = await examine(screen, stage, patent, join(out, "patent-call"));

  screen.section("What a proxy that is not trusted could read");
  const control = await placeControlCall(stage, join(out, "control-call"));
  const sealed = await searchCall(stage, call.signalling);
  const sealedAsPatent = await searchCall(stage, patent.signalling);
  const inClear = await searchCall(stage, control);
  const search = {
    sealed: sealed.findings,
    patent: sealedAsPatent.findings,
    control: inClear.findings,
  };
  const sdpSeenOutsideTrusted = [search.sealed, search.patent].some(isAnythingFound);
  screen.check(!sdpSeenOutsideTrusted, "sealed calls: no SRTP key, no m=, c= or a=crypto line");
  screen.check(isAllFound(search.control), "a call in clear: the same search finds all of them");
  const secrets = [sealed, sealedAsPatent, inClear].flatMap((each) => each.secrets);
  const seenInLogs = searchLogs(stage, secrets);
  screen.check(
    seenInLogs.length === 0,
    "logs of all programs: no private key, first key, media key or SDP",
    seenInLogs.join(", "),
  );
  return {
    ...{ ...figures, sdpSeenOutsideTrusted, search, seenInLogs },
    ...{ pinholes: call.pinholes, patentCall },
  };
}

/** Lays a call beside its recording. */
async function examine(
  screen: Screen,
  stage: Stage,
  call: CallReport,
  results: string,
): Promise<CallFigures> {
  const { alice, bob } = call.bodySha256;
  const offers = readSignalling(call.signalling).filter(({ message }) => isOffer(message));
  const hashes = new Set([alice, bob, ...offers.map(({ message }) => sha256(message.body))]);
  const equal = hashes.size === 1 && offers.length > 0;
  const octets = `${offers[0]?.message.body.length} octets, SHA-256 ${bob.slice(0, HASH_DIGITS)}…`;
  screen.check(equal, "alice's body reached bob unchanged", octets);

  const recorded = await readRecording(stage.site, call, results);
  const media = {
    aliceToBob: mediaFigures(call, recorded, "alice"),
    bobToAlice: mediaFigures(call, recorded, "bob"),
  };
  const { sent: aliceSent } = media.aliceToBob;
  const { sent: bobSent } = media.bobToAlice;
  screen.check(
    isComplete(media.aliceToBob) && isComplete(media.bobToAlice),
    "all packets sent were admitted, captured, authenticated, stored",
    `${aliceSent} + ${bobSent}`,
  );
  screen.check(
    recorded.samplesEqual,
    "left is what alice said, right what bob said, to the sample",
  );
  const isSound = recorded.verified && recorded.verdict === "complete";
  screen.check(isSound, "the recording is complete and unaltered, and the ledger says so");
  const { id, verdict, verified, wav, pcapng, durationMs, samplesEqual } = recorded;
  return {
    bodySha256: { alice, bob, equal },
    media,
    recording: { id, verdict, verified, wav, pcapng, durationMs, samplesEqual },
  };
}

/** Each direction has a key of its own. */
const MEDIA_KEY_COUNT = 2;

/**
 * Searches a call's signalling for its media keys and SDP; names its keys for other searches.
 * @throws RangeError if the signalling does not lead to the keys of both directions.
 */
async function searchCall(
  stage: Stage,
  streams: readonly TcpStream[],
): Promise<{ findings: Findings; secrets: readonly NamedSecret[] }> {
  const bob = readIdentity(stage.site.keys, "bob");
  const { mediaKeys, firstKey } = await callSecrets(readSignalling(streams), bob);
  if (mediaKeys.length < MEDIA_KEY_COUNT) throw new RangeError("a search for no key finds none");
  const secrets = mediaKeys.flatMap((octets) => [
    { name: "media key and salt", octets },
    { name: "media key", octets: octets.subarray(0, MASTER_KEY_BYTES) },
  ]);
  if (firstKey !== undefined) secrets.push({ name: "first key", octets: firstKey });
  return { findings: searchSignalling(streams, mediaKeys), secrets };
}

/** What the logs hold and should not, as `log: name`. @throws Error if there is no log. */
function searchLogs({ site }: Stage, secrets: readonly NamedSecret[]): readonly string[] {
  const all = [...secrets, ...privateKeysIn(site.keys)];
  const logs = readdirSync(site.logs);
  if (logs.length === 0) throw new Error("no program wrote a log");
  return logs.flatMap((log) =>
    searchLog(readFileSync(join(site.logs, log), "utf8"), all).map((name) => `${log}: ${name}`),
  );
}

const sha256 = (octets: Buffer): string => createHash("sha256").update(octets).digest("hex");

const STEP_TEXTS: Readonly<Partial<Record<CallStep, string>>> = {
  calling: "alice makes a first key, signs and seals her SDP, sends INVITE",
  incoming: "bob opens it with his own key and checks the signature",
  ringing: "alice hears it ring",
  answered: "bob answers under the same first key, alice opens the answer",
  mediaStarted: "both talk: SRTP, 20 ms packets",
  played: "all was said",
  ended: "BYE",
};
const PHASE_TEXTS: Readonly<Record<Phase, string>> = {
  beforeCall: "before the call every test packet is dropped",
  afterInvite: "INVITE: anyone → alice is open, RTP and RTCP, nothing else",
  afterAnswer: "answer: bob ↔ alice is open, a stranger no longer passes",
  afterBye: "after BYE every test packet is dropped",
};

function showStep(screen: Screen, step: CallStep, details: JsonObject): void {
  if (step in PHASE_TEXTS) {
    const phase = step as Phase;
    const held = isMatrixAsPromised(phase, details as unknown as PinholeMatrix);
    screen.check(held, PHASE_TEXTS[phase]);
    return;
  }
  const sealed = details["sealed"] !== false;
  screen.check(sealed, STEP_TEXTS[step] ?? step);
}
