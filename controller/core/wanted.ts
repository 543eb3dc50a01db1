/**
 * What a dialog's session is to let through and have recorded, by what is agreed on, what is only
 * offered, and what media has just left. Pure.
 */
import type { Agreement, Offer } from "./agreement.ts";
import type { CallRules } from "./call-port.ts";
import { bounded, type Wanted } from "./leg-session.ts";
import { isInside } from "./media-end.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { Negotiation } from "./negotiation.ts";
import { otherSide, type Side } from "./party.ts";
import { destinationOf, openingsOfOffer } from "./pinholes.ts";
import { streamsOfOffer } from "./recording-order.ts";

type Rules = CallRules & { readonly policy: MediaPolicy };

/** @param next What is to be agreed on, in place of what was offered. */
export function wantedOf(negotiation: Negotiation, rules: Rules, next?: Agreement): Wanted {
  const { agreed, former, pending } = negotiation;
  if (next !== undefined && next !== agreed)
    return bounded(
      parts(next, undefined, pending?.previewed === true ? former : (agreed ?? former)),
    );
  const open = next === undefined && pending?.previewed === false ? pending.offer : undefined;
  return bounded(parts(agreed, open && offeredBeyond(open, agreed, rules), former));
}

/** What the offer alone asks for, before any answer. */
export const wantedOfOffer = (offer: Offer, rules: Rules): Wanted =>
  bounded([offeredBeyond(offer, undefined, rules)]);

function parts(
  agreed: Agreement | undefined,
  offered: Wanted | undefined,
  former: Agreement | undefined,
): readonly Wanted[] {
  const left = former === undefined ? undefined : { openings: former.openings, drafts: [] };
  return [agreed, offered, left].filter((part) => part !== undefined);
}

/** What an offer asks for beyond what is agreed on: a place that stays is open already. */
function offeredBeyond(offer: Offer, agreed: Agreement | undefined, rules: Rules): Wanted {
  const { by, media } = offer;
  const present = new Set(agreed?.openings.map(destinationOf));
  const ends = media.streams.map((stream) => ({
    index: stream.index,
    media: stream.offer.media,
    end: stream.offerer,
  }));
  const openings = openingsOfOffer(by, ends, insideOf(otherSide(by), agreed, rules)).filter(
    (opening) => !present.has(destinationOf(opening)),
  );
  const led = new Set(openings.map(destinationOf));
  const drafts = streamsOfOffer(by, media.streams).filter(({ destination }) =>
    led.has(destinationOf({ to: destination })),
  );
  return { openings, drafts };
}

/** Where a party may be inside: its own addresses, and those that it uses now. */
function insideOf(
  side: Side,
  agreed: Agreement | undefined,
  { parties, policy }: Rules,
): readonly string[] {
  const own = parties[side].addresses.filter((address) => isInside(address, policy));
  const used = (agreed?.streams ?? []).flatMap((stream) => {
    const end = stream[side];
    return end?.inside === true ? [end.address] : [];
  });
  return [...new Set([...own, ...used])];
}
