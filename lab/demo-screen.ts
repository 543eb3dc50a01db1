/**
 * What the demo shows: checked steps with their times, a picture, tables. Colour on a terminal only.
 * Remembers whether anything shown did not hold. Touches the stream that it is given.
 */
export interface Screen {
  section(title: string): void;
  /** One line with a check mark, or a cross: from then on the demo has failed. */
  check(holds: boolean, text: string, detail?: string): void;
  /** Plain text, indented. */
  text(lines: string): void;
  readonly failures: readonly string[];
}

const COLOURS = { green: 32, red: 31, bold: 1, dim: 2 } as const;
const TIME_COLUMN = 76;

export const PICTURE = `
alice ─────── TLS ──────▶ gateway ─────── TCP ──────▶ biloxi ─────── TCP ──────▶ bob
10.10.0.2                 controller                  10.30.0.2             10.20.0.2
  │                       agent, recorder             Kamailio,                   │
  │                           ▲                       not trusted                 │
  └────────── SRTP ───────────┴───────────────────── SRTP ────────────────────────┘
                              pinholes, and a copy of what passes
`;

export function createScreen(stream: NodeJS.WriteStream): Screen {
  const paint = (colour: keyof typeof COLOURS, text: string): string =>
    stream.isTTY ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
  const failures: string[] = [];
  let lastMs = performance.now();
  return {
    failures,
    section(title) {
      stream.write(`\n${paint("bold", title)}\n`);
    },
    check(holds, text, detail = "") {
      const nowMs = performance.now();
      const seconds = `${((nowMs - lastMs) / 1000).toFixed(2)} s`;
      lastMs = nowMs;
      if (!holds) failures.push(text);
      const mark = holds ? paint("green", "✓") : paint("red", "✗");
      const line = `${text}${detail === "" ? "" : `  ${detail}`}`;
      stream.write(`  ${mark} ${line.padEnd(TIME_COLUMN)} ${paint("dim", seconds.padStart(8))}\n`);
    },
    text(lines) {
      stream.write(`${lines.replace(/^(?=.)/gm, "  ")}\n`);
    },
  };
}
