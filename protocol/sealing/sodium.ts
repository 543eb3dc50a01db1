/**
 * libsodium as an argument: its WebAssembly is loaded asynchronously, which is the caller's
 * affair (`await sodium.ready` in io), and it holds the generator of random octets. Pure.
 */

import type { KeyObject } from "node:crypto";
import type sodium from "libsodium-wrappers";

/** The default export of libsodium-wrappers once `ready` has resolved. */
export type Sodium = typeof sodium;

export interface X25519KeyPair {
  readonly publicKey: Buffer;
  readonly privateKey: Buffer;
}

/** The 32 octets of an X25519 public key. @throws TypeError for a key of another kind. */
export function rawPublicKey(key: KeyObject): Buffer {
  return Buffer.from(x25519Jwk(key).x, "base64url");
}

/** Both halves of an X25519 private key, 32 octets each. @throws TypeError for another kind. */
export function rawKeyPair(key: KeyObject): X25519KeyPair {
  const { x, d } = x25519Jwk(key);
  if (key.type !== "private" || d === undefined) throw new TypeError("not an X25519 private key");
  return { publicKey: Buffer.from(x, "base64url"), privateKey: Buffer.from(d, "base64url") };
}

/** Where libsodium keeps a secretstream; its wrapper never frees one. */
export type StreamState = Parameters<Sodium["crypto_secretstream_xchacha20poly1305_rekey"]>[0];

const STATE_BYTES = 52; // crypto_secretstream_xchacha20poly1305_statebytes()

/** Overwrites and frees a secretstream's state; it must not be used again. */
export function forgetStream(sodium: Sodium, state: StreamState): void {
  const { libsodium } = sodium as unknown as EmscriptenModule;
  const address = state as unknown as number;
  libsodium.HEAPU8.fill(0, address, address + STATE_BYTES);
  libsodium._free(address);
}

interface EmscriptenModule {
  readonly libsodium: { readonly HEAPU8: Uint8Array; _free(address: number): void };
}

function x25519Jwk(key: KeyObject): { x: string; d?: string } {
  if (key.asymmetricKeyType !== "x25519") throw new TypeError("not an X25519 key");
  const { x, d } = key.export({ format: "jwk" });
  if (typeof x !== "string") throw new TypeError("not an X25519 key");
  return typeof d === "string" ? { x, d } : { x };
}
