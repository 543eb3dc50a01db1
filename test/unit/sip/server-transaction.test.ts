/**
 * The server machines of RFC 3261 §17.2, arrow by arrow: figure 7 as RFC 6026 redraws it, and
 * figure 8. T1 is 500 ms. Time is an argument: nothing sleeps.
 */
import { InviteServer } from "../../../protocol/sip/invite-server.ts";
import { NonInviteServer } from "../../../protocol/sip/non-invite-server.ts";
import {
  type ServerInput,
  DEFAULT_SIP_TIMERS as timers,
} from "../../../protocol/sip/transaction.ts";
import {
  type Arrow,
  ack,
  again,
  broken,
  check,
  invite,
  respond,
  T,
  tick,
} from "./transaction-arrows.ts";

const FIGURE_7: readonly Arrow<ServerInput>[] = [
  [
    "INVITE: Proceeding; 100 if TU says nothing within 200 ms",
    "UT",
    [
      [0, again, [], 200],
      [199, tick, [], 200],
      [200, tick, ["send 100"]],
    ],
  ],
  [
    "Proceeding, INVITE: the last provisional response again",
    "UT",
    [
      [200, tick, ["send 100"]],
      [210, again, ["send 100"]],
      [300, respond(180), ["send 180"]],
      [310, again, ["send 180"]],
    ],
  ],
  [
    "Proceeding, 101-199 from TU: sent, and no 100 after it",
    "UT",
    [
      [10, respond(180), ["send 180"]],
      [200, tick, []],
      [300, respond(183), ["send 183"]],
    ],
  ],
  ["Proceeding, 2xx from TU: Accepted", "UT", [[10, respond(200), ["send 200"], 32_010]]],
  ["Proceeding, 300-699 from TU: Completed", "U", [[10, respond(486), ["send 486"], 510]]],
  [
    "Proceeding, 300-699 from TU: Completed, without Timer G",
    "T",
    [
      [10, respond(486), ["send 486"], 32_010],
      [510, tick, [], 32_010],
    ],
  ],
  [
    "Proceeding, transport error: TU told, Terminated",
    "T",
    [
      [10, broken, ["failed transport", "ended"]],
      [20, broken, []],
      [20, again, []],
    ],
  ],
  [
    "Proceeding, transport error: a datagram lost, to be asked for again",
    "U",
    [
      [10, respond(180), ["send 180"]],
      [11, broken, []],
      [500, again, ["send 180"]],
    ],
  ],
  ["Proceeding: an ACK is nobody's", "UT", [[0, ack, [], 200]]],
  [
    "Completed, INVITE: the response again",
    "UT",
    [
      [0, respond(486), ["send 486"], Number.NaN],
      [20, again, ["send 486"], Number.NaN],
    ],
  ],
  [
    "Completed, Timer G: the response again, each time after twice as long up to T2",
    "U",
    [
      [0, respond(486), ["send 486"], 500],
      [500, tick, ["send 486"], 1_500],
      [1_500, tick, ["send 486"], 3_500],
      [3_500, tick, ["send 486"], 7_500],
      [7_500, tick, ["send 486"], 11_500],
      [11_500, tick, ["send 486"], 15_500],
      [T, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "Completed, Timer H: TU told, Terminated",
    "T",
    [
      [0, respond(486), ["send 486"], T],
      [T, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "Completed, further responses of TU: swallowed",
    "UT",
    [
      [0, respond(486), ["send 486"], Number.NaN],
      [10, respond(200), [], Number.NaN],
      [10, respond(180), [], Number.NaN],
    ],
  ],
  [
    "Completed, transport error: Terminated",
    "T",
    [
      [0, respond(486), ["send 486"], T],
      [10, broken, ["ended"]],
    ],
  ],
  [
    "Completed, transport error: a datagram lost, Timer G sends another",
    "U",
    [
      [0, respond(486), ["send 486"], 500],
      [10, broken, [], 500],
      [500, tick, ["send 486"], 1_500],
    ],
  ],
  [
    "Completed, ACK: Confirmed, which swallows ACK and INVITE; Timer I: Terminated",
    "U",
    [
      [0, respond(486), ["send 486"], 500],
      [100, ack, [], 5_100],
      [200, ack, [], 5_100],
      [300, again, [], 5_100],
      [500, tick, [], 5_100],
      [5_100, tick, ["ended"]],
      [5_200, ack, []],
    ],
  ],
  [
    "Completed, ACK: Confirmed and, with a Timer I of nothing, Terminated",
    "T",
    [
      [0, respond(486), ["send 486"], T],
      [100, ack, ["ended"]],
      [200, ack, []],
    ],
  ],
  [
    "Accepted, INVITE: swallowed",
    "UT",
    [
      [0, respond(200), ["send 200"], T],
      [500, again, [], T],
    ],
  ],
  [
    "Accepted, 2xx from TU: sent; others are not",
    "UT",
    [
      [0, respond(200), ["send 200"], T],
      [500, respond(200), ["send 200"], T],
      [500, respond(486), [], T],
      [500, respond(180), [], T],
    ],
  ],
  [
    "Accepted, ACK: to TU",
    "UT",
    [
      [0, respond(200), ["send 200"], T],
      [10, ack, ["deliver-ack"], T],
      [500, ack, ["deliver-ack"], T],
    ],
  ],
  [
    "Accepted, Timer L: Terminated",
    "UT",
    [
      [0, respond(200), ["send 200"], T],
      [31_999, tick, [], T],
      [T, tick, ["ended"]],
      [32_020, ack, []],
      [32_030, again, []],
      [32_040, tick, []],
      [32_050, respond(200), []],
    ],
  ],
  [
    "Accepted, transport error: Terminated",
    "T",
    [
      [0, respond(200), ["send 200"], T],
      [1, broken, ["ended"]],
    ],
  ],
  [
    "Accepted, transport error: a datagram lost, TU sends another",
    "U",
    [
      [0, respond(200), ["send 200"], T],
      [1, broken, [], T],
      [500, respond(200), ["send 200"], T],
    ],
  ],
];

const FIGURE_8: readonly Arrow<ServerInput>[] = [
  ["Trying, request: swallowed", "UT", [[0, again, []]]],
  ["Trying, 1xx from TU: Proceeding", "UT", [[1, respond(100), ["send 100"]]]],
  ["Trying, 200-699 from TU: Completed", "U", [[1, respond(200), ["send 200"], 32_001]]],
  [
    "Trying, 200-699 from TU: Completed and, with a Timer J of nothing, Terminated",
    "T",
    [
      [1, respond(404), ["send 404", "ended"]],
      [2, again, []],
      [3, respond(200), []],
      [4, tick, []],
    ],
  ],
  [
    "Trying, transport error: TU told, Terminated",
    "T",
    [
      [0, broken, ["failed transport", "ended"]],
      [1, broken, []],
    ],
  ],
  [
    "Proceeding, request: the last provisional response again",
    "UT",
    [
      [1, respond(100), ["send 100"]],
      [2, again, ["send 100"]],
      [3, respond(183), ["send 183"]],
      [4, again, ["send 183"]],
    ],
  ],
  [
    "Proceeding, 200-699 from TU: Completed",
    "U",
    [
      [1, respond(100), ["send 100"]],
      [2, respond(699), ["send 699"], 32_002],
    ],
  ],
  [
    "Proceeding, transport error: TU told, Terminated",
    "T",
    [
      [1, respond(100), ["send 100"]],
      [2, broken, ["failed transport", "ended"]],
    ],
  ],
  [
    "Proceeding, transport error: a datagram lost, to be asked for again",
    "U",
    [
      [1, respond(100), ["send 100"]],
      [2, broken, []],
      [500, again, ["send 100"]],
    ],
  ],
  [
    "Completed, request: the response again; further ones of TU are swallowed",
    "U",
    [
      [0, respond(200), ["send 200"], T],
      [1, again, ["send 200"], T],
      [2, respond(400), [], T],
      [3, broken, [], T],
      [4, again, ["send 200"], T],
    ],
  ],
  [
    "Completed, Timer J: Terminated",
    "U",
    [
      [0, respond(200), ["send 200"], T],
      [31_999, tick, [], T],
      [T, tick, ["ended"]],
      [T, again, []],
    ],
  ],
];

check("figure 7", FIGURE_7, (reliable) => new InviteServer(invite, { timers, reliable }, 0));
check("figure 8", FIGURE_8, (reliable) => new NonInviteServer({ timers, reliable }));
