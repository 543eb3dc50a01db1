/** Session timers at a proxy, rule by rule (RFC 4028 §8), and the two header fields (§4, §5). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { findParam } from "../../../protocol/sip/grammar.ts";
import {
  appendHeader,
  headerValue,
  headerValues,
  type SipMessage,
  type SipRequest,
} from "../../../protocol/sip/message.ts";
import {
  MIN_INTERVAL_S,
  minSe,
  serializeSessionExpires,
  sessionExpires,
} from "../../../protocol/sip/session-expires.ts";
import {
  isSessionRequest,
  type SessionTimerPolicy,
  timeRequest,
  timeResponse,
} from "../../../protocol/sip/session-timer.ts";
import { reply, rows, sampleRequest } from "./sample.ts";

const withRows = <M extends SipMessage>(message: M, lines: readonly string[]): M =>
  rows(...lines).reduce((made, { name, value }) => appendHeader(made, name, value), message);
const request = (lines: readonly string[], method = "INVITE"): SipRequest =>
  withRows(sampleRequest(method), lines);

/** `Session-Expires / Min-SE`, dashes for none, or the refusal. */
function timingWord(lines: readonly string[], policy: SessionTimerPolicy, method?: string): string {
  const timing = timeRequest(request(lines, method), policy);
  if (timing.kind === "refuse") return `${timing.status} ${timing.minSeS}`;
  const value = (name: string): string => headerValue(timing.request, name) ?? "-";
  return `${value("Session-Expires")} / ${value("Min-SE")}`;
}

const WATCHES: SessionTimerPolicy = { minSeS: 90 };
const WANTS: SessionTimerPolicy = { expiresS: 1_800, minSeS: 90 };
const STRICT: SessionTimerPolicy = { expiresS: 1_800, minSeS: 600 };
const TIMER = "Supported: 100rel, timer";

type RequestRow = readonly [
  what: string,
  lines: readonly string[],
  policy: SessionTimerPolicy,
  expected: string,
  method?: string,
];

const REQUESTS: readonly RequestRow[] = [
  ["none asked, none wanted", [], WATCHES, "- / -"],
  ["8.1 none asked: put in, without refresher", [TIMER], WANTS, "1800 / -"],
  ["8.1 none asked, caller without timers: put in all the same", [], WANTS, "1800 / -"],
  ["8.1 what is put in keeps above Min-SE", [TIMER, "Min-SE: 3600"], WANTS, "3600 / 3600"],
  ["8.1 an UPDATE refreshes as well", [TIMER], WANTS, "1800 / -", "UPDATE"],
  ["no other method", [TIMER], WANTS, "- / -", "BYE"],
  ["8.1 more than wanted: lowered", [TIMER, "Session-Expires: 7200"], WANTS, "1800 / -"],
  [
    "8.1 lowered; the caller's refresher stays",
    [TIMER, "x: 7200;refresher=UAS;a=b"],
    WANTS,
    "1800;refresher=UAS;a=b / -",
  ],
  [
    "8.1 lowered, but not below Min-SE",
    [TIMER, "Session-Expires: 7200", "Min-SE: 3000"],
    WANTS,
    "3000 / 3000",
  ],
  [
    "8.1 lowered, but not below our own least",
    [TIMER, "Session-Expires: 7200"],
    { expiresS: 100, minSeS: 600 },
    "600 / -",
  ],
  [
    "8.1 never raised for being less than wanted",
    [TIMER, "Session-Expires: 900"],
    WANTS,
    "900 / -",
  ],
  [
    "8.1 as wanted: as it came",
    [TIMER, "Session-Expires: 1800;refresher=uac"],
    WANTS,
    "1800;refresher=uac / -",
  ],
  ["watched only: as it came", ["Session-Expires: 7200"], WATCHES, "7200 / -"],
  ["8.1 too short, caller speaks timers: 422", [TIMER, "Session-Expires: 599"], STRICT, "422 600"],
  ["8.1 just long enough", [TIMER, "Session-Expires: 600"], STRICT, "600 / -"],
  [
    "8.1 Require tells as well that it speaks timers",
    ["Require: TIMER", "Session-Expires: 100"],
    STRICT,
    "422 600",
  ],
  [
    "8.1 too short, caller without timers: raised, with Min-SE",
    ["Session-Expires: 100"],
    STRICT,
    "600 / 600",
  ],
  [
    "8.1 raised to the Min-SE that is there",
    ["Session-Expires: 100", "Min-SE: 700"],
    STRICT,
    "700 / 700",
  ],
  [
    "8.1 a lower Min-SE is raised with it",
    ["Session-Expires: 100", "Min-SE: 95"],
    STRICT,
    "600 / 600",
  ],
  ["5 nothing is below 90 s", [TIMER, "Session-Expires: 10"], { minSeS: 0 }, "422 90"],
  [
    "Min-SE of the caller alone is no reason to refuse",
    [TIMER, "Session-Expires: 700", "Min-SE: 5000"],
    STRICT,
    "700 / 5000",
  ],
  ["unreadable: left alone", [TIMER, "Session-Expires: soon"], STRICT, "soon / -"],
  [
    "unreadable Min-SE: left alone",
    [TIMER, "Session-Expires: 10", "Min-SE: -1"],
    STRICT,
    "10 / -1",
  ],
];

for (const [what, lines, policy, expected, method] of REQUESTS)
  test(`request: ${what}`, () => assert.equal(timingWord(lines, policy, method), expected));

const NOW = 1_000_000;
const after = (seconds: number): number => NOW + seconds * 1_000;

type ResponseRow = readonly [
  what: string,
  asked: readonly string[],
  policy: SessionTimerPolicy,
  status: number,
  answered: readonly string[],
  sessionExpires: string | undefined,
  require: readonly string[],
  expiresAt: number | undefined,
];

const RESPONSES: readonly ResponseRow[] = [
  [
    "both speak timers: the callee's word counts",
    [TIMER],
    WANTS,
    200,
    ["Session-Expires: 900;refresher=uas", "Require: timer"],
    "900;refresher=uas",
    ["timer"],
    after(900),
  ],
  [
    "only the callee does: it refreshes",
    [],
    WANTS,
    200,
    ["Session-Expires: 1800;refresher=uas"],
    "1800;refresher=uas",
    [],
    after(1_800),
  ],
  [
    "8.2 only the caller does: told to refresh",
    [TIMER],
    WANTS,
    200,
    [],
    "1800;refresher=uac",
    ["timer"],
    after(1_800),
  ],
  [
    "8.2 told beside another requirement",
    [TIMER],
    WANTS,
    200,
    ["Require: 100rel"],
    "1800;refresher=uac",
    ["100rel", "timer"],
    after(1_800),
  ],
  [
    "8.2 told what the request said as it went on",
    [TIMER, "Session-Expires: 7200"],
    WANTS,
    200,
    [],
    "1800;refresher=uac",
    ["timer"],
    after(1_800),
  ],
  ["8.2 nobody does: no end", [], WANTS, 200, [], undefined, [], undefined],
  ["nothing asked: nothing told", [TIMER], WATCHES, 200, [], undefined, [], undefined],
  [
    "nothing asked, yet answered: it counts",
    [],
    WATCHES,
    200,
    ["Session-Expires: 300;refresher=uas"],
    "300;refresher=uas",
    [],
    after(300),
  ],
  [
    "less than may be said counts as the least",
    [TIMER],
    WANTS,
    200,
    ["Session-Expires: 1"],
    "1",
    [],
    after(MIN_INTERVAL_S),
  ],
  [
    "unreadable: as it came, no end",
    [TIMER],
    WANTS,
    200,
    ["Session-Expires: ?"],
    "?",
    [],
    undefined,
  ],
];

for (const [what, asked, policy, status, answered, expires, required, expiresAt] of RESPONSES)
  test(`response: ${what}`, () => {
    const invite = request(asked);
    const timing = timeRequest(invite, policy);
    assert.ok(timing.kind === "forward");
    const told = timeResponse(withRows(reply(invite, status), answered), timing.timed, NOW);
    assert.ok(told.isAnswer);
    assert.equal(headerValue(told.response, "Session-Expires"), expires);
    assert.deepEqual(headerValues(told.response, "Require"), required);
    assert.equal(told.expiresAt, expiresAt);
  });

test("what is no 2xx says nothing of the session and passes as the object that came", () => {
  for (const status of [180, 302, 408, 422, 481, 491, 500]) {
    const invite = request([TIMER]);
    const timing = timeRequest(invite, WANTS);
    assert.ok(timing.kind === "forward");
    const response = reply(invite, status);
    const told = timeResponse(response, timing.timed, NOW);
    assert.equal(told.response, response);
    assert.equal(told.isAnswer, false);
  }
});

test("a second proxy finds what the first put in and changes nothing", () => {
  const invite = request([TIMER]);
  const [near, far] = [
    { expiresS: 1_800, minSeS: 90 },
    { expiresS: 3_600, minSeS: 90 },
  ];
  const first = timeRequest(invite, near);
  assert.ok(first.kind === "forward");
  const second = timeRequest(first.request, far);
  assert.ok(second.kind === "forward");
  assert.equal(second.request, first.request);
  const back = timeResponse(reply(invite, 200), second.timed, NOW);
  const home = timeResponse(back.response, first.timed, NOW);
  assert.equal(home.response, back.response);
  assert.equal(home.expiresAt, back.expiresAt);
});

test("only INVITE and UPDATE begin or refresh a session (2)", () => {
  const methods = ["INVITE", "UPDATE", "BYE", "INFO", "PRACK", "ACK", "invite"];
  const found = methods.filter((method) => isSessionRequest(sampleRequest(method)));
  assert.deepEqual(found, ["INVITE", "UPDATE"]);
});

const VALUES: readonly (readonly [
  value: string,
  intervalS: number | undefined,
  refresher?: string,
])[] = [
  ["4000;refresher=uac", 4_000, "uac"],
  ["90 ; refresher = UAS", 90, "uas"],
  ["1800;refresher=proxy", 1_800, "proxy"],
  ["4294967295", 4_294_967_295],
  ["4294967296", undefined],
  ["", undefined],
  ["-90", undefined],
  ["1e3", undefined],
  ["90 refresher=uac", undefined],
  ["90;;", undefined],
];

for (const [value, intervalS, refresher] of VALUES)
  test(`Session-Expires "${value}": ${intervalS ?? "none"}`, () => {
    const message = request([`Session-Expires: ${value}`]);
    if (intervalS === undefined) {
      assert.throws(
        () => sessionExpires(message),
        (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
      );
      return;
    }
    const parsed = sessionExpires(message);
    assert.ok(parsed !== undefined);
    assert.equal(parsed.intervalS, intervalS);
    assert.equal(findParam(parsed.params, "refresher")?.value?.toLowerCase(), refresher);
    const again = sessionExpires(request([`x: ${serializeSessionExpires(parsed)}`]));
    assert.deepEqual(again, parsed);
  });

test("Min-SE with parameters", () => assert.equal(minSe(request(["Min-SE: 120;x=y"])), 120));
