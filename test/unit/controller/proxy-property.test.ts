/**
 * Whatever bob's phones answer, and when: the caller gets what RFC 3261 §16.7 promises, each phone
 * is acknowledged or cancelled, and nothing is remembered afterwards.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { headerValue, type SipRequest, withHeader } from "../../../protocol/sip/message.ts";
import {
  answer,
  atPhone,
  branchOf,
  FROM_PBX,
  flowOf,
  NOW,
  phone,
  request,
  type Sent,
  Wire,
} from "./wire-fixture.ts";

const TIMER_B_MS = 32_000;
const NAMES = ["a", "b", "c", "d"];
const STATUSES = [100, 180, 183, 200, 302, 401, 404, 430, 486, 493, 503, 603] as const;

/** What one phone has of one INVITE. */
interface Ringing {
  readonly invite: SipRequest;
  readonly name: string;
  state: "rung" | "accepted" | "refused";
  cancels: number;
  acknowledged: boolean;
  /** When nobody waits for it any more: Timer B, as long as it said nothing. */
  waitedUntil: number;
}

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ at: fc.nat(7), status: fc.constantFrom(...STATUSES) }) },
  { weight: 1, arbitrary: fc.constant("cancel" as const) },
  { weight: 1, arbitrary: fc.constant("again" as const) },
  { weight: 2, arbitrary: fc.record({ ms: fc.constantFrom(100, 5_000, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ broken: fc.nat(7) }) },
);

/** Plays one INVITE against the wire and keeps the books of everybody. */
class Play {
  readonly wire: Wire;
  readonly ringing: Ringing[] = [];
  readonly finals: number[] = [];
  readonly #keys = new Map<Ringing, Sent>();
  readonly #invite = request("INVITE");

  constructor(qs: readonly number[]) {
    this.wire = new Wire(qs.map((q, index) => phone(NAMES[index] ?? "", { q: q / 2 })));
    this.take(this.wire.receive(this.#invite, FROM_PBX));
  }

  /** The caller sends his INVITE again, no longer than Timer B lets him. */
  again(): void {
    if (this.wire.now - NOW >= TIMER_B_MS) return;
    this.take(this.wire.receive(this.#invite, FROM_PBX));
  }

  cancel(): void {
    const cancel = withHeader(this.#invite, "CSeq", "1 CANCEL");
    this.take(this.wire.receive({ ...cancel, method: "CANCEL" }, FROM_PBX));
  }

  reply(place: Ringing, status: number): void {
    if (this.wire.now >= place.waitedUntil) return;
    place.waitedUntil = Number.POSITIVE_INFINITY;
    const tag = `${place.name}${this.ringing.indexOf(place)}`;
    if (status >= 200) place.state = status < 300 ? "accepted" : "refused";
    const response = answer(place.invite, status, [], tag);
    this.take(this.wire.receive(response, atPhone(place.name)));
  }

  fail(place: Ringing): void {
    const sent = this.#keys.get(place);
    if (sent === undefined) return;
    place.state = "refused";
    place.acknowledged = true;
    this.take(this.wire.fail(sent));
  }

  take(sent: readonly Sent[]): void {
    for (const each of sent)
      if (each.message.kind === "request") this.#takeRequest(each, each.message);
      else this.#takeResponse(each);
  }

  #takeRequest(sent: Sent, message: SipRequest): void {
    const place = this.ringing.find(({ invite }) => branchOf(invite) === branchOf(message));
    if (message.method === "INVITE") {
      if (place !== undefined) return;
      const name = NAMES.find((each) => flowOf(each) === sent.to) ?? "";
      const rung: Ringing = {
        ...{ invite: message, name, state: "rung", cancels: 0, acknowledged: false },
        waitedUntil: this.wire.now + TIMER_B_MS,
      };
      this.ringing.push(rung);
      this.#keys.set(rung, sent);
      assert.deepEqual(this.finals, [], "nobody is rung after a final response");
      return;
    }
    assert.ok(place !== undefined, `${message.method} of an INVITE that left`);
    if (message.method === "ACK") place.acknowledged = true;
    else this.#cancelled(place, message);
  }

  #cancelled(place: Ringing, cancel: SipRequest): void {
    const isNew = place.cancels === 0;
    place.cancels += 1;
    this.take(this.wire.receive(answer(cancel, 200), atPhone(place.name)));
    if (isNew && place.state === "rung") this.reply(place, 487);
  }

  #takeResponse({ message, to }: Sent): void {
    assert.equal(to, FROM_PBX.flow);
    assert.ok(message.kind === "response");
    if (!(headerValue(message, "CSeq") ?? "").endsWith("INVITE")) return;
    const { status } = message;
    if (status < 200) return;
    const before = this.finals.find((each) => each >= 300);
    if (before !== undefined) assert.equal(status, before, "one refusal, sent again or not");
    if (status >= 300) assert.ok(!this.finals.some((each) => each < 300), "no refusal after 2xx");
    assert.ok(![430, 503].includes(status), `${status} stays here`);
    this.finals.push(status);
  }
}

test("one final response, every phone acknowledged or cancelled, and no memory afterwards", () => {
  const qs = fc.array(fc.nat(2), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(qs, fc.array(step, { maxLength: 25 }), (phones, steps) => {
      const play = new Play(phones);
      for (const each of steps) {
        if (each === "cancel") play.cancel();
        else if (each === "again") play.again();
        else if ("ms" in each) play.take(play.wire.pass(each.ms));
        else {
          const place = play.ringing["broken" in each ? each.broken : each.at];
          if (place === undefined) continue;
          if ("broken" in each) {
            if (place.state === "rung") play.fail(place);
          } else if (place.state === "rung" || (place.state === "accepted" && each.status === 200))
            play.reply(place, each.status);
        }
      }
      play.take(play.wire.pass(1_000_000));
      assert.ok(play.finals.length > 0, "the caller is answered");
      for (const { state, acknowledged, cancels } of play.ringing)
        if (state === "refused") assert.ok(acknowledged || cancels > 0);
      assert.equal(play.wire.size, 0);
      if (!play.finals.includes(200)) assert.equal(play.wire.controller.callCount, 0);
    }),
    { numRuns: 300 },
  );
});
