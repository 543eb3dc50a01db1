/**
 * What a configuration would do, in a few lines for the person who wrote it. Pure.
 */
import type { ControllerConfig } from "./config.ts";

export function describeConfig(config: ControllerConfig): string {
  return [
    `${config.name} serves ${config.domains.join(", ")}`,
    ...config.listen.map((row) => `listens       ${place(row)}`),
    ...config.route.map((row) => `routes        ${row.domain} to ${place(row)}`),
    ...config.user.map((row) => `user          ${row.aor}, ${proofOf(row)}`),
    `protects      ${config.media.protectedPrefixes.join(", ")}`,
    `lets through  audio on ports ${config.media.ports.join(" to ")}, once the agent has opened`,
    `agent         ${config.agent.socket}, ${config.agent.applyTimeoutMs} ms to open`,
    `recording     ${recordingOf(config)}`,
  ].join("\n");
}

const place = ({ transport, address, port }: ControllerConfig["listen"][number]) =>
  `${transport} ${address.includes(":") ? `[${address}]` : address}:${port}`;

const proofOf = ({ ha1, addresses }: ControllerConfig["user"][number]) =>
  [
    ha1 === undefined ? "by certificate" : "by certificate or password",
    ...(addresses.length === 0 ? [] : [`media also at ${addresses.join(", ")}`]),
  ].join(", ");

function recordingOf({ recording }: ControllerConfig): string {
  if (recording === undefined) return "none";
  return recording.required ? "every opened call, or it is refused" : "where the recorder takes it";
}
