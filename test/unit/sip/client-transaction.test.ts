/**
 * The client machines of RFC 3261 §17.1, arrow by arrow: figure 5 as RFC 6026 redraws it, and
 * figure 6. T1 is 500 ms. Time is an argument: nothing sleeps.
 */
import { InviteClient, type InviteClientInput } from "../../../protocol/sip/invite-client.ts";
import { NonInviteClient } from "../../../protocol/sip/non-invite-client.ts";
import {
  type ClientInput,
  DEFAULT_SIP_TIMERS as timers,
} from "../../../protocol/sip/transaction.ts";
import {
  type Arrow,
  answer,
  broken,
  cancel,
  check,
  invite,
  options,
  type Step,
  start,
  T,
  tick,
} from "./transaction-arrows.ts";

const callingU: Step<InviteClientInput> = [0, start, ["send INVITE"], 500];
const callingT: Step<InviteClientInput> = [0, start, ["send INVITE"], T];
const ringing: Step<InviteClientInput> = [10, answer(180), ["deliver 180"]];

const FIGURE_5: readonly Arrow<InviteClientInput>[] = [
  ["INVITE from TU: Calling", "U", [callingU]],
  ["INVITE from TU: Calling, without Timer A", "T", [callingT, [500, tick, [], T]]],
  [
    "Calling, Timer A: INVITE again, each time after twice as long",
    "U",
    [
      callingU,
      [499, tick, [], 500],
      [500, tick, ["send INVITE"], 1_500],
      [1_500, tick, ["send INVITE"], 3_500],
      [3_500, tick, ["send INVITE"], 7_500],
      [7_500, tick, ["send INVITE"], 15_500],
      [15_500, tick, ["send INVITE"], 31_500],
      [31_500, tick, ["send INVITE"], T],
      [T, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "Calling, Timer B: TU told, Terminated",
    "T",
    [callingT, [31_999, tick, [], T], [T, tick, ["failed timeout", "ended"]]],
  ],
  [
    "Calling, transport error: TU told, Terminated",
    "U",
    [callingU, [1, broken, ["failed transport", "ended"]]],
  ],
  [
    "Calling, transport error: TU told, Terminated",
    "T",
    [callingT, [1, broken, ["failed transport", "ended"]]],
  ],
  [
    "Calling, 1xx: Proceeding, where Timers A and B are off",
    "U",
    [callingU, [10, answer(100), ["deliver 100"]], [500, tick, []], [T, tick, []]],
  ],
  ["Calling, 1xx: Proceeding, where Timer B is off", "T", [callingT, ringing, [T, tick, []]]],
  ["Calling, 2xx: Accepted", "U", [callingU, [10, answer(200), ["deliver 200"], 32_010]]],
  ["Calling, 2xx: Accepted", "T", [callingT, [10, answer(200), ["deliver 200"], 32_010]]],
  [
    "Calling, 300-699: ACK, Completed",
    "U",
    [callingU, [10, answer(302), ["send ACK", "deliver 302"], 32_010]],
  ],
  [
    "Calling, 300-699: ACK, Completed and, with a Timer D of nothing, Terminated",
    "T",
    [callingT, [10, answer(699), ["send ACK", "deliver 699", "ended"]], [20, answer(699), []]],
  ],
  [
    "Proceeding, 1xx: to TU",
    "T",
    [callingT, ringing, [20, answer(183), ["deliver 183"]], [30, answer(180), ["deliver 180"]]],
  ],
  [
    "Proceeding, 2xx: Accepted",
    "T",
    [callingT, ringing, [20, answer(200), ["deliver 200"], 32_020]],
  ],
  [
    "Proceeding, 300-699: ACK, Completed",
    "U",
    [callingU, ringing, [20, answer(486), ["send ACK", "deliver 486"], 32_020]],
  ],
  [
    "Proceeding, transport error: TU told, Terminated",
    "T",
    [
      callingT,
      ringing,
      [20, broken, ["failed transport", "ended"]],
      [30, broken, []],
      [30, cancel, []],
    ],
  ],
  [
    "Completed, 300-699: ACK again, nothing to TU",
    "U",
    [
      callingU,
      [10, answer(486), ["send ACK", "deliver 486"], 32_010],
      [20, answer(486), ["send ACK"], 32_010],
      [30, answer(503), ["send ACK"], 32_010],
    ],
  ],
  [
    "Completed: 1xx and 2xx change nothing",
    "U",
    [
      callingU,
      [10, answer(486), ["send ACK", "deliver 486"], 32_010],
      [20, answer(180), [], 32_010],
      [20, answer(200), [], 32_010],
    ],
  ],
  [
    "Completed, transport error: Terminated; TU has its answer",
    "U",
    [callingU, [10, answer(486), ["send ACK", "deliver 486"], 32_010], [20, broken, ["ended"]]],
  ],
  [
    "Completed, Timer D: Terminated",
    "U",
    [
      callingU,
      [10, answer(486), ["send ACK", "deliver 486"], 32_010],
      [32_009, tick, [], 32_010],
      [32_010, tick, ["ended"]],
      [32_020, answer(486), []],
    ],
  ],
  [
    "Accepted, 2xx: to TU, each copy and each fork",
    "T",
    [
      callingT,
      [10, answer(200), ["deliver 200"], 32_010],
      [20, answer(200), ["deliver 200"], 32_010],
      [30, answer(202), ["deliver 202"], 32_010],
    ],
  ],
  [
    "Accepted: everything else changes nothing",
    "U",
    [
      callingU,
      [10, answer(200), ["deliver 200"], 32_010],
      [20, answer(180), [], 32_010],
      [20, answer(486), [], 32_010],
      [20, cancel, [], 32_010],
      [500, tick, [], 32_010],
    ],
  ],
  [
    "Accepted, Timer M: Terminated",
    "T",
    [
      callingT,
      [10, answer(200), ["deliver 200"], 32_010],
      [32_010, tick, ["ended"]],
      [32_040, answer(200), []],
      [32_050, tick, []],
    ],
  ],
  [
    "Accepted, transport error: Terminated; TU has its answer",
    "T",
    [callingT, [10, answer(200), ["deliver 200"], 32_010], [20, broken, ["ended"]]],
  ],
  [
    "before the start nothing happens",
    "UT",
    [
      [0, tick, []],
      [0, answer(200), []],
    ],
  ],
];

const CANCEL: readonly Arrow<InviteClientInput>[] = [
  [
    "§9.1: CANCEL before a provisional response waits for one",
    "T",
    [
      callingT,
      [10, cancel, [], T],
      [20, answer(100), ["deliver 100", "send-cancel"], 32_020],
      [30, cancel, [], 32_020],
      [40, answer(487), ["send ACK", "deliver 487", "ended"]],
    ],
  ],
  [
    "§9.1: meanwhile the INVITE is still sent again",
    "U",
    [
      callingU,
      [10, cancel, [], 500],
      [500, tick, ["send INVITE"], 1_500],
      [600, answer(180), ["deliver 180", "send-cancel"], 32_600],
    ],
  ],
  [
    "§9.1: a final response needs no CANCEL any more",
    "T",
    [callingT, [10, cancel, [], T], [20, answer(486), ["send ACK", "deliver 486", "ended"]]],
  ],
  [
    "§9.1: CANCEL after a provisional response goes at once; unanswered, it is over in 64*T1",
    "T",
    [
      callingT,
      ringing,
      [20, cancel, ["send-cancel"], 32_020],
      [30, answer(183), ["deliver 183"], 32_020],
      [32_020, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "§9.1: the 200 may win against the CANCEL",
    "T",
    [
      callingT,
      ringing,
      [20, cancel, ["send-cancel"], 32_020],
      [30, answer(200), ["deliver 200"], 32_030],
    ],
  ],
];

const TIMER_C: readonly Arrow<InviteClientInput>[] = [
  [
    "§16.7 item 2, §16.8: renewed by ringing, not by 100; then CANCEL",
    "T",
    [
      callingT,
      [0, answer(100), ["deliver 100"], 200_000],
      [1_000, answer(100), ["deliver 100"], 200_000],
      [2_000, answer(180), ["deliver 180"], 202_000],
      [202_000, tick, ["send-cancel"], 234_000],
      [202_100, answer(200), ["deliver 200"], 234_100],
    ],
  ],
];

const proceedingU: Step<ClientInput> = [10, answer(100), ["deliver 100"], 500];
const tryingU: Step<ClientInput> = [0, start, ["send OPTIONS"], 500];
const tryingT: Step<ClientInput> = [0, start, ["send OPTIONS"], T];

const FIGURE_6: readonly Arrow<ClientInput>[] = [
  ["request from TU: Trying", "U", [tryingU]],
  ["request from TU: Trying, without Timer E", "T", [tryingT, [500, tick, [], T]]],
  [
    "Trying, Timer E: request again, each time after twice as long up to T2",
    "U",
    [
      tryingU,
      [500, tick, ["send OPTIONS"], 1_500],
      [1_500, tick, ["send OPTIONS"], 3_500],
      [3_500, tick, ["send OPTIONS"], 7_500],
      [7_500, tick, ["send OPTIONS"], 11_500],
      [11_500, tick, ["send OPTIONS"], 15_500],
    ],
  ],
  [
    "Trying, Timer F: TU told, Terminated",
    "UT",
    [
      [0, start, ["send OPTIONS"], Number.NaN],
      [T, tick, ["failed timeout", "ended"]],
      [T, tick, []],
    ],
  ],
  [
    "Trying, transport error: TU told, Terminated",
    "UT",
    [
      [0, start, ["send OPTIONS"], Number.NaN],
      [1, broken, ["failed transport", "ended"]],
      [2, broken, []],
    ],
  ],
  ["Trying, 1xx: Proceeding", "U", [tryingU, proceedingU]],
  ["Trying, 1xx: Proceeding", "T", [tryingT, [10, answer(100), ["deliver 100"], T]]],
  ["Trying, 200-699: Completed", "U", [tryingU, [10, answer(404), ["deliver 404"], 5_010]]],
  [
    "Trying, 200-699: Completed and, with a Timer K of nothing, Terminated",
    "T",
    [tryingT, [10, answer(200), ["deliver 200", "ended"]], [20, answer(200), []]],
  ],
  [
    "Proceeding, Timer E: request again, each time after T2",
    "U",
    [
      tryingU,
      proceedingU,
      [500, tick, ["send OPTIONS"], 4_500],
      [4_500, tick, ["send OPTIONS"], 8_500],
      [8_500, tick, ["send OPTIONS"], 12_500],
    ],
  ],
  [
    "Proceeding, Timer F: TU told, Terminated",
    "U",
    [tryingU, proceedingU, [T, tick, ["failed timeout", "ended"]]],
  ],
  [
    "Proceeding, Timer F: TU told, Terminated",
    "T",
    [
      tryingT,
      [10, answer(100), ["deliver 100"], T],
      [500, tick, [], T],
      [T, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "Proceeding, transport error: TU told, Terminated",
    "U",
    [tryingU, proceedingU, [20, broken, ["failed transport", "ended"]]],
  ],
  ["Proceeding, 1xx: to TU", "U", [tryingU, proceedingU, [20, answer(180), ["deliver 180"], 500]]],
  [
    "Proceeding, 200-699: Completed",
    "U",
    [tryingU, proceedingU, [20, answer(699), ["deliver 699"], 5_020]],
  ],
  [
    "Completed: responses are swallowed; Timer K: Terminated",
    "U",
    [
      tryingU,
      [10, answer(404), ["deliver 404"], 5_010],
      [20, answer(404), [], 5_010],
      [20, answer(100), [], 5_010],
      [500, tick, [], 5_010],
      [5_010, tick, ["ended"]],
    ],
  ],
  [
    "Completed, transport error: Terminated",
    "U",
    [tryingU, [10, answer(200), ["deliver 200"], 5_010], [20, broken, ["ended"]]],
  ],
];

check(
  "figure 5",
  FIGURE_5,
  (reliable) => new InviteClient(invite, { timers, reliable, timerC: false }),
);
check(
  "CANCEL",
  CANCEL,
  (reliable) => new InviteClient(invite, { timers, reliable, timerC: false }),
);
check(
  "Timer C",
  TIMER_C,
  (reliable) => new InviteClient(invite, { timers, reliable, timerC: true }),
);
check("figure 6", FIGURE_6, (reliable) => new NonInviteClient(options, { timers, reliable }));
