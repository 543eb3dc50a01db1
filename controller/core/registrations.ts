/**
 * The registrar and what it stores: REGISTER of our users, and where they are (RFC 3261 §10). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { Binding, BindingChange } from "./bindings.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { Registrar, type RegistrarLimits } from "./registrar.ts";
import { respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";
import type { User } from "./users.ts";

export interface RegistrationsSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly limits: Partial<RegistrarLimits> | undefined;
}

export interface Registering {
  readonly received: SipRequest;
  readonly key: string;
  readonly arrival: Arrival;
  /** Who he has proved to be. */
  readonly user: User;
}

export class Registrations {
  readonly #sender: Sender;
  readonly #registrar: Registrar;

  constructor({ site, sender, limits = {} }: RegistrationsSetting) {
    this.#sender = sender;
    this.#registrar = new Registrar({
      limits,
      isUser: (aor) => site().policy.users.find(aor) !== undefined,
      isOwn: (uri) => site().neighbourhood.isOwnUri(uri),
    });
  }

  register(
    { received, key, arrival, user }: Registering,
    now: Millis,
  ): readonly ControllerEffect[] {
    const registration = { by: user.aor, peer: arrival.peer, flow: arrival.flow };
    const { response, changes } = this.#registrar.handle(received, registration, now);
    const { status, ...parts } = response;
    const answer = createResponse(received, status, { ...parts, toTag: this.#sender.newTag() });
    return [...stored(changes), respond(key, answer)];
  }

  lookup(aor: string, now: Millis): readonly Binding[] {
    return this.#registrar.lookup(aor, now);
  }

  load(bindings: readonly Binding[]): void {
    this.#registrar.load(bindings);
  }

  dropFlow(flow: FlowId): readonly ControllerEffect[] {
    return stored(this.#registrar.dropFlow(flow));
  }

  expire(now: Millis): readonly ControllerEffect[] {
    return stored(this.#registrar.expire(now));
  }

  deadline(): Millis | undefined {
    return this.#registrar.deadline();
  }
}

const stored = (changes: readonly BindingChange[]): readonly ControllerEffect[] =>
  changes.length === 0 ? [] : [{ kind: "store-bindings", changes }];
