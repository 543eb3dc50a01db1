/**
 * What a configuration would do, in a few lines for the person who wrote it. Pure.
 */
import type { ControllerConfig, ListenerRow, RouteRow, UserRow } from "./config.ts";

export function describeConfig(config: ControllerConfig): string {
  return [
    `${config.name} serves ${config.domains.join(", ")}`,
    ...config.listen.map((row) => `listens       ${listenerOf(row)}`),
    ...config.route.map((row) => `routes        ${routeOf(row)}`),
    ...config.user.map((row) => `user          ${row.aor}, ${proofOf(row)}`),
    ...usersOf(config),
    `registers     ${registrationsOf(config)}`,
    ...authorityOf(config),
    ...emergencyOf(config),
    ...dnsOf(config),
    ...sessionTimerOf(config),
    `limits        ${limitsOf(config)}`,
    ...gatewayOf(config),
  ].join("\n");
}

const bracketed = (address: string) => (address.includes(":") ? `[${address}]` : address);

const CERTIFICATES = {
  none: "by password alone",
  request: "by certificate or password",
  require: "by certificate alone",
};

function listenerOf({ transport, address, port, clientCertificates }: ListenerRow): string {
  const where = `${transport} ${bracketed(address)}:${port}`;
  return clientCertificates === undefined ? where : `${where}, ${CERTIFICATES[clientCertificates]}`;
}

function routeOf(row: RouteRow): string {
  const { domain, transport, address, host = "", port, to, from, identities, trusted } = row;
  const place = address === undefined ? host : bracketed(address);
  const known = identities.length === 0 ? [address ?? host, ...from] : identities;
  return [
    `${domain} to ${transport} ${place}${port === undefined ? "" : `:${port}`}`,
    to.length === 0 ? "sends nothing here" : `${known.join(", ")} may call ${to.join(", ")}`,
    ...(trusted ? ["asserted identities pass"] : []),
  ].join("; ");
}

function proofOf({ ha1, sharedKey, addresses, requireSealed, record, mayCall }: UserRow): string {
  return [
    ha1 === undefined ? "by certificate" : "by certificate or password",
    ...(sharedKey === undefined ? [] : ["may seal registrations under his shared key"]),
    ...(addresses.length === 0 ? [] : [`media also at ${addresses.join(", ")}`]),
    ...(requireSealed ? ["sealed calls only"] : []),
    ...(record === undefined ? [] : [record ? "must be recorded" : "need not be recorded"]),
    ...(mayCall === undefined ? [] : [`may call ${mayCall.join(", ") || "nobody"}`]),
  ].join(", ");
}

function usersOf({ users }: ControllerConfig): readonly string[] {
  if (users?.file !== undefined) return [`users         also those of ${users.file}`];
  if (users?.database !== undefined) return [`users         also those of ${users.database}`];
  return [];
}

function registrationsOf({ registrar, digest, state }: ControllerConfig): string {
  const { minExpiresS, maxExpiresS, maxContacts } = registrar;
  const kept = state === undefined ? "in memory alone" : `kept in ${state.database}`;
  return [
    `${maxContacts} contacts a user for ${minExpiresS} to ${maxExpiresS} s`,
    `digest ${digest.algorithms.join(", ")}`,
    kept,
  ].join(", ");
}

const TOLD_LOCATION = {
  nobody: "nobody is told where a phone is",
  users: "our own users are told where a phone is",
};

function authorityOf({ authority, body }: ControllerConfig): readonly string[] {
  if (authority === undefined || body === undefined) return [];
  const { certificate, database, userKeys, crl, foreignCrls, skewS, location, trust } = authority;
  const { registrationsPerMinute, queriesPerMinute } = authority;
  const revoked = [
    ...(crl === undefined ? [] : [`lists them in ${crl}`]),
    ...(foreignCrls.length === 0 ? [] : [`believes ${foreignCrls.join(", ")}`]),
  ];
  return [
    `certifies     phones as long as they are registered, by ${certificate}, keys ${userKeys.join(", ")}`,
    `              clocks up to ${skewS} s off; what is issued and revoked stands in ${database}`,
    ...(revoked.length === 0 ? [] : [`revoked       ${revoked.join("; ")}`]),
    `answers       signed by ${body.certificate}; ${TOLD_LOCATION[location]}`,
    `              ${registrationsPerMinute} registrations, ${queriesPerMinute} questions a minute and user`,
    ...trust.map(
      ({ domain, anchors }) => `trusts        ${anchors.join(", ")} for ${domain} alone`,
    ),
  ];
}

function emergencyOf({ emergency }: ControllerConfig): readonly string[] {
  if (emergency === undefined) return [];
  const numbers = ["urn:service:sos", ...emergency.numbers].join(", ");
  return [`emergency     ${numbers} to ${emergency.route}, whatever else fails`];
}

function dnsOf({ dns }: ControllerConfig): readonly string[] {
  if (dns === undefined) return [];
  const servers = dns.servers.length === 0 ? "the system's servers" : dns.servers.join(", ");
  return [`asks DNS      ${servers}, for ${dns.anyDomain ? "any domain" : "routes alone"}`];
}

function sessionTimerOf({ sessionTimer }: ControllerConfig): readonly string[] {
  if (sessionTimer === undefined) return [];
  const { expiresS, minSeS } = sessionTimer;
  return [`session timer ${expiresS} s, not below ${minSeS} s`];
}

function limitsOf({ limits }: ControllerConfig): string {
  const { calls, transactions, requestsPerSecond, eventLoopLagMs } = limits;
  return [
    `${calls} calls`,
    `${transactions} transactions`,
    ...(requestsPerSecond === undefined ? [] : [`${requestsPerSecond} requests/s a peer`]),
    `503 for new calls when ${eventLoopLagMs} ms behind`,
  ].join(", ");
}

function gatewayOf({ media, agent, body, recording }: ControllerConfig): readonly string[] {
  if (media === undefined || agent === undefined)
    return [
      body === undefined
        ? "opens         nothing: a plain proxy, without agent, media and body"
        : "opens         no holes: without agent and media",
    ];
  const consent =
    recording?.required === true
      ? "every opened call, or it is refused"
      : "where the recorder takes it";
  return [
    `protects      ${media.protectedPrefixes.join(", ")}`,
    `lets through  RTP and fax on ports ${media.ports.join(" to ")}, once the agent has opened`,
    `other media   ${media.otherMedia === "pass" ? "passes unopened" : "is refused"}`,
    `undecryptable ${media.undecryptable === "pass" ? "is kept as captured" : "is refused"}`,
    `agent         ${agent.socket}, ${agent.applyTimeoutMs} ms to open`,
    `recording     ${recording === undefined ? "none" : consent}`,
  ];
}
