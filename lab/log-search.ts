/** Searches logs for what must never stand in them: keys, in every usual way of writing, and SDP. Reads key files. */
import { createPrivateKey } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Octets that are secret, and a name for them that is not. */
export interface NamedSecret {
  readonly name: string;
  readonly octets: Buffer;
}

const SDP_MARKS = ["m=audio", "c=IN IP", "a=crypto", "inline:", "a=rtpmap"];
const KEY_MARKS = ["PRIVATE KEY"];

/** What was found, by name; empty if nothing. */
export function searchLog(text: string, secrets: readonly NamedSecret[]): readonly string[] {
  const compact = text.replace(/\s+/g, "");
  const holds = (writing: string): boolean => text.includes(writing) || compact.includes(writing);
  const keys = secrets.filter(({ octets }) => writings(octets).some(holds)).map(({ name }) => name);
  const lower = text.toLowerCase();
  const marks = [...SDP_MARKS, ...KEY_MARKS].filter((mark) => lower.includes(mark.toLowerCase()));
  return [...new Set([...keys, ...marks])];
}

/** Every private key in a folder of PEM files: the whole of it, and the secret number alone. */
export function privateKeysIn(folder: string): readonly NamedSecret[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".key"))
    .flatMap((name) => {
      const key = createPrivateKey(readFileSync(join(folder, name)));
      const number = key.export({ format: "jwk" }).d ?? "";
      return [
        { name, octets: key.export({ format: "der", type: "pkcs8" }) },
        { name, octets: Buffer.from(number, "base64url") },
      ];
    });
}

/** Without white space: hexadecimal of both cases, base64 of both alphabets, and the numbers of a printed array. */
function writings(octets: Buffer): readonly string[] {
  const hex = octets.toString("hex");
  const pairs = hex.match(/../g) ?? [];
  return [
    hex,
    hex.toUpperCase(),
    pairs.join(":"),
    octets.toString("base64").replace(/=+$/, ""),
    octets.toString("base64url"),
    octets.toString("latin1"),
    [...octets].join(","),
  ];
}
