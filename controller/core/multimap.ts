/**
 * Several members under one key, in the order in which they came. Pure. A key without members is not
 * kept.
 */

export class Multimap<Member> {
  readonly #members = new Map<string, Set<Member>>();

  /** The members as they are now; the list stays as it is when they leave. */
  of(key: string): readonly Member[] {
    return [...(this.#members.get(key) ?? [])];
  }

  countOf(key: string): number {
    return this.#members.get(key)?.size ?? 0;
  }

  add(key: string, member: Member): void {
    const members = this.#members.get(key);
    if (members === undefined) this.#members.set(key, new Set([member]));
    else members.add(member);
  }

  delete(key: string, member: Member): void {
    const members = this.#members.get(key);
    if (members?.delete(member) === true && members.size === 0) this.#members.delete(key);
  }
}
