/**
 * What the agent tells, for the log and for the core. Pure but for the log.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { ControllerInput } from "../core/controller-port.ts";
import type { AgentNews } from "./agent-link.ts";

export interface NewsReader {
  readonly feed: (input: ControllerInput) => void;
  readonly log: Logger;
}

export function hearNews(news: AgentNews, { feed, log }: NewsReader): void {
  switch (news.kind) {
    case "put-result":
      if (news.result.kind === "failed") {
        const { verdict, code } = news.result;
        log.warn({ session: news.session, verdict, code }, "put failed");
      }
      feed(news);
      break;
    case "session-lost":
      feed({ kind: "session-lost", session: news.session });
      break;
    case "availability":
      log[news.up ? "info" : "error"](news.up ? "agent there" : "agent gone");
      break;
    case "closed":
      log.info({ session: news.session, counters: news.counters }, "session closed");
      break;
    case "event":
      hearEvent(news.event, { feed, log });
      break;
    default:
      assertNever(news);
  }
}

function hearEvent(
  event: (AgentNews & { kind: "event" })["event"],
  { feed, log }: NewsReader,
): void {
  const { kind, session } = event;
  switch (event.kind) {
    case "refused":
      log.warn({ session, reason: event.reason }, kind);
      feed({ kind: "recording-refused", session });
      break;
    case "loss":
    case "session.expired":
      log.error({ session }, kind);
      break;
    case "recording.closed":
    case "pinhole.active":
      log.info({ session }, kind);
      break;
    default:
      assertNever(event);
  }
}
