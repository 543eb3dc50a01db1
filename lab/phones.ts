/** The two phones of a call: `keyhole device` in alice and in bob, told what to do line by line. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type JsonObject, LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import { COMPILE_CACHE, KEYHOLE, type PhoneName, type Site } from "./site.ts";
import { AORS } from "./site-config.ts";

export interface Phone {
  readonly process: LabProcess;
  /** The octets of G.711 that it put on the wire. */
  readonly wireFile: string;
  readonly heardFile: string;
  /** The first event with this name. @throws Error if the call fails or the time is up before it. */
  event(name: string, timeoutMs?: number): Promise<JsonObject>;
  has(name: string): boolean;
  tell(verb: "ring" | "answer" | "hangup"): void;
}

const EVENT_TIMEOUT_MS = 45_000;
const VOICES = fileURLToPath(new URL("./voices/", import.meta.url));

export interface PhoneOptions {
  readonly config: string;
  /** Folder for what it plays, hears and stores; one a call. */
  readonly results: string;
  readonly extra?: readonly string[];
}

/** Bob waits for one call. */
export async function startBob(
  network: Network,
  site: Site,
  options: PhoneOptions,
): Promise<Phone> {
  const bob = startPhone(network, site, "bob", ["answer"], options);
  await bob.event("listening");
  return bob;
}

/** Alice calls bob. */
export function startAlice(network: Network, site: Site, options: PhoneOptions): Phone {
  return startPhone(network, site, "alice", ["call", AORS.bob], options);
}

function startPhone(
  network: Network,
  site: Site,
  name: PhoneName,
  verb: readonly string[],
  { config, results, extra = [] }: PhoneOptions,
): Phone {
  mkdirSync(results, { recursive: true });
  const wireFile = join(results, `${name}.wire`);
  const heardFile = join(results, `${name}-heard.wav`);
  const sound = ["--play", join(VOICES, `${name}.wav`), "--heard", heardFile, "--wire", wireFile];
  const child = network.spawn(
    name,
    [
      ...[process.execPath, KEYHOLE, "device", ...verb, "--config", config, "--hold-after-play"],
      ...sound,
      ...extra,
    ],
    { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...COMPILE_CACHE } },
  );
  const phone = new LabProcess(name, child, join(site.logs, `${name}.log`));
  return {
    process: phone,
    wireFile,
    heardFile,
    async event(name, timeoutMs = EVENT_TIMEOUT_MS) {
      const wanted = new RegExp(`"event":"(?:${name}|failed)"`);
      const line = await phone.line(name, (candidate) => wanted.test(candidate), timeoutMs);
      const event = JSON.parse(line) as JsonObject;
      if (event["event"] !== name) throw new Error(`${phone.name}: ${line}`);
      return event;
    },
    has: (event) => phone.events({ event }).length > 0,
    tell: (verb) => phone.send({ do: verb }),
  };
}
