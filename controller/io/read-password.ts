/**
 * Reads a password from the terminal, unseen, or from a pipe; never from the command line, which
 * every process on the machine can read. Touches stdin and stderr.
 */
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { Secret } from "../../protocol/secret.ts";

export interface PasswordInput {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly prompt: NodeJS.WritableStream;
}

/**
 * One line: asked for twice at a terminal, the first of a pipe as it is.
 * @throws RangeError when it is empty, or the two differ.
 */
export async function readPassword({ input, prompt }: PasswordInput): Promise<Secret> {
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: unseen, terminal: input.isTTY === true });
  const next = lines[Symbol.asyncIterator]();
  const ask = async (question: string): Promise<string> => {
    if (input.isTTY === true) prompt.write(question);
    const { value } = await next.next();
    if (input.isTTY === true) prompt.write("\n");
    return value ?? "";
  };
  try {
    const password = await ask("Password: ");
    if (password === "") throw new RangeError("no password was given");
    if (input.isTTY === true && (await ask("Again: ")) !== password)
      throw new RangeError("the two passwords differ");
    return new Secret(Buffer.from(password, "utf8"));
  } finally {
    lines.close();
  }
}
