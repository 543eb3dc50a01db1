/**
 * The demo's course: the stage is set, the calls are placed, the stage is struck, the tables shown.
 */
import { copyFileSync, cpSync } from "node:fs";
import { join, relative } from "node:path";
import { placeDemoCalls } from "./demo-calls.ts";
import type { DemoFigures, DemoReport } from "./demo-report.ts";
import { PICTURE, type Screen } from "./demo-screen.ts";
import { matrixTable, mediaTable } from "./demo-tables.ts";
import { rightsOf } from "./gateway.ts";
import { RIGHTS_WORDS, rightsFaults } from "./rights-table.ts";
import type { GatewayProgram } from "./site.ts";
import { openStage, type Stage, type StageStep } from "./stage.ts";

export interface DemoOptions {
  readonly screen: Screen;
  /** Folder for what the calls leave behind. */
  readonly out: string;
  readonly setupMs: number;
}

/** Runs the whole demo; a failure is shown and reported, not thrown. */
export async function runDemo({ screen, out, setupMs }: DemoOptions): Promise<DemoReport> {
  const startedMs = performance.now();
  screen.text(PICTURE);
  let figures: DemoFigures | undefined;
  try {
    figures = await playOnStage(screen, out);
    showResults(screen, figures, out);
  } catch (error) {
    screen.check(false, "the demo broke off:", (error as Error).message);
  }
  const { failures } = screen;
  const runMs = Math.round(performance.now() - startedMs);
  return { ok: failures.length === 0, failures, setupMs, runMs, ...figures };
}

async function playOnStage(screen: Screen, out: string): Promise<DemoFigures> {
  screen.section("The network and the programs");
  const stage = await openStage({ onStep: (step) => showStageStep(screen, step) });
  try {
    showRights(screen, stage);
    return await placeDemoCalls(screen, stage, out);
  } finally {
    const codes = Object.entries(await stage.stop());
    keepResults(stage, out);
    stage.site.remove();
    const bad = codes.filter(([, code]) => code !== 0).map(([name]) => name);
    const ends = bad.map((name) => `${name}: ${stage.programs[name as GatewayProgram]?.tail(1)}`);
    screen.check(
      bad.length === 0,
      "all programs ended when asked; the network is gone",
      ends.join(),
    );
  }
}

const STAGE_TEXTS: Readonly<Record<StageStep, string>> = {
  network: "network namespaces alice, bob, biloxi, and gateway between them",
  keys: "certificates and keys: keyhole ca init",
  kamailio: "Kamailio on biloxi",
  recorder: "recorder",
  agent: "agent",
  controller: "controller",
};

function showStageStep(screen: Screen, step: StageStep): void {
  screen.check(true, STAGE_TEXTS[step]);
}

function showRights(screen: Screen, stage: Stage): void {
  const { network, programs } = stage;
  const gatewayNetwork = network.run("gateway", ["readlink", "/proc/self/ns/net"]).trim();
  for (const [name, { pid }] of Object.entries(programs)) {
    const program = name as GatewayProgram;
    const rights = rightsOf(pid);
    const faults = rightsFaults(program, rights, gatewayNetwork);
    const text = `${program}: uid ${rights.uid}, ${RIGHTS_WORDS[program]}`;
    screen.check(faults.length === 0, text, faults.join(", "));
  }
}

/** What is left to look at when the stage is gone: logs, the sealed store, the archive's key. */
function keepResults({ site }: Stage, out: string): void {
  cpSync(site.logs, join(out, "logs"), { recursive: true });
  cpSync(site.store, join(out, "recordings"), { recursive: true });
  for (const name of ["archive.key", "ledger.pub"])
    copyFileSync(join(site.keys, name), join(out, name));
}

function showResults(screen: Screen, figures: DemoFigures, out: string): void {
  screen.section("What passed the gateway");
  screen.text(matrixTable(figures.pinholes));
  screen.section("Packets, from phone to archive");
  screen.text(
    mediaTable({ "sealed call": figures.media, "patent's form": figures.patentCall.media }),
  );
  screen.section("The recording");
  const { id, wav, pcapng, durationMs } = figures.recording;
  const here = (path: string): string => relative(process.cwd(), path) || ".";
  const store = `--store ${here(join(out, "recordings"))} --key ${here(join(out, "archive.key"))}`;
  screen.text(
    [
      `id      ${id}`,
      `sealed  ${here(join(out, "recordings"))}`,
      `listen  ${here(wav)}   ${(durationMs / 1000).toFixed(1)} s, alice left, bob right`,
      `look    ${here(pcapng)}`,
      `more    npm run -s keyhole -- recordings show ${id} ${store}`,
    ].join("\n"),
  );
}
