/**
 * Parsers that know what they read a moment ago. One message is looked at by several layers, and
 * the messages of one call repeat each other's From, To and Route. Pure to whoever calls: the same
 * text gives the same value, which therefore nobody may change.
 */

/** Texts of one generation; there are two, so that a busy moment never forgets everything. */
export const REMEMBERED_TEXTS = 256;
/** Longer texts are parsed each time. */
export const REMEMBERED_CHARACTERS = 256;

/** The parser with a memory bounded by the two constants; what it throws is not remembered. */
export function remembering<T extends object>(parse: (text: string) => T): (text: string) => T {
  let recent = new Map<string, T>();
  let older = new Map<string, T>();
  return (text) => {
    const known = recent.get(text);
    if (known !== undefined) return known;
    if (text.length > REMEMBERED_CHARACTERS) return parse(text);
    // A piece of a string keeps the whole alive: what is remembered must not keep a head.
    const own = ` ${text}`.slice(1);
    const value = older.get(text) ?? parse(own);
    if (recent.size >= REMEMBERED_TEXTS) {
      older = recent;
      recent = new Map();
    }
    recent.set(own, value);
    return value;
  };
}
