/**
 * How others see the connection that our calls go out by. A phone that listens nowhere must name
 * that connection's own address and port in its Contact, so that requests inside a call come back
 * over it; any response to any request tells them (`received` and `rport`, RFC 3581 §4). Pure.
 */
import { ProtocolError } from "../../protocol/errors.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { findParam, isHost } from "../../protocol/sip/grammar.ts";
import { type SipRequest, type SipResponse, withHeader } from "../../protocol/sip/message.ts";
import { serializeSipUri } from "../../protocol/sip/uri.ts";
import { topVia, viaBranch } from "../../protocol/sip/via.ts";
import { tried } from "./signed-answer.ts";

export interface OwnEnd {
  readonly host: string;
  readonly port: number;
}

/** An OPTIONS for the next hop itself: with no hop left nobody passes it on (RFC 3261 §11). */
export function createProbe(
  aor: string,
  address: string,
  target: Target,
  random: (size: number) => Buffer,
): SipRequest {
  const { transport, port } = target;
  const params = [{ name: "transport", value: transport }];
  const uri = serializeSipUri({ scheme: "sip", host: target.address, port, params });
  const hex = (): string => random(8).toString("hex");
  const probe = createRequest({
    method: "OPTIONS",
    uri,
    via: ownVia(transport, address, undefined, newBranch(random)),
    from: { uri: aor, params: [{ name: "tag", value: hex() }] },
    to: { uri, params: [] },
    callId: hex(),
    cseq: 1,
  });
  return withHeader(probe, "Max-Forwards", "0");
}

/** True for the answer to this probe; what has no Via that can be read answers nothing. */
export function answersProbe(probe: SipRequest, response: SipResponse): boolean {
  const via = tried(() => topVia(response));
  return via !== undefined && viaBranch(via) === viaBranch(topVia(probe));
}

/**
 * What the answer says of our end.
 * @throws ProtocolError `ERR_SIP_SYNTAX` if it says nothing of the port, or of a host that is none.
 */
export function readOwnEnd(response: SipResponse): OwnEnd {
  const via = topVia(response);
  const port = Number(findParam(via.params, "rport")?.value);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new ProtocolError("ERR_SIP_SYNTAX", "no rport in the answer");
  const host = (findParam(via.params, "received")?.value ?? via.host).replace(/^\[|\]$/g, "");
  if (!isHost(host) && !isHost(`[${host}]`))
    throw new ProtocolError("ERR_SIP_SYNTAX", "no address in the answer");
  return { host, port };
}
