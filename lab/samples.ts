/** Finds in a channel of a recording what a phone put on the wire, sample for sample. Pure. */
import { decodeMuLaw } from "../protocol/audio/g711.ts";

export type SpeechMatch =
  | {
      readonly kind: "equal";
      /** Samples of silence before it. */
      readonly offset: number;
    }
  | { readonly kind: "different" };

/** Equal: the channel holds the whole decoding of these octets once, and silence all round it. */
export function matchSpeech(channel: Int16Array, pcmu: Uint8Array): SpeechMatch {
  const speech = decodeMuLaw(pcmu);
  const first = speech.findIndex((sample) => sample !== 0);
  const start = channel.findIndex((sample) => sample !== 0);
  const offset = start - first;
  if (first < 0 || start < 0 || offset < 0 || offset + speech.length > channel.length)
    return { kind: "different" };
  const same = speech.every((sample, at) => sample === channel[offset + at]);
  const silence = channel.subarray(offset + speech.length).every((sample) => sample === 0);
  return same && silence ? { kind: "equal", offset } : { kind: "different" };
}
