import assert from "node:assert/strict";
import { test } from "node:test";
import { sessionBody } from "../../../controller/core/session-body.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";

const SDP = "v=0\r\n";

function message(rows: Readonly<Record<string, string>>, body = SDP): SipRequest {
  const headers = Object.entries(rows).map(([name, value]) => ({ name, value }));
  return { kind: "request", method: "INVITE", uri: "sip:b@x", headers, body: Buffer.from(body) };
}

const part = (type: string, body = SDP, ...rows: string[]) =>
  [`--x`, `Content-Type: ${type}`, ...rows, "", body].join("\r\n");
const mixed = (...parts: string[]) =>
  message({ "Content-Type": "multipart/mixed; boundary=x" }, `${parts.join("\r\n")}\r\n--x--\r\n`);

const CASES: readonly [name: string, message: SipRequest, found: string][] = [
  ["no body", message({ "Content-Type": "application/sdp" }, ""), "absent"],
  ["a description", message({ "Content-Type": "application/sdp" }), "clear v=0"],
  ["a description by its short name", message({ c: "Application/SDP;charset=utf-8" }), "clear v=0"],
  ["a body of no type, which is a description", message({}), "clear v=0"],
  ["a sealed body", message({ "Content-Type": "application/pkcs7-mime;smime-type=x" }), "sealed"],
  ["the old name of that", message({ "Content-Type": "application/x-pkcs7-mime" }), "sealed"],
  ["text", message({ "Content-Type": "text/plain" }), "absent"],
  [
    "media of an early session (RFC 3959)",
    message({ "Content-Type": "application/sdp", "Content-Disposition": "early-session" }),
    "absent",
  ],
  [
    "a description that is compressed",
    message({ "Content-Type": "application/sdp", "Content-Encoding": "gzip" }),
    "clear ?",
  ],
  ["one part", mixed(part("application/sdp")), "clear v=0"],
  ["one part among others", mixed(part("text/plain", "a"), part("application/sdp")), "clear v=0"],
  ["no such part", mixed(part("text/plain", "a")), "absent"],
  ["two of them", mixed(part("application/sdp"), part("application/sdp")), "clear ?"],
  [
    "an early session's beside the call's own",
    mixed(
      part("application/sdp"),
      part("application/sdp", "v=1\r\n", "Content-Disposition: early-session;handling=optional"),
    ),
    "clear v=0",
  ],
  [
    "a part in a part",
    mixed(
      part(
        "multipart/alternative;boundary=y",
        `--y\r\nContent-Type: application/sdp\r\n\r\n${SDP}\r\n--y--`,
      ),
    ),
    "clear v=0",
  ],
  [
    "a part in base64",
    mixed(part("application/sdp", "dj0wDQo=", "Content-Transfer-Encoding: base64")),
    "clear v=0",
  ],
  [
    "a multipart that never ends",
    message({ "Content-Type": "multipart/mixed;boundary=x" }, "--x"),
    "clear ?",
  ],
  [
    "a multipart without a boundary",
    message({ "Content-Type": "multipart/mixed" }, "--x"),
    "clear ?",
  ],
];

for (const [name, made, found] of CASES)
  test(`${name}: ${found}`, () => {
    const body = sessionBody(made);
    const said = body.kind === "clear" ? ` ${body.sdp?.toString().trim() ?? "?"}` : "";
    assert.equal(`${body.kind}${said}`, found);
  });
