/**
 * Which pinhole of which session serves a destination: no two may overlap, or the kernel's counts
 * and the recorder's streams would not say whose packet it was. Pure.
 */
import type { Endpoint, Source } from "./element.ts";
import type { Opening } from "./realm.ts";

export interface Claim extends Opening {
  readonly session: string;
  readonly pinhole: string;
}

export class Claims {
  readonly #byDestination = new Map<string, readonly Claim[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(claim: Claim): void {
    this.#byDestination.set(destination(claim.to), [...this.at(claim.to), claim]);
    this.#size += 1;
  }

  delete(claim: Claim): void {
    const left = this.at(claim.to).filter((other) => other !== claim);
    this.#size -= this.at(claim.to).length - left.length;
    if (left.length === 0) this.#byDestination.delete(destination(claim.to));
    else this.#byDestination.set(destination(claim.to), left);
  }

  at(to: Endpoint): readonly Claim[] {
    return this.#byDestination.get(destination(to)) ?? [];
  }

  /** A claim of another session that this opening would share packets with. */
  conflict(opening: Opening, session: string): Claim | undefined {
    return this.at(opening.to).find(
      (claim) => claim.session !== session && overlaps(claim, opening),
    );
  }
}

/** True if one packet could pass through both. */
export function overlaps(left: Opening, right: Opening): boolean {
  return (
    destination(left.to) === destination(right.to) &&
    (admits(left.from, right.from) || admits(right.from, left.from))
  );
}

/** True if every sender of `inner` is a sender of `outer`. */
function admits(outer: Source, inner: Source): boolean {
  if (outer.kind === "any") return true;
  if (inner.kind === "any" || outer.address.text !== inner.address.text) return false;
  return outer.kind === "host" || (inner.kind === "socket" && outer.port === inner.port);
}

function destination({ address, port }: Endpoint): string {
  return `${address.text} ${port}`;
}
