/**
 * Offers and agreements of one dialog as the gateway and the recorder need them (RFC 3264). Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { MediaDescription } from "../../protocol/sdp/session-description.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { SavedDialog, SavedEnd, SavedStream } from "./call-snapshot.ts";
import { isInside, type MediaEnd } from "./media-end.ts";
import type { AnsweredStream, MediaPolicy, OfferedMedia } from "./media-policy.ts";
import type { Side } from "./party.ts";
import {
  endsBySide,
  type Opening,
  openingsOfStream,
  passesHere,
  sameOpenings,
  type TwoEnds,
} from "./pinholes.ts";
import { type DraftStream, sameDrafts, streamsOfAnswer } from "./recording-order.ts";

/** An offer that was granted. */
export interface Offer {
  readonly by: Side;
  readonly sealed: boolean;
  readonly media: OfferedMedia;
  /** Of a sealed one: what its answer is opened with. */
  readonly firstKey?: FirstKey;
  readonly secrets: readonly Secret[];
}

/** What offer and answer together let flow. */
export interface Agreement {
  readonly by: Side;
  readonly sealed: boolean;
  readonly streams: readonly TwoEnds[];
  readonly openings: readonly Opening[];
  /** Empty for one that was agreed on before a restart: its keys are gone. */
  readonly drafts: readonly DraftStream[];
  readonly secrets: readonly Secret[];
}

/** @param keys Every key in the answer. */
export function agreementOf(
  offer: Offer,
  answered: readonly AnsweredStream[],
  keys: readonly Secret[],
): Agreement {
  const { by, sealed } = offer;
  const agreed = answered.map((stream) => {
    const { index, offerer, answerer, mux } = stream;
    const media = stream.offer.media;
    const ends: TwoEnds = { index, media, ...endsBySide(by, offerer, answerer) };
    const passes = passesHere(ends) && offerer !== undefined && answerer !== undefined;
    const drafts = passes ? streamsOfAnswer(by, stream, { offerer, answerer }) : [];
    return { ends, openings: openingsOfStream(ends, mux), drafts };
  });
  return {
    by,
    sealed,
    streams: agreed.map(({ ends }) => ends),
    openings: agreed.flatMap(({ openings }) => openings),
    drafts: agreed.flatMap(({ drafts }) => drafts),
    secrets: [...offer.secrets, ...keys],
  };
}

/** True if neither gateway nor recorder would notice the difference. */
export const sameAgreement = (one: Agreement, other: Agreement): boolean =>
  one.sealed === other.sealed &&
  sameOpenings(one.openings, other.openings) &&
  sameDrafts(one.drafts, other.drafts);

/** Every key in some streams. */
export const secretsOf = (media: readonly MediaDescription[]): readonly Secret[] =>
  media.flatMap(({ crypto }) => crypto.map(({ masterKeySalt }) => masterKeySalt));

/** An agreement without its keys. */
export const saveAgreement = (agreement: Agreement): SavedDialog["agreed"] => ({
  by: agreement.by,
  sealed: agreement.sealed,
  streams: agreement.streams.map(({ index, media, caller, callee }) => ({
    index,
    media,
    caller: saveEnd(caller),
    callee: saveEnd(callee),
    mux: !agreement.openings.some((each) => each.index === index && each.component === "rtcp"),
  })),
});

export function restoreAgreement(
  { by, sealed, streams }: SavedDialog["agreed"] & object,
  policy: MediaPolicy,
): Agreement {
  const restored = streams.map((stream) => ({
    ends: restoreEnds(stream, policy),
    mux: stream.mux,
  }));
  return {
    by,
    sealed,
    streams: restored.map(({ ends }) => ends),
    openings: restored.flatMap(({ ends, mux }) => openingsOfStream(ends, mux)),
    drafts: [],
    secrets: [],
  };
}

const restoreEnds = (saved: SavedStream, policy: MediaPolicy): TwoEnds => ({
  index: saved.index,
  media: saved.media,
  caller: restoreEnd(saved.caller, policy),
  callee: restoreEnd(saved.callee, policy),
});

const saveEnd = (end: MediaEnd | undefined): SavedEnd | null =>
  end === undefined ? null : { address: end.address, rtpPort: end.rtpPort, rtcpPort: end.rtcpPort };

const restoreEnd = (saved: SavedEnd | null, policy: MediaPolicy): MediaEnd | undefined =>
  saved === null ? undefined : { ...saved, inside: isInside(saved.address, policy) };
