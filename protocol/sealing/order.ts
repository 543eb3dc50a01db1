/**
 * Seals a recording order: signed by the controller (Ed25519), then put into a sealed box
 * (libsodium `crypto_box_seal`, X25519) that only the recorder opens. The agent relays it unread.
 * Pure, apart from libsodium's random octets.
 *
 *     box( signature (64) || JSON )      signature over CONTEXT || recorder public key || JSON
 *
 * The recorder's key is under the signature, so that one recorder cannot pass the order on to
 * another in the controller's name.
 */

import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { ProtocolError } from "../errors.ts";
import {
  MAX_ORDER_BYTES,
  parseOrder,
  type RecordingOrder,
  serializeOrder,
} from "../ingest/order.ts";
import { rawKeyPair, rawPublicKey, type Sodium } from "./sodium.ts";

const CONTEXT = Buffer.from("keyhole recording order 1\0", "ascii");
const SIGNATURE_BYTES = 64;
const BOX_OVERHEAD_BYTES = 48;
/** Octets of the longest sealed order. */
export const MAX_SEALED_ORDER_BYTES = MAX_ORDER_BYTES + SIGNATURE_BYTES + BOX_OVERHEAD_BYTES;

/**
 * Signs and seals an order.
 * @param controllerSigningKey Ed25519 private key.
 * @param recorderPublicKey X25519 key of the recorder.
 * @throws ProtocolError `ERR_ORDER`; TypeError for a key of the wrong kind.
 */
export function sealOrder(
  order: RecordingOrder,
  controllerSigningKey: KeyObject,
  recorderPublicKey: KeyObject,
  sodium: Sodium,
): Buffer {
  if (controllerSigningKey.asymmetricKeyType !== "ed25519")
    throw new TypeError("orders are signed with an Ed25519 key");
  const recipient = rawPublicKey(recorderPublicKey);
  const json = serializeOrder(order);
  const signature = sign(null, toBeSigned(recipient, json), controllerSigningKey);
  const signed = Buffer.concat([signature, json]);
  const sealed = Buffer.from(sodium.crypto_box_seal(signed, recipient));
  signed.fill(0);
  json.fill(0);
  return sealed;
}

/**
 * Opens a sealed order and believes it only if one of the controllers signed it.
 * @param recorderKey X25519 private key.
 * @param controllerKeys Ed25519 keys; any of them may have signed.
 * @throws ProtocolError `ERR_SEAL` (not for this recorder, altered, signed by nobody known: all
 *   alike), `ERR_ORDER` (properly signed, yet not an order).
 */
export function openOrder(
  sealed: Uint8Array,
  recorderKey: KeyObject,
  controllerKeys: readonly KeyObject[],
  sodium: Sodium,
): RecordingOrder {
  const own = rawKeyPair(recorderKey);
  const signed = openBox(sealed, own.publicKey, own.privateKey, sodium);
  own.privateKey.fill(0);
  const signature = signed.subarray(0, SIGNATURE_BYTES);
  const json = signed.subarray(SIGNATURE_BYTES);
  const message = toBeSigned(own.publicKey, json);
  const believed = controllerKeys.some((key) => verify(null, message, publicHalf(key), signature));
  if (!believed) throw notOpened();
  const order = parseOrder(json);
  signed.fill(0);
  message.fill(0);
  return order;
}

function openBox(
  sealed: Uint8Array,
  publicKey: Uint8Array,
  privateKey: Uint8Array,
  sodium: Sodium,
): Buffer {
  if (sealed.length > MAX_SEALED_ORDER_BYTES) throw notOpened();
  if (sealed.length < SIGNATURE_BYTES + BOX_OVERHEAD_BYTES) throw notOpened();
  try {
    return Buffer.from(sodium.crypto_box_seal_open(sealed, publicKey, privateKey));
  } catch {
    throw notOpened();
  }
}

const toBeSigned = (recipient: Uint8Array, json: Uint8Array) =>
  Buffer.concat([CONTEXT, recipient, json]);

const publicHalf = (key: KeyObject) => (key.type === "private" ? createPublicKey(key) : key);

const notOpened = () => new ProtocolError("ERR_SEAL", "sealed order cannot be opened");
