/**
 * Where the users are: bindings of addresses of record to contacts (RFC 3261 §10, RFC 5626 §6).
 * Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { FlowId, SipTransport } from "../../protocol/sip/flow.ts";
import type { Param } from "../../protocol/sip/grammar.ts";
import { AorIndex } from "./aor-index.ts";

/** Where a REGISTER came from, as the transport saw it. */
export interface Received {
  readonly transport: SipTransport;
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

export interface Binding {
  /** In the spelling of `addressOfRecord`, scheme `sip`. */
  readonly aor: string;
  /** One binding of the user: instance and reg-id (RFC 5626 §6), or the contact's own text. */
  readonly key: string;
  /** The Contact URI as it came: the Request-URI of what goes to it. */
  readonly contact: string;
  /** Other Contact parameters, `q` and `expires` apart. */
  readonly params: readonly Param[];
  /** 0 to 1. */
  readonly q: number;
  readonly expiresAt: Millis;
  readonly callId: string;
  readonly cseq: number;
  /** Values of Path, topmost first: the Route of what goes to the contact (RFC 3327 §5.3). */
  readonly path: readonly string[];
  /** `+sip.instance`, unquoted. */
  readonly instance?: string;
  /** Present only where outbound applies: the binding is then one of `flow` (RFC 5626). */
  readonly regId?: number;
  /** True when no other proxy stood between the phone and us. */
  readonly direct: boolean;
  /** Of a direct phone: how it is reached, as long as that lives. */
  readonly flow?: FlowId;
  readonly received: Received;
  /** Addresses shown to be the user's: where a direct phone sends from. */
  readonly addresses: readonly string[];
  /** When the REGISTER came that made it what it is: the latest of several is tried first. */
  readonly updatedAt: Millis;
  /** Goes out of service with the binding, or sooner at its own end. */
  readonly certificate?: BindingCertificate;
  /** The contact came sealed: it stands in no answer that others can read. */
  readonly hidden?: true;
}

/** The certificate that a phone registered with. */
export interface BindingCertificate {
  /** DER, base64. */
  readonly der: string;
  /** SHA-256 of the SPKI, hex. */
  readonly keyId: string;
  /** At most the end of the registration where we issued it; of others, whatever it says. */
  readonly notAfter: Millis;
  readonly issued: boolean;
}

/** What the store has to follow. */
export type BindingChange =
  | { readonly kind: "put"; readonly binding: Binding }
  | { readonly kind: "delete"; readonly aor: string; readonly key: string };

export class BindingTable {
  readonly #byAor = new Map<string, ReadonlyMap<string, Binding>>();
  readonly #byFlow = new AorIndex<Binding>(({ flow }) => flow);
  readonly #byKey = new AorIndex<Binding>(({ certificate }) => certificate?.keyId);
  /** The earliest end of each user's bindings and certificates. */
  readonly #deadlines = new DeadlineQueue();
  #size = 0;

  /** Bindings held, those included whose time is over but was not yet collected. */
  get size(): number {
    return this.#size;
  }

  /** A user's bindings whose time is not over, in no order. */
  of(aor: string, now: Millis): readonly Binding[] {
    const bindings = this.#byAor.get(aor);
    return bindings === undefined
      ? []
      : [...bindings.values()].filter(({ expiresAt }) => expiresAt > now);
  }

  apply(changes: readonly BindingChange[]): void {
    for (const change of changes) {
      const aor = change.kind === "put" ? change.binding.aor : change.aor;
      const bindings = new Map(this.#byAor.get(aor));
      if (change.kind === "put") bindings.set(change.binding.key, change.binding);
      else bindings.delete(change.key);
      this.#replace(aor, bindings);
    }
  }

  /** What leaves the table because its time is over: bindings, and certificates alone. */
  expired(now: Millis): readonly BindingChange[] {
    const changes: BindingChange[] = [];
    for (let aor = this.#deadlines.takeDue(now); aor !== undefined; ) {
      for (const binding of this.#all(aor)) {
        const { key, expiresAt } = binding;
        if (expiresAt <= now) changes.push({ kind: "delete", aor, key });
        else if (endOf(binding) <= now)
          changes.push({ kind: "put", binding: withoutCertificate(binding) });
      }
      aor = this.#deadlines.takeDue(now);
    }
    return changes;
  }

  /** Every binding reached by that flow. */
  onFlow(flow: FlowId): readonly Binding[] {
    return this.#byFlow
      .of(flow)
      .flatMap((aor) => this.#all(aor).filter((binding) => binding.flow === flow));
  }

  /** Users who are known by that key now. @param keyId SHA-256 of the SPKI, hex */
  usersOfKey(keyId: string): readonly string[] {
    return this.#byKey.of(keyId);
  }

  /** Every binding, of all users. */
  all(): readonly Binding[] {
    return [...this.#byAor.keys()].flatMap((aor) => this.#all(aor));
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  #all(aor: string): readonly Binding[] {
    return [...(this.#byAor.get(aor)?.values() ?? [])];
  }

  #replace(aor: string, bindings: ReadonlyMap<string, Binding>): void {
    const before = this.#byAor.get(aor);
    this.#byFlow.replace(aor, before, bindings);
    this.#byKey.replace(aor, before, bindings);
    this.#size += bindings.size - (before?.size ?? 0);
    if (bindings.size === 0) this.#byAor.delete(aor);
    else this.#byAor.set(aor, bindings);
    const ends = [...bindings.values()].map(endOf);
    this.#deadlines.set(aor, ends.length === 0 ? undefined : Math.min(...ends));
  }
}

/** When something of a binding ends: all of it, or its certificate. */
const endOf = ({ expiresAt, certificate }: Binding): Millis =>
  Math.min(expiresAt, certificate?.notAfter ?? expiresAt);

function withoutCertificate(binding: Binding): Binding {
  const { certificate: _over, ...rest } = binding;
  return rest;
}
