/**
 * What of a call outlives a restart of the controller: its parties, its dialogs and what it holds
 * of the gateway. JSON-able; no key is in it. Pure.
 */
import { isReliableHop } from "../../protocol/sip/flow.ts";
import type { CallSnapshot } from "./call-snapshot.ts";
import type { DialogSet, Leg } from "./dialog-table.ts";
import type { Neighbour, Neighbourhood } from "./neighbourhood.ts";
import type { OrderHead } from "./order-head.ts";
import type { Party } from "./party.ts";

export interface SavedLeg {
  readonly aor?: string;
  /** The trunk's domain. */
  readonly trunk?: string;
  /** Only one that means the same after a restart. */
  readonly flow?: string;
  readonly peer: Neighbour;
  readonly contact?: string;
}

/** Of what is saved; what an older program saved otherwise is forgotten. */
export const SAVED_CALL_VERSION = 1;

export interface SavedCall {
  readonly version: typeof SAVED_CALL_VERSION;
  readonly callId: string;
  readonly callerTag: string;
  readonly caller: SavedLeg;
  readonly callees: readonly (readonly [tag: string, leg: SavedLeg])[];
  readonly users: readonly string[];
  readonly parties: { readonly caller: Party; readonly callee: Party };
  readonly mustRecord: boolean;
  readonly emergency: boolean;
  readonly sessions: readonly string[];
  readonly order: OrderHead;
  readonly call: CallSnapshot;
}

export function saveLeg({ whom, flow, peer, contact }: Leg): SavedLeg {
  const { transport, address, localAddress, localPort } = peer;
  return {
    ...(whom.aor === undefined ? undefined : { aor: whom.aor }),
    ...(whom.trunk === undefined ? undefined : { trunk: whom.trunk.domain }),
    ...(flow === undefined || isReliableHop(flow) ? undefined : { flow }),
    peer: {
      transport,
      address,
      ...(localAddress === undefined ? undefined : { localAddress }),
      ...(localPort === undefined ? undefined : { localPort }),
    },
    ...(contact === undefined ? undefined : { contact }),
  };
}

export function restoreLeg(saved: SavedLeg, neighbourhood: Neighbourhood): Leg {
  const trunk = saved.trunk === undefined ? undefined : neighbourhood.trunkOfDomain(saved.trunk);
  return {
    whom: {
      ...(saved.aor === undefined ? undefined : { aor: saved.aor }),
      ...(trunk === undefined ? undefined : { trunk }),
    },
    flow: saved.flow,
    peer: saved.peer,
    contact: saved.contact,
  };
}

export const restoreDialogs = (
  id: string,
  { callId, callerTag, caller, callees }: SavedCall,
  neighbourhood: Neighbourhood,
): DialogSet => ({
  callId,
  callerTag,
  caller: restoreLeg(caller, neighbourhood),
  callees: new Map(callees.map(([tag, leg]) => [tag, restoreLeg(leg, neighbourhood)])),
  call: id,
  asked: [],
});
