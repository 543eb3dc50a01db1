/**
 * SDES `a=crypto`: one SRTP master key as carried in SDP (RFC 4568 §9.2). Pure.
 * The key leaves only as a `Secret`; no error message repeats input.
 */
import { ProtocolError } from "../errors.ts";
import { isSrtpSuite, masterKeySaltBytes, SRTP_SUITES, type SrtpSuite } from "../rtp/srtp-suite.ts";
import { Secret } from "../secret.ts";

export interface CryptoAttribute {
  readonly tag: number;
  readonly suite: SrtpSuite;
  /** Master key, then master salt. */
  readonly masterKeySalt: Secret;
  /** Packets this key may protect, SRTP and SRTCP each; absent: the suite's own limit. */
  readonly lifetimePackets?: number;
  /** Master key identifier as it stands in each packet, 1 to 128 octets, big-endian. */
  readonly mki?: Buffer;
  /** Replay window the sender asks for, in packets (§6.3.6). */
  readonly windowSizeHint?: number;
}

/** Longest MKI (§9.2, `mki-length`). */
export const MKI_BYTES_MAX = 128;
/** Smallest replay window a peer may ask for (RFC 3711 §3.3.2). */
export const WINDOW_SIZE_HINT_MIN = 64;

const SYNTAX = /^(\d{1,9})[ \t]+(\w+)[ \t]+(\S+)((?:[ \t]+\S+)*)$/;
const KEY_INFO =
  /^inline:([A-Za-z\d+/]+={0,2})(?:\|(2\^\d{1,2}|[1-9]\d{0,14}))?(?:\|(\d{1,309}):(\d{1,3}))?$/;

/** Parameters that change how packets are read; to pass one over is to decrypt wrongly. */
const REFUSED_PARAMETERS = [
  "KDR",
  "UNENCRYPTED_SRTP",
  "UNENCRYPTED_SRTCP",
  "UNAUTHENTICATED_SRTP",
  "FEC_ORDER",
  "FEC_KEY",
];

/**
 * Parses the value of an `a=crypto` line (what follows the colon).
 * @throws ProtocolError `ERR_SDES_SYNTAX`; `ERR_SDES_SUITE` (unknown name); `ERR_SDES_KEY`
 *   (octet count, base64); `ERR_SDES_PARAM` (several keys, lifetime or MKI out of range, a
 *   session parameter that is unknown or unsupported; the message names it).
 */
export function parseCryptoAttribute(value: string): CryptoAttribute {
  const match = SYNTAX.exec(value);
  if (match === null) throw new ProtocolError("ERR_SDES_SYNTAX", "not an SDES crypto attribute");
  const [, tag, suite = "", keyParams = "", sessionParams = ""] = match;
  if (!isSrtpSuite(suite)) throw new ProtocolError("ERR_SDES_SUITE", "crypto suite not known");
  if (keyParams.includes(";")) throw new ProtocolError("ERR_SDES_PARAM", "several master keys");

  const key = KEY_INFO.exec(keyParams);
  if (key === null) throw new ProtocolError("ERR_SDES_SYNTAX", "not an inline master key");
  const [, inline = "", lifetime, mkiValue, mkiLength] = key;
  return {
    tag: Number(tag),
    suite,
    masterKeySalt: decodeKey(inline, suite),
    ...(lifetime !== undefined && { lifetimePackets: parseLifetime(lifetime, suite) }),
    ...(mkiValue !== undefined && { mki: encodeMki(BigInt(mkiValue), Number(mkiLength)) }),
    ...parseSessionParams(sessionParams),
  };
}

/** Writes the value of an `a=crypto` line. The string holds the key: never log it. */
export function serializeCryptoAttribute(crypto: CryptoAttribute): string {
  const { tag, suite, masterKeySalt, lifetimePackets, mki, windowSizeHint } = crypto;
  const lifetime = lifetimePackets === undefined ? "" : `|${serializeLifetime(lifetimePackets)}`;
  const identifier =
    mki === undefined ? "" : `|${BigInt(`0x${mki.toString("hex")}`)}:${mki.length}`;
  const hint = windowSizeHint === undefined ? "" : ` WSH=${windowSizeHint}`;
  const inline = masterKeySalt.expose().toString("base64");
  return `${tag} ${suite} inline:${inline}${lifetime}${identifier}${hint}`;
}

/** Decodes base64 with or without padding, refusing what is not canonical. */
function decodeKey(inline: string, suite: SrtpSuite): Secret {
  const octets = Buffer.from(inline, "base64");
  try {
    const canonical = octets.toString("base64");
    if (inline !== canonical && inline !== canonical.replace(/=+$/, ""))
      throw new ProtocolError("ERR_SDES_KEY", "master key is not base64");
    if (octets.length !== masterKeySaltBytes(suite))
      throw new ProtocolError("ERR_SDES_KEY", `${suite}: ${octets.length} octets of key and salt`);
    return new Secret(octets);
  } finally {
    octets.fill(0);
  }
}

function parseLifetime(text: string, suite: SrtpSuite): number {
  const [count, exponent = "1"] = text.split("^");
  const packets = Number(count) ** Number(exponent);
  if (packets > SRTP_SUITES[suite].lifetimePackets)
    throw new ProtocolError("ERR_SDES_PARAM", "lifetime beyond the suite's limit");
  return packets;
}

function serializeLifetime(packets: number): string {
  const exponent = Math.log2(packets);
  return Number.isInteger(exponent) ? `2^${exponent}` : String(packets);
}

function encodeMki(value: bigint, bytes: number): Buffer {
  if (bytes < 1 || bytes > MKI_BYTES_MAX || value >= 1n << BigInt(8 * bytes))
    throw new ProtocolError("ERR_SDES_PARAM", "MKI does not fit its length");
  return Buffer.from(value.toString(16).padStart(2 * bytes, "0"), "hex");
}

/** Takes `WSH`, the default `FEC_ORDER`, and what begins with `-` (§6.3.7); refuses the rest. */
function parseSessionParams(text: string): { windowSizeHint?: number } {
  let hint: { windowSizeHint?: number } = {};
  for (const parameter of text.split(/[ \t]+/).filter((part) => part !== "")) {
    if (parameter === "FEC_ORDER=FEC_SRTP" || parameter.startsWith("-")) continue;
    const window = /^WSH=(\d{2,6})$/.exec(parameter)?.[1];
    if (window === undefined || Number(window) < WINDOW_SIZE_HINT_MIN)
      throw new ProtocolError("ERR_SDES_PARAM", `session parameter ${parameterName(parameter)}`);
    hint = { windowSizeHint: Number(window) };
  }
  return hint;
}

function parameterName(parameter: string): string {
  const name = parameter.split("=", 1)[0] ?? "";
  return REFUSED_PARAMETERS.includes(name) ? `${name} not supported` : "not known or out of range";
}
