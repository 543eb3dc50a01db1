/**
 * The gateway's side of a running controller: body inspector, order sealer, and the link to the
 * agent. Without a gateway it is not made. Touches the control socket, through its parts.
 */
import { isProtocolError } from "../../protocol/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { WantedSession } from "../core/agent-client-port.ts";
import type { AuthorityDirectory } from "../core/authority-policy.ts";
import type { ControllerEffect, ControllerInput } from "../core/controller-port.ts";
import { AgentLink } from "./agent-link.ts";
import { BodyInspector } from "./body-inspector.ts";
import type { Credentials } from "./credentials.ts";
import { DomainTrust } from "./domain-trust.ts";
import { hearNews } from "./gateway-news.ts";
import { OrderSealer } from "./order-sealer.ts";

export interface GatewaySetting {
  readonly socketPath: string;
  /** The host name that owns the sessions. */
  readonly controller: string;
  readonly credentials: Credentials;
  readonly feed: (input: ControllerInput) => void;
  /** What the agent is to hold, so that a successor can say it again. */
  readonly store: {
    save(session: WantedSession): void;
    forget(session: string): void;
  };
  /** What our own authority has revoked; absent without one. */
  readonly directory: AuthorityDirectory | undefined;
  readonly log: Logger;
}

type Asked<Kind extends ControllerEffect["kind"]> = Extract<ControllerEffect, { kind: Kind }>;

export class Gateway {
  readonly #setting: GatewaySetting;
  readonly #agent: AgentLink;
  #inspector: BodyInspector;
  #sealer: OrderSealer;

  private constructor(setting: GatewaySetting, sealer: OrderSealer) {
    this.#setting = setting;
    this.#sealer = sealer;
    this.#inspector = inspectorOf(setting.credentials, setting);
    const { socketPath, controller, log } = setting;
    this.#agent = new AgentLink({
      socketPath,
      controller,
      onNews: (news) => hearNews(news, setting),
      log,
    });
  }

  static async create(setting: GatewaySetting): Promise<Gateway> {
    return new Gateway(setting, await OrderSealer.create(setting.credentials.recording));
  }

  /** @param sessions What the gateway holds from before a restart. */
  start(sessions: readonly WantedSession[]): void {
    this.#agent.start(sessions);
  }

  /** Other certificates and keys from now on. */
  async reload(credentials: Credentials): Promise<void> {
    this.#inspector = inspectorOf(credentials, this.#setting);
    this.#sealer = await OrderSealer.create(credentials.recording);
  }

  /** Closes every session, or leaves all to a successor. */
  async stop(sessions: "closed" | "left"): Promise<void> {
    if (sessions === "left") this.#agent.leave();
    else await this.#agent.stop("controller stopped");
  }

  inspect({ call, ref, message, firstKey }: Asked<"inspect">): void {
    void this.#inspector
      .inspect(message, firstKey)
      .then((inspection) => this.#setting.feed({ kind: "inspected", call, ref, inspection }));
  }

  put({ put, order }: Asked<"put">): void {
    const { session, revision, timeoutMs, background } = put;
    try {
      const wanted = this.#sealer.seal(put, order);
      this.#setting.store.save(wanted);
      this.#agent.feed({ kind: "put", session: wanted, timeoutMs, background });
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      const result = { kind: "failed", verdict: "not-recorded", code: error.code } as const;
      this.#setting.feed({ kind: "put-result", session, revision, result });
    }
  }

  close(effect: Asked<"close">): void {
    this.#setting.store.forget(effect.session);
    this.#agent.feed(effect);
  }
}

function inspectorOf(
  { body, authority }: Credentials,
  { directory, log }: GatewaySetting,
): BodyInspector {
  if (body === undefined) throw new TypeError("a gateway without a key for bodies");
  const trust = new DomainTrust({ body, authority, directory });
  return new BodyInspector({ holder: body.identity, trust, log });
}
