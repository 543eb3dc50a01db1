/**
 * Before a command line: the program goes before the machine's other work, so that a message is sent
 * again because it was lost and not because its sender had to wait. Where the kernel weighs sessions
 * and not processes (`sched_autogroup_enabled`), the session is put first, too. Pure.
 */
const SCRIPT = 'echo -10 2>/dev/null >/proc/self/autogroup; exec nice -n -10 "$0" "$@"';
export const PROMPT: readonly string[] = ["sh", "-c", SCRIPT];
