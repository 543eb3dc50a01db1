/**
 * The values that stand in `controller.toml`: names, addresses, ports, paths. Pure.
 */
import { z } from "zod";
import { MIN_MEDIA_PORT } from "../protocol/net/address.ts";

const UNSPECIFIED: readonly string[] = ["0.0.0.0", "::"];

export const port = z.int().min(1).max(65_535);
export const mediaPort = z.int().min(MIN_MEDIA_PORT).max(65_535);
export const path = z.string().min(1);
export const count = z.int().min(1);
export const transport = z.enum(["udp", "tcp", "tls"]);
export const address = z.union([z.ipv4(), z.ipv6()], "not an IP address");
export const prefix = z.union([z.cidrv4(), z.cidrv6()], "not a prefix such as 10.10.0.0/24");
export const domain = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, "not a domain name");
export const aor = z
  .string()
  .regex(
    /^sip:[^@\s<>;?:"]+@[a-z0-9.-]+$/,
    "not an address of record such as sip:alice@example.com",
  );

/** Written into Via and Record-Route: others must be able to reach us by it. */
export const ownAddress = address.refine(
  (text) => !UNSPECIFIED.includes(text),
  "names no one interface, and others must find us by it",
);
