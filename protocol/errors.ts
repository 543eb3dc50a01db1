/**
 * What a peer can do wrong. Parsers and crypto throw it; each program maps it once
 * (SIP status, control reply, drop and count). Pure.
 */

export type ProtocolErrorCode =
  // net
  | "ERR_ADDRESS"
  // sip
  | "ERR_SIP_SYNTAX"
  | "ERR_SIP_LIMIT"
  | "ERR_SIP_VERSION"
  // mime
  | "ERR_MIME_SYNTAX"
  | "ERR_MIME_LIMIT"
  // der, cms, pki
  | "ERR_DER_SYNTAX"
  | "ERR_CMS_SYNTAX"
  | "ERR_CMS_LIMIT"
  | "ERR_CMS_UNSUPPORTED"
  | "ERR_CMS_NO_RECIPIENT"
  | "ERR_CMS_DECRYPT"
  | "ERR_SIGNATURE"
  | "ERR_SIGNATURE_MISSING"
  | "ERR_CERTIFICATE"
  | "ERR_CERTIFICATE_REQUEST"
  | "ERR_CRL"
  | "ERR_BODY"
  // sdp, sdes
  | "ERR_SDP_SYNTAX"
  | "ERR_SDP_LIMIT"
  | "ERR_SDP_UNACCEPTABLE"
  | "ERR_SDES_SYNTAX"
  | "ERR_SDES_SUITE"
  | "ERR_SDES_KEY"
  | "ERR_SDES_PARAM"
  // rtp, srtp
  | "ERR_RTP_SYNTAX"
  | "ERR_RTCP_SYNTAX"
  | "ERR_SRTP_AUTH"
  | "ERR_SRTP_REPLAY"
  | "ERR_SRTP_LIMIT"
  // audio
  | "ERR_WAV"
  // capture
  | "ERR_CAPTURE_SYNTAX"
  | "ERR_PCAPNG_SYNTAX"
  // control and ingest sockets
  | "ERR_CONTROL_SYNTAX"
  | "ERR_CONTROL_LIMIT"
  | "ERR_CONTROL_VALUE"
  | "ERR_CONTROL_REALM"
  | "ERR_CONTROL_STATE"
  | "ERR_CONTROL_APPLY"
  | "ERR_INGEST_SYNTAX"
  | "ERR_INGEST_LIMIT"
  // sealing and ledger
  | "ERR_SEAL"
  | "ERR_ORDER"
  | "ERR_RECORDING_SYNTAX"
  | "ERR_RECORDING_KEY"
  | "ERR_RECORDING_TRUNCATED"
  | "ERR_RECORDING_ALTERED"
  | "ERR_LEDGER";

/** The peer's fault. The message never repeats a key, SDP or an identity. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** True for a `ProtocolError`, of one code if given. */
export function isProtocolError(error: unknown, code?: ProtocolErrorCode): error is ProtocolError {
  return error instanceof ProtocolError && (code === undefined || error.code === code);
}

/** Ends a `switch` over a tagged union: a new kind fails to compile, an impossible one throws. */
export function assertNever(value: never): never {
  throw new TypeError(`impossible kind: ${(value as { kind?: unknown })?.kind}`);
}
