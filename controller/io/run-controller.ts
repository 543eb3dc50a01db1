/**
 * Joins the parts of a running controller: transport and transactions on one side, the gateway on
 * the other, the core between them, the database below. Touches sockets, files and the clock,
 * through its parts.
 *
 * ```text
 *   sockets ◀─▶ transactions ◀─▶ core ─▶ gateway: inspector, sealer, agent link ◀─▶ agent
 *                                 │  ▲
 *                        database ◀  └ DNS
 * ```
 */
import { randomBytes } from "node:crypto";
import { assertNever } from "../../protocol/errors.ts";
import { Secret } from "../../protocol/secret.ts";
import { waitMs } from "../../protocol/sip/transaction.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { Logger } from "../../runtime/logger.ts";
import { createRandomPool } from "../../runtime/random-pool.ts";
import type { ControllerConfig } from "../config.ts";
import { Controller } from "../core/controller.ts";
import type {
  ControllerEffect,
  ControllerInput,
  ControllerRules,
} from "../core/controller-port.ts";
import { isEmergencyUri } from "../core/destination.ts";
import { Rehearsal } from "../core/rehearsal.ts";
import { CertificateOffice } from "./certificate-office.ts";
import type { Credentials } from "./credentials.ts";
import { Gateway } from "./gateway.ts";
import { rulesOf } from "./policies.ts";
import { reloadedConfig } from "./reload-limits.ts";
import { SavedState } from "./saved-state.ts";
import { ServerLookup } from "./server-lookup.ts";
import { SipStack, TIMER_GRAIN_MS } from "./sip-stack.ts";
import type { UserStore } from "./user-store.ts";

/** What a controller is started with, and what may be put in its place while it runs. */
export interface Loaded {
  /** The configuration file. */
  readonly file: string;
  readonly config: ControllerConfig;
  readonly credentials: Credentials;
  readonly users: UserStore;
  /** Of the state database. */
  readonly stateFile: string | undefined;
  /** Of the authority database. */
  readonly authorityFile: string | undefined;
}

export interface RunningController {
  /**
   * Other users, routes and certificates; calls and connections stay.
   * @throws ConfigError where a gateway or an authority would come or go: nothing is changed.
   */
  reload(loaded: Loaded): Promise<void>;
  /**
   * Takes nothing new, lets transactions finish for a while, and closes all sockets. The sessions
   * on the gateway stay for a successor that will know them, or are closed.
   */
  stop(): Promise<void>;
}

const NONCE_KEY_BYTES = 32;
/** How long a stop waits for requests that are on their way. */
export const DRAIN_MS = 5_000;
const DRAIN_POLL_MS = 50;

/** Calls played before the first real one, and the time they may take altogether. */
const REHEARSED_CALLS = 300;
const REHEARSAL_MS = 1_000;
const REHEARSAL_ROUND = 25;

/** Starts a controller. Rejects if one of its listeners cannot be opened. @throws ConfigError */
export async function runController(loaded: Loaded, log: Logger): Promise<RunningController> {
  const shell = new ControllerShell(loaded, log);
  await shell.start();
  return shell;
}

class ControllerShell implements RunningController {
  readonly #loaded: Loaded;
  readonly #log: Logger;
  readonly #state: SavedState;
  readonly #sip: SipStack;
  readonly #controller: Controller;
  readonly #core: Drive<ControllerInput>;
  readonly #lookup: ServerLookup;
  readonly #office: CertificateOffice | undefined;
  #rules: ControllerRules;
  #gateway: Gateway | undefined;

  constructor(loaded: Loaded, log: Logger) {
    const { config, credentials, stateFile, authorityFile } = loaded;
    this.#loaded = loaded;
    this.#log = log;
    this.#office =
      authorityFile === undefined
        ? undefined
        : CertificateOffice.open(
            { file: authorityFile, feed: (input) => this.#core.feed(input), log },
            loaded,
          );
    this.#rules = this.#rulesOf(loaded);
    this.#state = SavedState.open(stateFile, log);
    this.#lookup = new ServerLookup(config, log);
    this.#sip = new SipStack({
      config,
      tls: credentials.tls,
      isUrgent: ({ uri }) => isEmergencyUri(uri, this.#rules.sip),
      onEvent: (event) => this.#core.feed(event),
      onClosed: (flow) => this.#core.feed({ kind: "flow-closed", flow }),
      log,
    });
    this.#controller = new Controller({
      ...this.#rules,
      nonceKey: new Secret(randomBytes(NONCE_KEY_BYTES)),
      random: createRandomPool(),
      keepsCalls: stateFile !== undefined,
      tellsInfo: log.isLevelEnabled("info"),
      registrar: config.registrar,
      acceptedMs: waitMs({ ...config.timers, tryingMs: 0 }),
      maxCalls: config.limits.calls,
    });
    const perform = (effect: ControllerEffect) => this.#perform(effect);
    this.#core = drive(this.#controller, perform, Date.now, TIMER_GRAIN_MS);
  }

  async start(): Promise<void> {
    const { config, credentials } = this.#loaded;
    rehearse();
    const { bindings, calls, sessions } = this.#state.read();
    this.#controller.restore(bindings, calls);
    if (config.agent !== undefined)
      this.#gateway = await Gateway.create({
        socketPath: config.agent.socket,
        controller: config.name,
        credentials,
        feed: (input) => this.#core.feed(input),
        store: {
          save: (session) => this.#state.saveSession(session),
          forget: (session) => this.#state.forgetSession(session),
        },
        directory: this.#office?.directory,
        log: this.#log,
      });
    await this.#sip.listen();
    this.#gateway?.start(sessions);
    this.#office?.start();
    this.#core.feed({ kind: "tick" });
    if (calls.length + bindings.length > 0)
      this.#log.info({ calls: calls.length, registrations: bindings.length }, "restored");
  }

  async reload(loaded: Loaded): Promise<void> {
    const { file, credentials } = loaded;
    const { config, waiting } = reloadedConfig(file, loaded.config, this.#loaded.config);
    if (waiting.length > 0) this.#log.warn({ tables: waiting }, "takes effect at the next start");
    const next = { ...loaded, config };
    this.#office?.reload(next);
    this.#rules = this.#rulesOf(next);
    this.#core.feed({ kind: "reload", rules: this.#rules });
    if (credentials.tls !== undefined) this.#sip.setTls(credentials.tls);
    await this.#gateway?.reload(credentials);
  }

  async stop(): Promise<void> {
    this.#sip.drain();
    const giveUpAt = Date.now() + DRAIN_MS;
    while (this.#controller.pendingCount > 0 && Date.now() < giveUpAt)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    this.#core.stop();
    const sessions = this.#state.isKept ? "left" : "closed";
    await Promise.all([this.#gateway?.stop(sessions), this.#office?.stop(), this.#sip.close()]);
    this.#state.close();
  }

  #rulesOf({ config, credentials, users }: Loaded): ControllerRules {
    return rulesOf(config, credentials, users, this.#office?.policyOf({ config }));
  }

  #perform(effect: ControllerEffect): void {
    switch (effect.kind) {
      case "transaction":
        this.#sip.feed(effect.input);
        break;
      case "inspect":
        this.#gateway?.inspect(effect);
        break;
      case "put":
        this.#gateway?.put(effect);
        break;
      case "close":
        this.#gateway?.close(effect);
        break;
      case "locate":
        void this.#lookup
          .targetsOf(effect.uri)
          .then((targets) => this.#core.feed({ kind: "located", ref: effect.ref, targets }));
        break;
      case "open-registration":
      case "certify":
      case "verify-asker":
      case "sign-answer":
        this.#office?.perform(effect);
        break;
      case "store-bindings":
        this.#state.storeBindings(effect.changes);
        break;
      case "save-call":
        this.#state.saveCall(effect.call, effect.saved);
        break;
      case "forget-call":
        this.#state.forgetCall(effect.call);
        break;
      case "report": {
        const { kind: _, level, event, ...fields } = effect;
        this.#log[level](fields, event);
        break;
      }
      case "turned-away":
        this.#tellTurnedAway(effect);
        break;
      case "dropped":
        this.#log.debug({ reason: effect.reason }, "SIP message dropped");
        break;
      default:
        assertNever(effect);
    }
  }

  /** Anybody can be challenged as often as he likes: that does not fill the log. */
  #tellTurnedAway({ call, status }: ControllerEffect & { kind: "turned-away" }): void {
    const level = status === 401 || status === 407 ? "debug" : "info";
    this.#log[level]({ call, status }, "request turned away");
  }
}

function rehearse(): void {
  const rehearsal = new Rehearsal(createRandomPool());
  const endAt = performance.now() + REHEARSAL_MS;
  for (let calls = 0; calls < REHEARSED_CALLS; calls += REHEARSAL_ROUND) {
    rehearsal.play(REHEARSAL_ROUND);
    if (performance.now() >= endAt) return;
  }
}
