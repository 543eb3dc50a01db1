import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import sodium from "libsodium-wrappers";
import { isProtocolError } from "../../../protocol/errors.ts";
import { serializeOrder } from "../../../protocol/ingest/order.ts";
import { MAX_SEALED_ORDER_BYTES, openOrder, sealOrder } from "../../../protocol/sealing/order.ts";
import { rawPublicKey } from "../../../protocol/sealing/sodium.ts";
import { orderFixture } from "../ingest/order-fixture.ts";

await sodium.ready;
const controller = generateKeyPairSync("ed25519");
const stranger = generateKeyPairSync("ed25519");
const recorder = generateKeyPairSync("x25519");
const other = generateKeyPairSync("x25519");
const seal = () => sealOrder(orderFixture(), controller.privateKey, recorder.publicKey, sodium);
const open = (sealed: Uint8Array, keys = [controller.publicKey]) =>
  openOrder(sealed, recorder.privateKey, keys, sodium);
const isSealError = (error: unknown) =>
  isProtocolError(error, "ERR_SEAL") && error.message === "sealed order cannot be opened";

describe("sealed order", () => {
  it("opens to what was sealed, under any of the controllers' keys", () =>
    assert.deepEqual(open(seal(), [stranger.publicKey, controller.publicKey]), orderFixture()));

  it("shows no key, address or party to whom relays it", () => {
    const sealed = seal().toString("latin1");
    for (const word of ["alice", "10.20.0.2", "WVNfX19z", "srtp"])
      assert.equal(sealed.includes(word), false);
  });

  it("does not open after a flipped bit", () => {
    const sealed = seal();
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const altered = Buffer.from(sealed);
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.throws(() => open(altered), isSealError);
      }),
      { numRuns: 60 },
    );
  });

  it("fails alike for another recorder, an unknown signer, no keys, short and long octets", () => {
    assert.throws(
      () => openOrder(seal(), other.privateKey, [controller.publicKey], sodium),
      isSealError,
    );
    assert.throws(() => open(seal(), [stranger.publicKey]), isSealError);
    assert.throws(() => open(seal(), []), isSealError);
    assert.throws(() => open(Buffer.alloc(10)), isSealError);
    assert.throws(() => open(Buffer.alloc(MAX_SEALED_ORDER_BYTES + 1)), isSealError);
  });

  it("refuses an order signed for another recorder and boxed anew", () => {
    const json = serializeOrder(orderFixture());
    const context = Buffer.from("keyhole recording order 1\0");
    const boxFor = (recipient: Buffer) => {
      const signature = sign(
        null,
        Buffer.concat([context, recipient, json]),
        controller.privateKey,
      );
      const signed = Buffer.concat([signature, json]);
      return sodium.crypto_box_seal(signed, rawPublicKey(recorder.publicKey));
    };
    assert.deepEqual(open(boxFor(rawPublicKey(recorder.publicKey))), orderFixture());
    assert.throws(() => open(boxFor(rawPublicKey(other.publicKey))), isSealError);
  });

  it("says what is wrong with a properly signed order that is none", () => {
    const recipient = rawPublicKey(recorder.publicKey);
    const json = Buffer.from("{}");
    const message = Buffer.concat([Buffer.from("keyhole recording order 1\0"), recipient, json]);
    const signed = Buffer.concat([sign(null, message, controller.privateKey), json]);
    assert.throws(
      () => open(sodium.crypto_box_seal(signed, recipient)),
      (error) => isProtocolError(error, "ERR_ORDER"),
    );
  });

  it("takes keys of the right kinds only", () => {
    const order = orderFixture();
    assert.throws(
      () => sealOrder(order, recorder.privateKey, recorder.publicKey, sodium),
      TypeError,
    );
    assert.throws(
      () => sealOrder(order, controller.privateKey, controller.publicKey, sodium),
      TypeError,
    );
    assert.throws(() => openOrder(seal(), recorder.publicKey, [], sodium), TypeError);
  });
});
