/** What holds of watchers whatever comes, in whatever order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_WATCH_LIMITS } from "../../../controller/core/certificate-watch-limits.ts";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import { ALICE } from "./call-fixture.ts";
import { requestsOf, responsesOf } from "./proxy-fixture.ts";
import { FROM_DAVE, subscribe, WatchDriver } from "./watch-fixture.ts";

const LIMITS = { watchesPerUser: 3, watches: 3 };
const MINUTE_MS = DEFAULT_WATCH_LIMITS.notifyIntervalMs;

type Step =
  | { readonly kind: "subscribe"; readonly phone: number; readonly expires: string }
  | { readonly kind: "refresh"; readonly dialog: number; readonly expires: string }
  | { readonly kind: "answer"; readonly notify: number; readonly status: number }
  | { readonly kind: "fail"; readonly notify: number; readonly reason: "timeout" | "transport" }
  | { readonly kind: "serve"; readonly text: string | undefined; readonly lifeMs: number }
  | { readonly kind: "pass"; readonly forMs: number }
  | { readonly kind: "drop-flow" };

const expires = fc.constantFrom("0", "1", "60", "61", "3600", "86400", "x");
const index = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("subscribe" as const), phone: index, expires }),
  fc.record({ kind: fc.constant("refresh" as const), dialog: index, expires }),
  fc.record({
    kind: fc.constant("answer" as const),
    notify: index,
    status: fc.constantFrom(100, 200, 202, 481, 503),
  }),
  fc.record({
    kind: fc.constant("fail" as const),
    notify: index,
    reason: fc.constantFrom("timeout" as const, "transport" as const),
  }),
  fc.record({
    kind: fc.constant("serve" as const),
    text: fc.constantFrom(undefined, "one", "two"),
    lifeMs: fc.constantFrom(0, 1, 1000, 90_000, 3_600_000),
  }),
  fc.record({
    kind: fc.constant("pass" as const),
    forMs: fc.constantFrom(0, 1, 59_999, MINUTE_MS),
  }),
  fc.record({ kind: fc.constant("drop-flow" as const) }),
);

/** Keeps what was sent, and checks each NOTIFY against those before it. */
class Witness {
  readonly driver = new WatchDriver(LIMITS);
  readonly notifies: SipRequest[] = [];
  readonly dialogs: { readonly callId: string; readonly tag: string; cseq: number }[] = [];
  /** By Call-ID and tag: when the last NOTIFY went, and its number. */
  readonly #last = new Map<string, { readonly at: number; readonly cseq: number }>();
  #calls = 0;

  run(step: Step): void {
    const { driver } = this;
    switch (step.kind) {
      case "subscribe":
        this.#subscribe(step.phone, step.expires);
        break;
      case "refresh":
        this.#refresh(step.dialog, step.expires);
        break;
      case "answer": {
        const notify = this.#take(step.notify, step.status < 200);
        if (notify !== undefined) this.#note(driver.answer(notify, step.status) ?? [], true);
        break;
      }
      case "fail": {
        const notify = this.#take(step.notify);
        if (notify !== undefined) this.#note(driver.fail(notify, step.reason) ?? [], true);
        break;
      }
      case "serve":
        this.#note(driver.serve(step.text, driver.now + step.lifeMs), false);
        break;
      case "pass":
        this.#note(driver.pass(step.forMs), false);
        assert.ok((driver.machine.deadline() ?? Number.POSITIVE_INFINITY) > driver.now);
        break;
      case "drop-flow":
        driver.machine.dropFlow(FROM_DAVE.flow);
    }
  }

  #subscribe(phone: number, text: string): void {
    this.#calls += 1;
    const callId = `w${this.#calls}`;
    const rows = ["Event: certificate", `Expires: ${text}`];
    const contact = `Contact: <sip:dave@10.10.0.3:${5060 + phone};transport=tls>`;
    const effects = this.driver.subscribe(subscribe({ callId, rows }, contact));
    const [answer] = responsesOf(effects);
    assert.ok(answer !== undefined, "every SUBSCRIBE is answered");
    const tag = messageTag(answer.response, "To") ?? "";
    if (answer.response.status === 200) this.dialogs.push({ callId, tag, cseq: 1 });
    this.#note(effects, true);
  }

  #refresh(index: number, text: string): void {
    const dialog = this.dialogs[index % Math.max(1, this.dialogs.length)];
    if (dialog === undefined) return;
    dialog.cseq += 1;
    const { callId, tag, cseq } = dialog;
    const rows = ["Event: certificate", `Expires: ${text}`];
    const to = `<${ALICE}>;tag=${tag}`;
    const effects = this.driver.receive(subscribe({ callId, to, cseq, rows }));
    if (effects !== undefined) assert.equal(responsesOf(effects).length, 1);
    this.#note(effects ?? [], true);
  }

  #take(index: number, keep = false): SipRequest | undefined {
    const at = index % Math.max(1, this.notifies.length);
    return keep ? this.notifies[at] : this.notifies.splice(at, 1)[0];
  }

  /** `asked`: a NOTIFY may come at any time; others keep their distance. */
  #note(effects: readonly ControllerEffect[], asked: boolean): void {
    for (const { request } of requestsOf(effects)) {
      assert.equal(messageFault(request), undefined);
      this.notifies.push(request);
      const dialog = `${headerValue(request, "Call-ID")} ${headerValue(request, "From")}`;
      const cseq = Number.parseInt(headerValue(request, "CSeq") ?? "", 10);
      const last = this.#last.get(dialog);
      const state = headerValue(request, "Subscription-State") ?? "";
      const { now } = this.driver;
      const isChange = state.startsWith("active") && request.body.length > 0;
      if (last !== undefined && !asked && isChange)
        assert.ok(now - last.at >= MINUTE_MS, "at most one a minute");
      assert.ok(cseq >= (last?.cseq ?? 1), "numbers grow");
      this.#last.set(dialog, { at: now, cseq });
    }
    const { machine } = this.driver;
    assert.ok(machine.size <= LIMITS.watches);
    assert.equal(machine.deadline() === undefined, machine.size === 0);
  }
}

test("whatever comes: bounded, answered once, at most one NOTIFY a minute unasked, and an end", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const witness = new Witness();
      for (const each of steps) witness.run(each);
      const { driver } = witness;
      driver.served.clear();
      driver.pass(DEFAULT_WATCH_LIMITS.maxExpiresS * 1000);
      assert.equal(driver.machine.size, 0);
      assert.equal(driver.machine.deadline(), undefined);
    }),
    { numRuns: 300 },
  );
});

test("what is in service is what the watcher was told last, a minute after all is quiet", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(undefined, "one", "two", "three"), { maxLength: 12 }),
      (texts) => {
        const driver = new WatchDriver();
        const { notify } = driver.watching();
        let body = notify.request.body.toString();
        const hear = (effects: readonly ControllerEffect[]): void => {
          for (const { request } of requestsOf(effects)) {
            body = request.body.toString();
            hear(driver.answer(request) ?? []);
          }
        };
        for (const text of texts) {
          hear(driver.serve(text));
          hear(driver.pass(20_000));
        }
        hear(driver.pass(MINUTE_MS));
        const served = driver.served.get(ALICE)?.der.toString() ?? "";
        assert.equal(body, served);
      },
    ),
  );
});
