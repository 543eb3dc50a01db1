/**
 * Parsers that know what they read a moment ago. One message is looked at by several layers, and
 * the messages of one call repeat each other's From, To and Route. Pure to whoever calls: the same
 * text gives the same value, which therefore nobody may change.
 *
 * A table with one place for many texts, and no map: V8 makes every string that a map is asked for
 * unique in its heap, which costs as much as to parse it. A remembered text is a piece of the head
 * that it came in, and keeps that: so few are remembered that heads of the greatest size do no harm.
 */

/** Texts remembered at most: a power of two. */
export const REMEMBERED_TEXTS = 256;
/** Longer texts are parsed each time. */
export const REMEMBERED_CHARACTERS = 256;

interface Memory<T> {
  /** The very string that was asked for last: to see that it is that one again costs nothing. */
  text: string;
  readonly value: T;
}

/** The parser with a memory bounded by the two constants; what it throws is not remembered. */
export function remembering<T extends object>(parse: (text: string) => T): (text: string) => T {
  const memories = new Array<Memory<T> | undefined>(REMEMBERED_TEXTS).fill(undefined);
  return (text) => {
    if (text.length > REMEMBERED_CHARACTERS) return parse(text);
    const place = placeOf(text);
    const known = memories[place];
    if (known !== undefined && known.text === text) {
      known.text = text;
      return known.value;
    }
    const value = parse(text);
    memories[place] = { text, value };
    return value;
  };
}

/** By four characters near the end, where tags, branches and ports differ: each look at one costs. */
function placeOf(text: string): number {
  const end = text.length;
  const odd = text.charCodeAt(end - 1) ^ (text.charCodeAt(end - 8) << 2);
  const even = text.charCodeAt(end - 3) ^ (text.charCodeAt(end - 9) << 2);
  return (Math.imul(odd, 31) + Math.imul(even, 149) + end) & (REMEMBERED_TEXTS - 1);
}
