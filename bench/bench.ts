/**
 * `npm run bench -- NAME` measures one thing beside its peer, in one run, interleaved. The last line
 * of its output is one JSON object with the medians and their ratio.
 */
import { basename } from "node:path";

const BENCHES: Readonly<
  Record<string, { summary: string; load: () => Promise<() => Promise<object>> }>
> = {
  cms: {
    summary: "opening an envelope: ours beside pkijs (RSA-OAEP, AES-256-CBC)",
    load: async () => (await import("./cms.ts")).benchCms,
  },
  pinhole: {
    summary: "one pinhole open and shut: the agent's long-lived nft beside one nft a change",
    load: async () => (await import("./pinhole.ts")).benchPinhole,
  },
  register: {
    summary:
      "registrations with a certificate: a controller on one core beside its signatures alone",
    load: async () => (await import("./register.ts")).benchRegister,
  },
  sip: {
    summary: "CPU time of a call through a stateful proxy: the controller beside Kamailio",
    load: async () => (await import("./sip.ts")).benchSip,
  },
  "sip-load": {
    summary: "a load of calls through the controller [--seconds 60] [--rate 300] [--loss 0]",
    load: async () => (await import("./sip-load.ts")).benchSipLoad,
  },
  "sip-parse": {
    summary: "a SIP message read and written; time against size",
    load: async () => (await import("./sip-parse.ts")).benchSipParse,
  },
};

const name = process.argv[2] ?? "";
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench === undefined) {
  const rows = Object.entries(BENCHES).map(([key, { summary }]) => `  ${key.padEnd(10)}${summary}`);
  process.stderr.write(`Usage: ${basename(import.meta.filename)} NAME\n\n${rows.join("\n")}\n`);
  process.exitCode = 64;
} else {
  const run = await bench.load();
  const figures = await run();
  process.stdout.write(`${name}: ${bench.summary}\n${JSON.stringify(figures)}\n`);
}
