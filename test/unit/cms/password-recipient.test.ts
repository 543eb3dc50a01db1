import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CONTENT_CIPHERS } from "../../../protocol/cms/algorithms.ts";
import { decodeMessage } from "../../../protocol/cms/message.ts";
import {
  type Holder,
  openEnvelopeForAny,
  PASSWORD_MAX_ENTRIES,
} from "../../../protocol/cms/open-message.ts";
import {
  derivePasswordRecipient,
  PASSWORD_ITERATIONS,
  PASSWORD_MAX_ITERATIONS,
  PASSWORD_MAX_SALT_BYTES,
  PASSWORD_MIN_ITERATIONS,
  PASSWORD_MIN_SALT_BYTES,
} from "../../../protocol/cms/password-recipient.ts";
import { unwrapUnderPassword, wrapUnderPassword } from "../../../protocol/cms/password-wrap.ts";
import { sealEnvelope } from "../../../protocol/cms/seal-message.ts";
import { encodeTlv } from "../../../protocol/der/encode.ts";
import { decodeTlv } from "../../../protocol/der/tlv.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { Secret } from "../../../protocol/secret.ts";
import {
  authEnveloped,
  CEK,
  CONTENT,
  cbcContent,
  enveloped,
  KEK,
  KEK_ID,
  kekRecipient,
  message,
  toIndefinite,
} from "./craft-message.ts";
import {
  blockOf,
  HMAC_SHA1,
  PASSWORD,
  type PasswordParts,
  passwordRecipient,
} from "./craft-password.ts";

const KNOWS: Holder = { kind: "password", password: new Secret(PASSWORD) };
const KNOWS_ANOTHER: Holder = { kind: "password", password: new Secret(Buffer.from("other")) };
const HOLDS_KEK: Holder = { kind: "kek", keyIdentifier: KEK_ID, kek: new Secret(KEK) };
const random = randomBytes;

function open(octets: Uint8Array, ...holders: readonly Holder[]) {
  const decoded = decodeMessage(octets);
  assert.ok(decoded.kind !== "encrypted");
  return openEnvelopeForAny(decoded, holders);
}

const failsToDecrypt = (error: unknown): boolean =>
  isProtocolError(error, "ERR_CMS_DECRYPT") &&
  error.message === "message cannot be decrypted" &&
  error.cause === undefined;

describe("a message for who knows a password", () => {
  for (const cipher of ["aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"] as const)
    test(`comes back, ${cipher}, as DER and as a stream`, async () => {
      const recipient = await derivePasswordRecipient(new Secret(PASSWORD), random);
      const sealed = sealEnvelope({ content: CONTENT, cipher, recipients: [recipient], random });
      for (const octets of [sealed.message, toIndefinite(decodeTlv(sealed.message))]) {
        const opened = await open(octets, KNOWS);
        assert.deepEqual(opened.content, CONTENT);
        assert.deepEqual(opened.holder, KNOWS);
        assert.deepEqual(opened.firstKey.cek.expose(), sealed.firstKey.cek.expose());
      }
      await assert.rejects(open(sealed.message, KNOWS_ANOTHER), failsToDecrypt);
      await assert.rejects(open(sealed.message, HOLDS_KEK), (error) =>
        isProtocolError(error, "ERR_CMS_NO_RECIPIENT"),
      );
    });

  test("is as costly as we follow, and has a salt and IV of its own", async () => {
    assert.ok(PASSWORD_ITERATIONS <= PASSWORD_MAX_ITERATIONS);
    const [one, other] = [
      await derivePasswordRecipient(new Secret(PASSWORD), random),
      await derivePasswordRecipient(new Secret(PASSWORD), random),
    ];
    assert.notDeepEqual(one.salt, other.salt);
    assert.notDeepEqual(one.kek.expose(), other.kek.expose());
  });

  const good: Record<string, PasswordParts> = {
    "HMAC-SHA1": { prf: HMAC_SHA1 },
    "HMAC-SHA1 by default": { prf: undefined },
    "a stated length of the key": { statedKeyBytes: 32 },
    "a stated length and HMAC-SHA1 by default": { statedKeyBytes: 32, prf: undefined },
    "the fewest iterations": { iterations: PASSWORD_MIN_ITERATIONS },
    "the most iterations": { iterations: PASSWORD_MAX_ITERATIONS },
    "the shortest salt": { saltBytes: PASSWORD_MIN_SALT_BYTES },
    "the longest salt": { saltBytes: PASSWORD_MAX_SALT_BYTES },
  };
  for (const [what, parts] of Object.entries(good))
    test(`is opened: ${what}`, async () => {
      const opened = await open(enveloped([passwordRecipient(parts)]), KNOWS);
      assert.deepEqual(opened.content, CONTENT);
    });

  const bad: Record<string, PasswordParts> = {
    "an iteration too many": { iterations: PASSWORD_MAX_ITERATIONS + 1 },
    "as many iterations as an integer holds": { iterations: 2 ** 31 - 1 },
    "more iterations than an integer holds": { iterations: 2 ** 40 },
    "an iteration too few": { iterations: PASSWORD_MIN_ITERATIONS - 1 },
    "no iteration": { iterations: 0 },
    "a salt too short": { saltBytes: PASSWORD_MIN_SALT_BYTES - 1 },
    "a salt too long": { saltBytes: PASSWORD_MAX_SALT_BYTES + 1 },
    "another length of key": { statedKeyBytes: 16 },
    "an unknown function": { prf: "1.2.840.113549.2.11" },
    "an unknown derivation": { derivation: "1.2.3.4" },
    "a derivation agreed elsewhere": { hasDerivation: false },
    "an unknown wrap": { wrap: "1.2.840.113549.1.9.16.3.10" },
    "an unknown cipher": { cipher: "1.2.840.113549.3.7" },
    "a cipher that is not CBC": { cipher: CONTENT_CIPHERS["aes-256-gcm"].oid },
    "a short IV": { ivBytes: 8 },
    "another password": { password: Buffer.from("other") },
    "an empty password": { password: Buffer.alloc(0) },
    "no wrapped key": { wrapped: Buffer.alloc(0) },
    "one block": { wrapped: Buffer.alloc(16) },
    "half a block": { wrapped: Buffer.alloc(40) },
    "four blocks": { wrapped: Buffer.alloc(64) },
    "a count beyond the block": { block: blockOf(CEK, 200) },
    "a count of two": { block: blockOf(CEK, 2) },
    "a key of 31 octets": { block: blockOf(CEK, 31) },
    "a wrong check": { block: Buffer.concat([Buffer.of(32, 0, 0, 0), CEK], 48) },
  };
  for (const [what, parts] of Object.entries(bad))
    test(`is a failure to decrypt: ${what}`, () =>
      assert.rejects(open(enveloped([passwordRecipient(parts)]), KNOWS), failsToDecrypt));

  test("with too many iterations costs no work", async () => {
    const started = process.cpuUsage();
    const costly = passwordRecipient({ iterations: 2 ** 31 - 1 });
    await assert.rejects(open(enveloped([costly, costly]), KNOWS), failsToDecrypt);
    const { user } = process.cpuUsage(started);
    assert.ok(user < 1_000_000, "a second of work");
  });

  test("of another version is refused", () =>
    assert.throws(
      () => decodeMessage(enveloped([passwordRecipient({ version: 2 })])),
      (error) => isProtocolError(error, "ERR_CMS_SYNTAX"),
    ));
});

describe("several password entries", () => {
  /** In this order, whatever DER says. */
  const ordered = (...recipients: readonly Buffer[]): Buffer =>
    message(
      "1.2.840.113549.1.7.3",
      encodeTlv(0x02, Buffer.of(3)),
      encodeTlv(0x31, ...recipients),
      cbcContent(),
    );
  const ours = passwordRecipient();
  const others = passwordRecipient({ password: Buffer.from("other") });
  const costly = passwordRecipient({ iterations: 2 ** 31 - 1 });

  test("ours is found among two", async () => {
    for (const pair of [
      [ours, others],
      [others, ours],
      [costly, ours],
    ])
      assert.deepEqual((await open(ordered(...pair), KNOWS)).content, CONTENT);
  });

  test(`a third is not tried: ${PASSWORD_MAX_ENTRIES} at most`, async () => {
    assert.equal(PASSWORD_MAX_ENTRIES, 2);
    await assert.rejects(open(ordered(others, others, ours), KNOWS), failsToDecrypt);
    assert.deepEqual((await open(ordered(others, ours, others), KNOWS)).content, CONTENT);
  });
});

describe("holders", () => {
  test("the first for whom there is an entry opens, and no other is tried", async () => {
    const both = enveloped([kekRecipient(), passwordRecipient()]);
    assert.deepEqual((await open(both, HOLDS_KEK, KNOWS)).holder, HOLDS_KEK);
    assert.deepEqual((await open(both, KNOWS, HOLDS_KEK)).holder, KNOWS);
    assert.deepEqual((await open(enveloped(), KNOWS, HOLDS_KEK)).holder, HOLDS_KEK);
    const wrongKek: Holder = { ...HOLDS_KEK, kek: new Secret(Buffer.alloc(32)) };
    await assert.rejects(open(both, wrongKek, KNOWS), failsToDecrypt);
  });

  test("without an entry for anybody, or without holders, it is for somebody else", async () => {
    for (const holders of [[], [KNOWS]])
      await assert.rejects(open(authEnveloped(), ...holders), (error) =>
        isProtocolError(error, "ERR_CMS_NO_RECIPIENT"),
      );
  });
});

describe("PWRI-KEK", () => {
  const kek = Buffer.alloc(32, 1);
  const iv = Buffer.alloc(16, 2);

  test("any key comes back; a flipped bit never gives it", () => {
    const keys = fc
      .constantFrom(16, 32)
      .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }));
    fc.assert(
      fc.property(keys, fc.nat(48 * 8 - 1), (key, flip) => {
        const wrapped = wrapUnderPassword("aes-256-cbc", kek, iv, key, random);
        assert.deepEqual(unwrapUnderPassword("aes-256-cbc", kek, iv, wrapped), Buffer.from(key));
        const bit = flip % (wrapped.length * 8);
        wrapped[bit >> 3] = (wrapped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        let got: Buffer | undefined;
        try {
          got = unwrapUnderPassword("aes-256-cbc", kek, iv, wrapped);
        } catch (error) {
          assert.ok(error instanceof TypeError);
        }
        assert.notDeepEqual(got, Buffer.from(key));
      }),
    );
  });

  test("the padding is random: the same key is wrapped differently each time", () => {
    const wrap = () => wrapUnderPassword("aes-256-cbc", kek, iv, CEK, random);
    assert.notDeepEqual(wrap(), wrap());
  });
});

test("opening is total, whatever the octets", async () => {
  const known = enveloped([passwordRecipient(), kekRecipient()]);
  const change = fc.tuple(fc.nat(), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
      const octets = Buffer.from(known);
      for (const [at, value] of changes) octets[at % octets.length] = value;
      try {
        await open(octets, KNOWS);
      } catch (error) {
        assert.ok(isProtocolError(error), String(error));
      }
    }),
    { numRuns: 500 },
  );
});
