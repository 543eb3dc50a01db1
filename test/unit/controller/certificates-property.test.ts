/**
 * Whatever registrations, removals, revocations, failures and time do to each other, a certificate
 * lives exactly as long as the registration that it was issued for.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Binding, BindingChange } from "../../../controller/core/bindings.ts";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import {
  CertificateDriver,
  innerRows,
  requestClaim,
  sealedRegister,
  storedBy,
} from "./certificate-fixture.ts";

const PHONES = 3;

type Step =
  | { readonly kind: "sealed"; readonly phone: number; readonly expires: number; hidden: boolean }
  | { readonly kind: "plain"; readonly phone: number; readonly expires: number }
  | { readonly kind: "certify"; readonly which: number; readonly fails: boolean }
  | { readonly kind: "revoke"; readonly phone: number; readonly swept: boolean }
  | { readonly kind: "wait"; readonly ms: number };

const phone = fc.nat({ max: PHONES - 1 });
const expires = fc.constantFrom(0, 60, 61, 600);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("sealed" as const), phone, expires, hidden: fc.boolean() }),
  fc.record({ kind: fc.constant("plain" as const), phone, expires }),
  fc.record({ kind: fc.constant("certify" as const), which: fc.nat(5), fails: fc.boolean() }),
  fc.record({ kind: fc.constant("revoke" as const), phone, swept: fc.boolean() }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 90_000 }) }),
);

/** What the store holds, by what the core told it. */
class Store {
  readonly bindings = new Map<string, Binding>();
  apply(changes: readonly BindingChange[]): void {
    for (const change of changes)
      if (change.kind === "put") this.bindings.set(change.binding.key, change.binding);
      else this.bindings.delete(change.key);
  }
}

class Run {
  readonly driver = new CertificateDriver();
  readonly store = new Store();
  readonly orders: (ControllerEffect & { kind: "certify" })[] = [];

  take(made: Step): void {
    switch (made.kind) {
      case "sealed":
        this.#sealed(made);
        break;
      case "plain":
        this.#apply(
          this.driver.receive(
            sealedRegister({
              body: null,
              contacts: [contactOf(made.phone)],
              callId: `plain ${made.phone}`,
              expires: made.expires,
            }),
          ),
        );
        break;
      case "certify": {
        const [order] = this.orders.splice(made.which, 1);
        if (order === undefined) return;
        const failed = { kind: "certified", ref: order.ref, outcome: { kind: "failed" } } as const;
        this.#apply(made.fails ? this.driver.feed(failed) : this.driver.certify(order));
        break;
      }
      case "revoke":
        this.driver.book.revoked.add(`key-${made.phone}`);
        if (made.swept) this.#apply(this.driver.feed({ kind: "certificates-revoked" }));
        break;
      case "wait":
        this.driver.now += made.ms;
        this.#apply(this.driver.feed({ kind: "tick" }));
    }
  }

  #sealed({ phone: at, expires: seconds, hidden }: Step & { kind: "sealed" }): void {
    const contact = contactOf(at);
    const request = sealedRegister({
      contacts: hidden ? [] : [contact],
      callId: `sealed ${at}`,
      ...(hidden ? {} : { expires: seconds }),
    });
    const inner = hidden ? { Contact: contact, Expires: String(seconds) } : {};
    const rows = innerRows(request, this.driver.now, inner);
    const claim = requestClaim({ keyId: `key-${at}` });
    const [order] = this.driver
      .judge(request, { rows, claim })
      .filter((effect) => effect.kind === "certify");
    if (order !== undefined) this.orders.push(order);
  }

  #apply(effects: readonly ControllerEffect[]): void {
    this.store.apply(storedBy(effects));
  }
}

const contactOf = (at: number): string => `<sip:alice@10.10.0.${at + 2}>`;

test("a certificate of ours never outlives its binding, nor a binding of ours its certificate", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const run = new Run();
      for (const each of steps) {
        run.take(each);
        for (const { certificate, expiresAt } of run.store.bindings.values())
          if (certificate !== undefined) {
            assert.equal(certificate.notAfter, expiresAt);
            assert.equal(expiresAt % 1000, 0, "to the second");
          }
        if (each.kind === "wait")
          for (const { expiresAt } of run.store.bindings.values())
            assert.ok(expiresAt > run.driver.now);
        if (each.kind === "revoke" && each.swept)
          for (const { certificate } of run.store.bindings.values())
            assert.ok(!run.driver.book.revoked.has(certificate?.keyId ?? ""));
      }
      const shown = run.driver.contacts().length;
      const visible = [...run.store.bindings.values()].filter(({ hidden }) => hidden !== true);
      assert.equal(shown, visible.length, "the store has what the core has");
    }),
    { numRuns: 200 },
  );
});

test("however its end comes, no key stays in service without its binding", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const run = new Run();
      for (const each of steps) run.take(each);
      run.driver.now += 700_000;
      run.store.apply(storedBy(run.driver.feed({ kind: "tick" })));
      assert.equal(run.store.bindings.size, 0);
      assert.equal(run.driver.core.deadline(), undefined);
    }),
    { numRuns: 100 },
  );
});
