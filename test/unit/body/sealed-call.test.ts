import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import {
  isRecipient,
  openAnswer,
  openOffer,
  recipientCount,
} from "../../../protocol/body/open-body.ts";
import { type SealingForm, sealAnswer, sealOffer } from "../../../protocol/body/seal-body.ts";
import { verifySignedEntity } from "../../../protocol/body/signed-entity.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeAuthority, makeHost, makeUser, NOW } from "../pki/make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";
const OFFER_ROWS = [
  ["From", `Alice <${ALICE}>;tag=9fxced76sl`],
  ["Call-ID", "3848276298220188511@atlanta.example.com"],
] as const;
const ANSWER_ROWS = [["From", `Alice <${ALICE}>;tag=9fxced76sl`]] as const;
const OFFER_SDP = Buffer.from("v=0\r\no=alice 1 1 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\n");
const ANSWER_SDP = Buffer.from("v=0\r\no=bob 2 2 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n");

let authority: Identity;
let alice: Identity;
let bob: Identity;
let controller: Identity;

before(async () => {
  authority = await makeAuthority();
  alice = await makeUser(authority, ALICE);
  bob = await makeUser(authority, BOB);
  controller = await makeHost(authority, "ss1.atlanta.example.com");
});

describe("a sealed call", () => {
  for (const form of ["rfc3185", "patent"] satisfies SealingForm[])
    test(`offer and answer in the form ${form}`, async () => {
      const offer = await sealOffer({
        sipfrag: OFFER_ROWS,
        sdp: OFFER_SDP,
        signer: alice,
        recipients: [bob.certificate, controller.certificate],
        form,
        random: randomBytes,
      });
      assert.equal(recipientCount(offer.body), 2);
      assert.equal(isRecipient(offer.body, controller.certificate), true);
      assert.equal(isRecipient(offer.body, alice.certificate), false);

      const anchors = [authority.certificate];
      const keptBy = [];
      for (const holder of [bob, controller]) {
        const opened = await openOffer({ ...offer, holder });
        const read = await verifySignedEntity({ entity: opened.entity, anchors, now: NOW });
        assert.deepEqual(read.sipfrag, OFFER_ROWS);
        assert.deepEqual(read.sdp, OFFER_SDP);
        assert.deepEqual(read.signer, { certificate: alice.certificate, uris: [ALICE] });
        keptBy.push(opened.firstKey);
      }
      const [bobsKey, controllersKey] = keptBy;
      assert.ok(bobsKey && controllersKey);

      const answer = await sealAnswer({
        sipfrag: ANSWER_ROWS,
        sdp: ANSWER_SDP,
        signer: bob,
        firstKey: bobsKey,
        random: randomBytes,
      });
      for (const firstKey of [offer.firstKey, controllersKey]) {
        const { entity } = await openAnswer({ ...answer, firstKey });
        const read = await verifySignedEntity({ entity, anchors, now: NOW });
        assert.deepEqual(read.sipfrag, ANSWER_ROWS);
        assert.deepEqual(read.sdp, ANSWER_SDP);
        assert.deepEqual(read.signer.uris, [BOB]);
      }
    });
});
