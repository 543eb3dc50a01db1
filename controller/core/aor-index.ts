/**
 * Which users have a binding with some property: a flow, a key. Pure.
 */

export class AorIndex<Binding> {
  readonly #propertyOf: (binding: Binding) => string | undefined;
  readonly #aors = new Map<string, Set<string>>();

  constructor(propertyOf: (binding: Binding) => string | undefined) {
    this.#propertyOf = propertyOf;
  }

  /** Users with that property. */
  of(property: string): readonly string[] {
    return [...(this.#aors.get(property) ?? [])];
  }

  /** A user's bindings are others now. */
  replace(
    aor: string,
    before: ReadonlyMap<string, Binding> | undefined,
    after: ReadonlyMap<string, Binding>,
  ): void {
    for (const property of this.#propertiesOf(before)) this.#unlink(property, aor);
    for (const property of this.#propertiesOf(after)) {
      const aors = this.#aors.get(property) ?? new Set();
      this.#aors.set(property, aors.add(aor));
    }
  }

  #propertiesOf(bindings: ReadonlyMap<string, Binding> | undefined): readonly string[] {
    return [...(bindings?.values() ?? [])].flatMap((binding) => this.#propertyOf(binding) ?? []);
  }

  #unlink(property: string, aor: string): void {
    const aors = this.#aors.get(property);
    aors?.delete(aor);
    if (aors?.size === 0) this.#aors.delete(property);
  }
}
