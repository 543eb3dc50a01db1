/**
 * NOTIFYs on their way: each by the first way that is there, by the next one when that breaks, until
 * it is answered or none is left. Pure.
 */
import { newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { type SipRequest, withHeader } from "../../protocol/sip/message.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import { serializeVia } from "../../protocol/sip/via.ts";
import type { Watch } from "./certificate-watch.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { isSipsUri } from "./forward.ts";
import type { NextHop } from "./next-hops.ts";
import { transaction } from "./sender.ts";
import type { Site } from "./site.ts";

export interface CertificateNotifiesSetting {
  readonly site: () => Site;
  readonly random: (size: number) => Buffer;
}

/** A NOTIFY and the ways that are still to be tried. */
export interface Notify {
  readonly watch: Watch;
  readonly request: SipRequest;
  readonly ways: readonly NextHop[];
}

export class CertificateNotifies {
  readonly #setting: CertificateNotifiesSetting;
  /** By client transaction. */
  readonly #sent = new Map<string, Notify>();

  constructor(setting: CertificateNotifiesSetting) {
    this.#setting = setting;
  }

  get(client: string): Notify | undefined {
    return this.#sent.get(client);
  }

  /** Its transaction is over. */
  delete(client: string): void {
    this.#sent.delete(client);
  }

  /** Sends by the first way; undefined if none leads to the subscriber. */
  send({ watch, request, ways }: Notify): ControllerEffect | undefined {
    const [way, ...others] = ways;
    if (way === undefined) return undefined;
    const { site, random } = this.#setting;
    const { neighbourhood } = site();
    const door = neighbourhood.doorTo(way.toward);
    if (door === undefined || (isSipsUri(request.uri) && door.transport !== "tls"))
      return this.send({ watch, request, ways: others });
    const via = ownVia(door.transport, door.address, door.port, newBranch(random));
    const leaving = withHeader(request, "Via", serializeVia(via));
    const client = clientKey(leaving) ?? "";
    watch.pending = client;
    this.#sent.set(client, { watch, request, ways: others });
    const to = neighbourhood.wayTo(way.to, way.toward);
    return transaction({ kind: "request", request: leaving, to });
  }
}
