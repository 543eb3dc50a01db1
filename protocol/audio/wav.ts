/**
 * WAV files of 16-bit PCM (RIFF; Microsoft Multimedia Programming Interface, 1991). Pure.
 */
import { ProtocolError } from "../errors.ts";

export interface Sound {
  readonly sampleRateHz: number;
  /** One array a channel, all of one length; left before right. */
  readonly channels: readonly Int16Array[];
}

/** Largest file read: two channels of 8 kHz for two hours. */
export const WAV_BYTES_MAX = 256 * 2 ** 20;
/** One or two channels are read and written. */
const WAV_CHANNELS_MAX = 2;

const HEADER_BYTES = 44;
const FORMAT_BYTES = 16;
const PCM = 1;
const EXTENSIBLE = 0xfffe;
const SAMPLE_BYTES = 2;

const fault = (message: string): ProtocolError => new ProtocolError("ERR_WAV", `WAV: ${message}`);

/**
 * Reads a WAV file of 16-bit PCM, one or two channels, any rate.
 * @throws ProtocolError `ERR_WAV`; the message says what is wrong with the file.
 */
export function decodeWav(octets: Uint8Array): Sound {
  const file = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  if (file.length > WAV_BYTES_MAX) throw fault("file too large");
  if (file.toString("latin1", 0, 4) !== "RIFF" || file.toString("latin1", 8, 12) !== "WAVE")
    throw fault("no RIFF/WAVE header");
  const chunks = readChunks(file);
  const [format, content] = [chunks.get("fmt "), chunks.get("data")];
  if (format === undefined || format.length < FORMAT_BYTES) throw fault("no format chunk");
  if (content === undefined) throw fault("no data chunk");

  const coding = format.readUInt16LE(0);
  const [channelCount, sampleRateHz] = [format.readUInt16LE(2), format.readUInt32LE(4)];
  const bits = format.readUInt16LE(14);
  if (coding !== PCM && coding !== EXTENSIBLE) throw fault(`coding ${coding} is not PCM`);
  if (bits !== 8 * SAMPLE_BYTES) throw fault(`${bits} bits a sample, not 16`);
  if (channelCount < 1 || channelCount > WAV_CHANNELS_MAX)
    throw fault(`${channelCount} channels, not 1 or 2`);
  if (sampleRateHz === 0) throw fault("sample rate 0");
  return { sampleRateHz, channels: splitChannels(content, channelCount) };
}

/**
 * As `decodeWav`, of what a telephone plays: one channel at 8000 Hz.
 * @throws ProtocolError `ERR_WAV`.
 */
export function decodeTelephoneWav(octets: Uint8Array): Int16Array {
  const { sampleRateHz, channels } = decodeWav(octets);
  const [samples, ...more] = channels;
  if (samples === undefined || more.length > 0) throw fault("stereo, not mono");
  if (sampleRateHz !== 8000) throw fault(`${sampleRateHz} Hz, not 8000`);
  return samples;
}

/**
 * Writes a WAV file of 16-bit PCM.
 * @throws RangeError for no channel, more than two, or channels of unequal length.
 */
export function encodeWav({ sampleRateHz, channels }: Sound): Buffer {
  const [first] = channels;
  if (first === undefined || channels.length > WAV_CHANNELS_MAX)
    throw new RangeError("a WAV file has one or two channels");
  if (channels.some(({ length }) => length !== first.length))
    throw new RangeError("channels of unequal length");
  const frameBytes = SAMPLE_BYTES * channels.length;
  const dataBytes = first.length * frameBytes;
  const file = Buffer.alloc(HEADER_BYTES + dataBytes);
  file.write("RIFF", 0, "latin1");
  file.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  file.write("WAVEfmt ", 8, "latin1");
  file.writeUInt32LE(FORMAT_BYTES, 16);
  file.writeUInt16LE(PCM, 20);
  file.writeUInt16LE(channels.length, 22);
  file.writeUInt32LE(sampleRateHz, 24);
  file.writeUInt32LE(sampleRateHz * frameBytes, 28);
  file.writeUInt16LE(frameBytes, 32);
  file.writeUInt16LE(8 * SAMPLE_BYTES, 34);
  file.write("data", 36, "latin1");
  file.writeUInt32LE(dataBytes, 40);
  for (const [channel, samples] of channels.entries())
    for (const [at, sample] of samples.entries())
      file.writeInt16LE(sample, HEADER_BYTES + at * frameBytes + channel * SAMPLE_BYTES);
  return file;
}

/** The first chunk of each name; every chunk is padded to even length. */
function readChunks(file: Buffer): Map<string, Buffer> {
  const chunks = new Map<string, Buffer>();
  for (let at = 12; at + 8 <= file.length; ) {
    const [name, bytes] = [file.toString("latin1", at, at + 4), file.readUInt32LE(at + 4)];
    const start = at + 8;
    if (start + bytes > file.length) throw fault("file is cut off");
    if (!chunks.has(name)) chunks.set(name, file.subarray(start, start + bytes));
    at = start + bytes + (bytes % 2);
  }
  return chunks;
}

function splitChannels(content: Buffer, channelCount: number): Int16Array[] {
  const frameBytes = SAMPLE_BYTES * channelCount;
  if (content.length % frameBytes !== 0) throw fault("last sample is cut off");
  const frames = content.length / frameBytes;
  return Array.from({ length: channelCount }, (_, channel) =>
    Int16Array.from({ length: frames }, (_unused, at) =>
      content.readInt16LE(at * frameBytes + channel * SAMPLE_BYTES),
    ),
  );
}
