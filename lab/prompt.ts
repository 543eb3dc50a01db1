/**
 * Before a command line: the program goes before the machine's other work, so that a message is sent
 * again because it was lost and not because its sender had to wait. Pure.
 */
export const PROMPT: readonly string[] = ["nice", "-n", "-10"];
