/**
 * The judgement on an offer or an answer within its dialog. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Agreement, Offer } from "./agreement.ts";
import {
  type Content,
  type JudgeContext,
  type Judgement,
  judgeAnswer,
  judgeOffer,
} from "./inspection.ts";
import type { Matter } from "./leg-port.ts";
import type { Negotiation } from "./negotiation.ts";
import type { Verdict } from "./verdict.ts";

/** What it comes to, keys and all. */
export function judgeMatter(
  { role, carrier }: Matter,
  content: Content,
  { agreed }: Negotiation,
  { names, rules }: Pick<JudgeContext, "names" | "rules">,
  now: Millis,
): Judgement<Offer | Agreement, Verdict> {
  const opened = role.kind === "offer" ? agreed : role.pending.offer;
  if (content.kind === "clear" && opened?.sealed === true)
    return { kind: "refused", verdict: IN_CLEAR[role.kind] };
  const { by, message } = carrier;
  const before = (index: number) => agreed?.streams.find((each) => each.index === index)?.[by];
  const context = { message, by, names, rules, before };
  if (role.kind === "offer") return judgeOffer(content, context, now);
  const { offer } = role.pending;
  // What passed unopened has no answer to be judged.
  if (offer === undefined) throw new TypeError("an answer to no offer");
  return judgeAnswer(content, offer, context, now);
}

/** What was sealed once is not agreed on in clear. */
const IN_CLEAR = { offer: "offer-in-clear", answer: "answer-in-clear" } as const;
