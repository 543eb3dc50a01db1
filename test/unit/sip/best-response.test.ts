/** Which final response wins (RFC 3261 §16.7 items 6 and 7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BestResponse,
  MAX_CHALLENGES,
  parseRetryAfter,
} from "../../../protocol/sip/best-response.ts";
import { appendHeader, headerValues, type SipResponse } from "../../../protocol/sip/message.ts";
import { reply, sampleRequest } from "./sample.ts";

const invite = sampleRequest("INVITE");

/** `own 408`, or the status of one that came. */
function best(statuses: readonly (number | "timeout" | "transport")[], cancelled = false): string {
  const responses = new BestResponse();
  for (const each of statuses)
    if (typeof each === "string") responses.addFailure(each);
    else responses.add(reply(invite, each));
  const chosen = responses.choose(cancelled);
  return `${chosen.kind === "own" ? "own " : ""}${chosen.status}`;
}

const CHOICES: readonly (readonly [Parameters<typeof best>[0], string])[] = [
  [[404, 603, 302], "603"],
  [[600, 603], "600"],
  [[404, 302], "302"],
  [[500, 404], "404"],
  [[486, 407], "407"],
  [[486, 401], "401"],
  [[493, 407], "407"],
  ...[415, 420, 422, 484, 493, 494, 495, 496, 488].map(
    (status) => [[486, 408, status], `${status}`] as const,
  ),
  [[404, 486], "404"],
  [[486, 404], "486"],
  [[480, 486], "486"],
  [["timeout", 486], "486"],
  [["timeout", 500], "own 408"],
  [["transport", "timeout"], "own 408"],
  [["transport", 500], "500"],
  [["transport", 503], "own 500"],
  [[503, 404], "404"],
  [[487, 408], "408"],
  [[430], "own 480"],
  [[430, 404], "404"],
  [[487], "487"],
  [[], "own 480"],
];

for (const [statuses, chosen] of CHOICES)
  test(`${statuses.join(", ") || "nothing"}: ${chosen}`, () =>
    assert.equal(best(statuses), chosen));

const AFTER_CANCEL: typeof CHOICES = [
  [[487], "487"],
  [["timeout"], "own 487"],
  [["transport"], "own 487"],
  [[480], "own 487"],
  [[486], "486"],
  [[603], "603"],
  [[], "own 487"],
];

for (const [statuses, chosen] of AFTER_CANCEL)
  test(`after CANCEL, ${statuses.join(", ") || "nothing"}: ${chosen}`, () =>
    assert.equal(best(statuses, true), chosen));

const challenge = (status: 401 | 407, ...realms: string[]): SipResponse =>
  realms.reduce(
    (made, realm) =>
      appendHeader(
        made,
        status === 401 ? "WWW-Authenticate" : "proxy-authenticate",
        `Digest realm="${realm}"`,
      ),
    reply(invite, status),
  );

test("the challenges of all branches go up together, in their order (item 7)", () => {
  const responses = new BestResponse();
  const first = challenge(407, "a", "b");
  responses.add(first);
  responses.add(challenge(401, "c"));
  responses.add(challenge(407, "d"));
  responses.add(reply(invite, 404));
  const chosen = responses.choose(false);
  assert.ok(chosen.kind === "response" && chosen.status === 407);
  assert.deepEqual(
    headerValues(chosen, "Proxy-Authenticate"),
    ["a", "b", "d"].map((realm) => `Digest realm="${realm}"`),
  );
  assert.deepEqual(headerValues(chosen, "WWW-Authenticate"), ['Digest realm="c"']);
  assert.deepEqual(chosen.headers.slice(0, first.headers.length), first.headers);
});

test("the only challenge passes as the very object that came", () => {
  const responses = new BestResponse();
  const only = challenge(401, "a");
  responses.add(only);
  assert.equal(responses.choose(false), only);
});

test("challenges beyond the limit are left out", () => {
  const responses = new BestResponse();
  responses.add(challenge(401, "first"));
  responses.add(challenge(401, ...Array.from({ length: 2 * MAX_CHALLENGES }, (_, n) => `${n}`)));
  const chosen = responses.choose(false);
  assert.ok(chosen.kind === "response");
  assert.equal(headerValues(chosen, "WWW-Authenticate").length, MAX_CHALLENGES);
});

for (const [value, seconds] of [
  ["0", 0],
  ["18000;duration=3600", 3_600],
  ["120 (I'm in a meeting)", 120],
  ["", undefined],
  ["-5", undefined],
  ["12h", undefined],
  ["Fri, 01 Jan 2027 00:00:00 GMT", undefined],
] as const)
  test(`Retry-After "${value}": ${seconds}`, () =>
    assert.equal(parseRetryAfter(appendHeader(reply(invite, 503), "Retry-After", value)), seconds));
