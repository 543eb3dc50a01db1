/**
 * How many connections others may hold with us, in all and from one address; counted from the
 * first packet on, so that unfinished handshakes count too. Touches the sockets it is given.
 */
import type { Socket } from "node:net";

export interface AdmissionLimits {
  /** Connections opened by others; one more is closed at once. */
  readonly connections: number;
  /** Of these, how many one address may hold. */
  readonly connectionsPerAddress: number;
}

export class ConnectionAdmission {
  readonly #limits: AdmissionLimits;
  readonly #byAddress = new Map<string, Set<Socket>>();
  #count = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Counts the socket until it closes; false when there is no room for it. */
  admit(socket: Socket): boolean {
    const address = socket.remoteAddress ?? "";
    const held = this.#byAddress.get(address) ?? new Set();
    const { connections, connectionsPerAddress } = this.#limits;
    if (this.#count >= connections || held.size >= connectionsPerAddress) return false;
    this.#byAddress.set(address, held.add(socket));
    this.#count += 1;
    socket.once("close", () => {
      held.delete(socket);
      this.#count -= 1;
      if (held.size === 0) this.#byAddress.delete(address);
    });
    return true;
  }

  destroyAll(): void {
    for (const sockets of this.#byAddress.values()) for (const socket of sockets) socket.destroy();
  }
}
