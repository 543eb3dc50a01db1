/**
 * Which users have a binding with some property: a flow, a key. Pure.
 */
import { Multimap } from "./multimap.ts";

export class AorIndex<Binding> {
  readonly #propertyOf: (binding: Binding) => string | undefined;
  readonly #aors = new Multimap<string>();

  constructor(propertyOf: (binding: Binding) => string | undefined) {
    this.#propertyOf = propertyOf;
  }

  /** Users with that property. */
  of(property: string): readonly string[] {
    return this.#aors.of(property);
  }

  /** A user's bindings are others now. */
  replace(
    aor: string,
    before: ReadonlyMap<string, Binding> | undefined,
    after: ReadonlyMap<string, Binding>,
  ): void {
    for (const property of this.#propertiesOf(before)) this.#aors.delete(property, aor);
    for (const property of this.#propertiesOf(after)) this.#aors.add(property, aor);
  }

  #propertiesOf(bindings: ReadonlyMap<string, Binding> | undefined): readonly string[] {
    return [...(bindings?.values() ?? [])].flatMap((binding) => this.#propertyOf(binding) ?? []);
  }
}
