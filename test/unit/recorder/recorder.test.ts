import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CapturedPacket } from "../../../protocol/ingest/frames.ts";
import type { RecordingOrder } from "../../../protocol/ingest/order.ts";
import { type Completeness, completenessSchema } from "../../../recorder/core/completeness.ts";
import { PENDING_MS } from "../../../recorder/core/media-stream.ts";
import { metadataSchema } from "../../../recorder/core/metadata.ts";
import {
  AGENT_ABSENCE_MS,
  MAX_OPEN_RECORDINGS,
  Recorder,
} from "../../../recorder/core/recorder.ts";
import type { RecorderEffect, RecorderInput } from "../../../recorder/core/recorder-messages.ts";
import {
  type Counters,
  LINGER_MS,
  MAX_GAPS,
  MAX_STREAMS,
} from "../../../recorder/core/recording.ts";
import {
  ALICE,
  BOB,
  calleeStream,
  callerStream,
  capturedOf,
  NOW,
  OTHER_KEY,
  orderOf,
  RECORDING,
  rtpOf,
  senderOf,
} from "./call-fixture.ts";

/** A machine, its clock, and everything it did. */
class Bench {
  readonly machine = new Recorder();
  readonly effects: RecorderEffect[] = [];
  now = NOW;

  feed(...inputs: readonly RecorderInput[]): readonly RecorderEffect[] {
    const fresh = inputs.flatMap((input) => this.machine.handle(input, this.now));
    this.effects.push(...fresh);
    return fresh;
  }

  order(order: RecordingOrder, connection = 1, session = "s1"): readonly RecorderEffect[] {
    const { recording, revision } = order;
    return this.feed({ kind: "order", connection, id: revision, session, recording, order });
  }

  /** Offer and answer of a call, the file opened. */
  call(...streams: Parameters<typeof orderOf>[0]): void {
    this.order(orderOf(streams));
    this.feed({ kind: "opened", recording: RECORDING });
  }

  batch(...packets: readonly CapturedPacket[]): readonly RecorderEffect[] {
    return this.feed({ kind: "batch", packets });
  }

  close(counters: Counters = {}): readonly RecorderEffect[] {
    return this.feed({ kind: "close", session: "s1", reason: "bye", counters, exact: true });
  }

  /** The clock runs on to then, and the machine is woken as it asked. */
  until(then: number): readonly RecorderEffect[] {
    const fresh: RecorderEffect[] = [];
    for (
      let next = this.machine.deadline();
      next !== undefined && next <= then;
      next = this.machine.deadline()
    ) {
      this.now = Math.max(this.now, next);
      fresh.push(...this.feed({ kind: "tick" }));
    }
    this.now = then;
    return fresh;
  }
}

const reportOf = (effects: readonly RecorderEffect[]): Completeness => {
  const finish = effects.find(({ kind }) => kind === "finish");
  assert.ok(finish?.kind === "finish");
  return finish.completeness;
};
const kinds = (effects: readonly RecorderEffect[]) => effects.map(({ kind }) => kind);
const results = (effects: readonly RecorderEffect[]) =>
  effects.flatMap((effect) =>
    effect.kind === "reply" && effect.message.kind === "order-reply" ? [effect.message.result] : [],
  );
const written = (effects: readonly RecorderEffect[]) =>
  effects.flatMap((effect) => (effect.kind === "write-packets" ? effect.packets : []));
const countOf = (packets: number, to = BOB): Counters => ({
  p1: { packets, bytes: packets * 200, to },
});

describe("order", () => {
  it("opens a recording; it is accepted when the file is there", () => {
    const bench = new Bench();
    const opening = bench.order(orderOf([callerStream()]));
    assert.deepEqual(kinds(opening), ["open"]);
    assert.ok(opening[0]?.kind === "open");
    metadataSchema.parse(opening[0].metadata);
    assert.equal(JSON.stringify(opening).includes("WVNfX19z"), false);
    const opened = bench.feed({ kind: "opened", recording: RECORDING });
    assert.deepEqual(opened, [
      {
        kind: "reply",
        connection: 1,
        message: { kind: "order-reply", id: 1, result: "accepted" },
      },
    ]);
    assert.deepEqual(bench.feed({ kind: "opened", recording: RECORDING }), []);
  });

  it("is refused with the store's reason when it cannot be opened, every revision of it", () => {
    const bench = new Bench();
    bench.order(orderOf([callerStream()]));
    bench.order(orderOf([callerStream()], { revision: 2 }));
    const failed = bench.feed({ kind: "open-failed", recording: RECORDING, reason: "ENOSPC" });
    assert.deepEqual(results(failed), [{ refused: "ENOSPC" }, { refused: "ENOSPC" }]);
    assert.equal(bench.machine.openCount, 0);
    assert.deepEqual(bench.feed({ kind: "open-failed", recording: RECORDING, reason: "x" }), []);
    bench.batch(capturedOf(rtpOf(1)));
    assert.equal(bench.machine.strays.unmatched, 1);
  });

  it("is refused as io says, or if it names another recording", () => {
    const bench = new Bench();
    const base = {
      kind: "order",
      connection: 1,
      id: 1,
      session: "s1",
      recording: RECORDING,
    } as const;
    assert.deepEqual(results(bench.feed({ ...base, order: { refused: "sealed" } })), [
      { refused: "sealed" },
    ]);
    const other = orderOf([], { recording: RECORDING.replace("0b", "0c") });
    assert.match(
      JSON.stringify(results(bench.feed({ ...base, order: other }))),
      /another recording/,
    );
  });

  it("replaces the one before, is taken twice, and never goes back", () => {
    const bench = new Bench();
    bench.call(calleeStream({ protection: { kind: "pending" } }));
    const second = orderOf([calleeStream(), callerStream()], { revision: 2 });
    assert.deepEqual(kinds(bench.order(second)), ["write-metadata", "reply"]);
    assert.deepEqual(kinds(bench.order(second)), ["reply"]);
    assert.deepEqual(results(bench.order(orderOf([]))), [
      { refused: "revision 2 is known already" },
    ]);
  });

  it("is refused from another session, and once the recording is closed", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const again = orderOf([callerStream()], { revision: 2 });
    assert.deepEqual(results(bench.order(again, 1, "s2")), [
      { refused: "the recording belongs to another session" },
    ]);
    bench.close(countOf(5));
    assert.deepEqual(results(bench.order(again)), [{ refused: "the recording is closed" }]);
  });

  it("of a recording that is being closed asks for its report", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.close(countOf(5));
    bench.feed({ kind: "disconnected", connection: 1 });
    bench.order(orderOf([callerStream()]), 2);
    assert.deepEqual(kinds(bench.until(NOW + LINGER_MS)), ["finish"]);
    const [reply] = bench.feed({ kind: "finished", recording: RECORDING });
    assert.ok(reply?.kind === "reply" && reply.message.kind === "closed");
    assert.equal(reply.connection, 2);
  });

  it("is refused when too many recordings are open", () => {
    const bench = new Bench();
    for (let n = 0; n <= MAX_OPEN_RECORDINGS; n++) {
      const recording = RECORDING.slice(0, -4) + n.toString(16).padStart(4, "0");
      const effects = bench.order(orderOf([], { recording }));
      if (n < MAX_OPEN_RECORDINGS) assert.deepEqual(kinds(effects), ["open"]);
      else assert.match(JSON.stringify(effects), /recordings are open/);
    }
  });
});

describe("packets", () => {
  it("are stored with the stream they go to, and counted if they go to none", () => {
    const bench = new Bench();
    bench.call(callerStream(), calleeStream());
    const [alice, bob] = [senderOf(), senderOf(OTHER_KEY)];
    const effects = bench.batch(
      capturedOf(alice.protectRtp(rtpOf(1))),
      capturedOf(bob.protectRtp(rtpOf(1, { ssrc: 2 })), { from: BOB, to: ALICE }),
      capturedOf(rtpOf(1), { to: { ...BOB, port: 4000 } }),
      { captureMicros: 0, nflog: Buffer.from("rubbish") },
    );
    assert.equal(written(effects).length, 2);
    assert.deepEqual(bench.machine.strays, { unmatched: 1, malformed: 1 });
  });

  it("wait for the key of the answer, at most two seconds", () => {
    const bench = new Bench();
    bench.call(calleeStream({ protection: { kind: "pending" } }));
    const bob = senderOf(OTHER_KEY);
    const packet = (at: number) => capturedOf(bob.protectRtp(rtpOf(at)), { from: BOB, to: ALICE });
    assert.deepEqual(bench.batch(packet(1)), []);
    bench.now += 500;
    bench.batch(packet(2));
    assert.equal(written(bench.until(NOW + PENDING_MS)).length, 1);
    const answered = bench.order(orderOf([calleeStream()], { revision: 2 }));
    assert.equal(written(answered)[0]?.interfaceId, 0);
    const report = reportOf(bench.close(countOf(2, ALICE)));
    assert.equal(report.streams[0]?.rtp.undecrypted, 1);
    assert.equal(report.streams[0]?.rtp.stored, 1);
  });

  it("of a port used again go to the recording that had begun when they passed", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.close(countOf(2));
    bench.now += 100;
    const recording = RECORDING.replace("0b", "0c");
    bench.order(orderOf([callerStream()], { recording }), 1, "s2");
    const late = bench.batch(capturedOf(senderOf().protectRtp(rtpOf(1)), { ms: 50 }));
    assert.equal(late[0]?.kind === "write-packets" && late[0].recording, RECORDING);
    const fresh = bench.batch(capturedOf(senderOf().protectRtp(rtpOf(1)), { ms: 150 }));
    assert.equal(fresh[0]?.kind === "write-packets" && fresh[0].recording, recording);
  });
});

describe("a recorder that comes to a call late", () => {
  it("finds the rollover counter of a stream that has been going on for hours", () => {
    const bench = new Bench();
    const sender = senderOf();
    let at = 0;
    for (; at < 5 * 65_536; at += 30_000) sender.protectRtp(rtpOf(at));
    bench.order(orderOf([callerStream()], { revision: 2 }));
    bench.feed({ kind: "opened", recording: RECORDING });
    bench.batch(capturedOf(sender.protectRtp(rtpOf(at))));
    const report = reportOf(bench.close(countOf(1)));
    assert.equal(report.streams[0]?.rtp.authenticated, 1);
    assert.equal(report.streams[0]?.sources[0]?.firstIndex, at);
  });
});

describe("close", () => {
  it("ends at once when all that the kernel counted is there", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.batch(capturedOf(senderOf().protectRtp(rtpOf(1))));
    const effects = bench.close(countOf(1));
    assert.deepEqual(kinds(effects), ["finish"]);
    const report = reportOf(effects);
    assert.deepEqual(report.verdict, { kind: "complete" });
    completenessSchema.parse(report);
    const [reply] = bench.feed({ kind: "finished", recording: RECORDING });
    assert.ok(reply?.kind === "reply" && reply.message.kind === "closed");
    assert.deepEqual(reply.message.session, "s1");
    assert.equal(bench.machine.openCount, 0);
    assert.deepEqual(bench.feed({ kind: "finished", recording: RECORDING }), []);
  });

  it("waits for late packets, and ends with the last of them", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const sender = senderOf();
    assert.deepEqual(bench.close(countOf(2)), []);
    assert.deepEqual(kinds(bench.batch(capturedOf(sender.protectRtp(rtpOf(1))))), [
      "write-packets",
    ]);
    const last = bench.batch(capturedOf(sender.protectRtp(rtpOf(2))));
    assert.deepEqual(kinds(last), ["write-packets", "finish"]);
    assert.deepEqual(reportOf(last).verdict, { kind: "complete" });
  });

  it("waits two seconds at most, and says what did not come", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.batch(capturedOf(senderOf().protectRtp(rtpOf(1))));
    bench.close(countOf(2));
    assert.deepEqual(bench.until(NOW + LINGER_MS - 1), []);
    const report = reportOf(bench.until(NOW + LINGER_MS));
    assert.deepEqual(report.verdict, {
      kind: "complete-with-gaps",
      gaps: ["caller audio RTP: 1 packet passed the gateway uncaptured"],
    });
    assert.equal(bench.machine.deadline(), undefined);
    assert.deepEqual(bench.batch(capturedOf(rtpOf(9))), []);
    assert.equal(bench.machine.strays.unmatched, 1);
  });

  it("with counts that may be low waits for more than they say, and is not called complete", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const sender = senderOf();
    bench.batch(capturedOf(sender.protectRtp(rtpOf(1))));
    const counters = countOf(1);
    bench.feed({ kind: "close", session: "s1", reason: "bye", counters, exact: false });
    assert.deepEqual(kinds(bench.batch(capturedOf(sender.protectRtp(rtpOf(2))))), [
      "write-packets",
    ]);
    const report = reportOf(bench.until(NOW + LINGER_MS));
    assert.equal(completenessSchema.parse(report).isAdmittedLow, true);
    assert.equal(report.streams[0]?.rtp.stored, 2);
    assert.equal(report.verdict.kind, "complete-with-gaps");
  });

  it("sums the pinholes of one port, and states what passed to ports without an order", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const sender = senderOf();
    bench.batch(...[1, 2, 3].map((at) => capturedOf(sender.protectRtp(rtpOf(at)))));
    const to = { address: BOB.address, port: 9999 };
    const counters = {
      narrow: { packets: 2, bytes: 0, to: BOB },
      wide: { packets: 1, bytes: 0, to: BOB },
      other: { packets: 4, bytes: 0, to },
    };
    const report = reportOf(bench.close(counters));
    assert.equal(report.streams[0]?.rtp.admitted, 3);
    assert.deepEqual(report.unassigned, { admitted: 4 });
  });

  it("of a session without a recording does nothing, and a second one neither", () => {
    const bench = new Bench();
    bench.call(callerStream());
    assert.deepEqual(
      bench.feed({ kind: "close", session: "other", reason: "bye", counters: {}, exact: true }),
      [],
    );
    bench.close(countOf(1));
    assert.deepEqual(bench.close(countOf(0)), []);
  });

  it("ends a recording without media as complete", () => {
    const bench = new Bench();
    bench.call(callerStream());
    assert.deepEqual(reportOf(bench.close(countOf(0))).verdict, { kind: "complete" });
  });
});

describe("what goes wrong around it", () => {
  it("a gap of the capture is stated in every recording it touches", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const micros = (ms: number) => (NOW + ms) * 1000;
    bench.feed({ kind: "gap", reason: "before", fromMicros: 0, toMicros: micros(-1) });
    bench.feed({ kind: "gap", reason: "capture restarted", fromMicros: 0, toMicros: micros(30) });
    const { gaps, verdict } = reportOf(bench.close(countOf(0)));
    assert.deepEqual(gaps, [
      {
        reason: "capture restarted",
        from: "2027-01-15T08:00:00.000Z",
        to: "2027-01-15T08:00:00.030Z",
      },
    ]);
    assert.equal(verdict.kind, "complete-with-gaps");
  });

  it("gaps beyond the limit are not listed", () => {
    const bench = new Bench();
    bench.call(callerStream());
    for (let n = 0; n <= MAX_GAPS; n++)
      bench.feed({ kind: "gap", reason: "again", fromMicros: 0, toMicros: NOW * 1000 });
    assert.equal(reportOf(bench.close(countOf(0))).gaps.length, MAX_GAPS);
  });

  it("an agent that comes back finds its recording, with the absence stated", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.feed({ kind: "disconnected", connection: 1 });
    bench.now += 1000;
    assert.deepEqual(results(bench.order(orderOf([callerStream()]), 2)), ["accepted"]);
    const report = reportOf(bench.close(countOf(0)));
    assert.equal(report.gaps[0]?.reason, "the agent was not connected");
    const [reply] = bench.feed({ kind: "finished", recording: RECORDING });
    assert.equal(reply?.kind === "reply" && reply.connection, 2);
  });

  it("an agent that stays away loses its recordings; nobody is told", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.feed({ kind: "disconnected", connection: 7 });
    assert.equal(bench.machine.deadline(), undefined);
    bench.feed({ kind: "disconnected", connection: 1 });
    assert.deepEqual(bench.until(NOW + AGENT_ABSENCE_MS - 1), []);
    const report = reportOf(bench.until(NOW + AGENT_ABSENCE_MS));
    assert.equal(report.reason, "the agent was lost");
    assert.equal(report.streams[0]?.rtp.admitted, null);
    assert.deepEqual(bench.feed({ kind: "finished", recording: RECORDING }), []);
  });

  it("an agent that leaves while the file is being opened gets no answer", () => {
    for (const after of [
      { kind: "opened", recording: RECORDING },
      { kind: "open-failed", recording: RECORDING, reason: "x" },
    ] as const) {
      const bench = new Bench();
      bench.order(orderOf([callerStream()]));
      bench.feed({ kind: "disconnected", connection: 1 });
      assert.deepEqual(bench.feed(after), []);
    }
  });

  it("a recorder that was interrupted goes on, with the span stated and no false comparison", () => {
    const bench = new Bench();
    bench.order(orderOf([callerStream()], { revision: 2 }));
    bench.feed({ kind: "opened", recording: RECORDING, interruptedSince: NOW - 5000 });
    bench.close(countOf(50));
    const report = reportOf(bench.until(NOW + LINGER_MS));
    const reasons = report.gaps.map(({ reason }) => reason);
    assert.deepEqual(reasons, ["joined at revision 2", "the recorder was interrupted"]);
    assert.equal(report.streams[0]?.rtp.admitted, null);
  });

  it("a store that fails ends the recording as not recorded, and says so", () => {
    const bench = new Bench();
    bench.call(callerStream());
    const effects = bench.feed({ kind: "store-failed", recording: RECORDING, reason: "ENOSPC" });
    assert.ok(effects[0]?.kind === "reply" && effects[0].message.kind === "closed");
    assert.deepEqual(effects[0].message.completeness["verdict"], {
      kind: "not-recorded",
      because: "the store failed: ENOSPC",
    });
    assert.equal(bench.machine.openCount, 0);
    assert.deepEqual(bench.feed({ kind: "store-failed", recording: RECORDING, reason: "x" }), []);
  });

  it("a store that fails while it opens or finishes is no different", () => {
    const opening = new Bench();
    opening.order(orderOf([callerStream()]));
    const failed = { kind: "store-failed", recording: RECORDING, reason: "EIO" } as const;
    assert.deepEqual(results(opening.feed(failed)), [{ refused: "EIO" }]);
    const finishing = new Bench();
    finishing.call(callerStream());
    finishing.close(countOf(0));
    assert.match(JSON.stringify(finishing.feed(failed)), /not-recorded/);
  });

  it("a stop ends everything with its reason, also what lingers or is being opened", () => {
    const bench = new Bench();
    bench.call(callerStream());
    bench.close(countOf(3));
    const recording = RECORDING.replace("0b", "0c");
    bench.order(orderOf([callerStream()], { recording }), 1, "s2");
    const effects = bench.feed({ kind: "stop", reason: "the recorder was stopped" });
    assert.deepEqual(kinds(effects), ["finish", "finish"]);
    const reasons = effects.map((effect) => effect.kind === "finish" && effect.completeness.reason);
    assert.deepEqual(reasons, ["bye", "the recorder was stopped"]);
    assert.deepEqual(bench.feed({ kind: "stop", reason: "again" }), []);
  });

  it("streams beyond the limit are not opened, and that is stated", () => {
    const bench = new Bench();
    bench.call();
    for (let revision = 2; revision <= MAX_STREAMS + 2; revision++) {
      const destination = { ...BOB, port: 10_000 + 2 * revision };
      const stream = callerStream({ destination, rtcpPort: destination.port + 1 });
      bench.order(orderOf([stream], { revision }));
    }
    const report = reportOf(bench.close(countOf(0)));
    assert.equal(report.streams.length, MAX_STREAMS);
    assert.match(JSON.stringify(report.gaps), /too many streams/);
  });
});
