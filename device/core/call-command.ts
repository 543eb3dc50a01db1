/**
 * What a user, or a program in his place, tells the phone: one JSON object a line. Pure.
 */
const VERBS = ["ring", "answer", "hangup"] as const;

/** `ring`: let the caller hear it ring; `answer`: take the call; `hangup`: end or refuse it. */
export type CallVerb = (typeof VERBS)[number];

/** A line holds no more than this many octets. */
export const MAX_COMMAND_BYTES = 1024;

export type ParsedCommand =
  | { readonly kind: "command"; readonly verb: CallVerb }
  | { readonly kind: "refused"; readonly reason: string };

/** Reads `{"do":"answer"}`; at a terminal the bare word will do. */
export function parseCallCommand(octets: Uint8Array): ParsedCommand {
  const text = Buffer.from(octets).toString("utf8").trim();
  const wanted = text.startsWith("{") ? verbOfJson(text) : text;
  const verb = VERBS.find((known) => known === wanted);
  if (verb === undefined)
    return { kind: "refused", reason: `a command is one of ${VERBS.join(", ")}` };
  return { kind: "command", verb };
}

function verbOfJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "do" in value ? value.do : undefined;
  } catch {
    return undefined;
  }
}
