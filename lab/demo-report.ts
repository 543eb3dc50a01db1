/** What `keyhole demo --json` writes: every figure as it was measured in this run. */
import type { MediaFigures } from "./media-figures.ts";
import type { Phase, PinholeMatrix } from "./pinhole-matrix.ts";
import type { Findings } from "./wire-tap.ts";

/** One sealed call and its recording. */
export interface CallFigures {
  readonly bodySha256: { readonly alice: string; readonly bob: string; readonly equal: boolean };
  readonly media: {
    readonly aliceToBob: MediaFigures;
    readonly bobToAlice: MediaFigures;
  };
  readonly recording: {
    readonly id: string;
    readonly verdict: string;
    readonly verified: boolean;
    readonly wav: string;
    readonly pcapng: string;
    readonly durationMs: number;
    readonly samplesEqual: boolean;
  };
}

/** The figures of all calls; the first call's stand at the top. */
export interface DemoFigures extends CallFigures {
  /** An SRTP key or a line of SDP was found in the signalling of a sealed call. */
  readonly sdpSeenOutsideTrusted: boolean;
  readonly search: {
    readonly sealed: Findings;
    readonly patent: Findings;
    /** The same search of a call in clear: it must find everything. */
    readonly control: Findings;
  };
  /** Keys and SDP found in the logs, as `log: name`; the names are no secret. */
  readonly seenInLogs: readonly string[];
  readonly pinholes: Readonly<Record<Phase, PinholeMatrix>>;
  /** The same call in the patent's form, without test packets. */
  readonly patentCall: CallFigures;
}

export interface DemoOutcome {
  /** Everything that was shown held. */
  readonly ok: boolean;
  /** What did not. */
  readonly failures: readonly string[];
  /** Installing what was missing, before the demo proper. */
  readonly setupMs: number;
  readonly runMs: number;
}

/** A demo that broke off has only its outcome to tell. */
export type DemoReport = DemoOutcome & Partial<DemoFigures>;
