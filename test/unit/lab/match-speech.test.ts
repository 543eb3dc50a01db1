import assert from "node:assert/strict";
import { test } from "node:test";
import { matchSpeech } from "../../../lab/samples.ts";
import { decodeMuLaw, MU_LAW_SILENCE } from "../../../protocol/audio/g711.ts";

const speech = Buffer.from([MU_LAW_SILENCE, 1, 2, MU_LAW_SILENCE, 200, 3, MU_LAW_SILENCE]);
const silence = (length: number): Buffer => Buffer.alloc(length, MU_LAW_SILENCE);
const channel = (...parts: Buffer[]): Int16Array => decodeMuLaw(Buffer.concat(parts));

test("speech is found behind and before silence", () => {
  const found = matchSpeech(channel(silence(5), speech, silence(4)), speech);
  assert.deepEqual(found, { kind: "equal", offset: 5 });
});

const altered = Buffer.from(speech).fill(77, 4, 5);
const faults: Record<string, Int16Array> = {
  "one sample altered": channel(silence(5), altered, silence(4)),
  "something after it": channel(silence(5), speech, speech),
  "its end missing": channel(silence(5), speech.subarray(0, 5)),
  "its beginning missing": channel(speech.subarray(2), silence(9)),
  "a sample lost in the middle": channel(speech.subarray(0, 3), speech.subarray(4), silence(9)),
  nothing: channel(silence(20)),
};
for (const [name, heard] of Object.entries(faults))
  test(`different: ${name}`, () => {
    assert.deepEqual(matchSpeech(heard, speech), { kind: "different" });
  });
