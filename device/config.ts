/**
 * `device.toml`: who the phone is, whom it trusts, where its calls go and how it seals them. Pure.
 * Paths are as written; `resolveConfigPath` makes them relative to the file.
 */
import { z } from "zod";

const LOWEST_PORT = 1024; // a media port below it is refused by every controller

const port = z.int().min(1).max(65_535);
const path = z.string().min(1);
const transport = z.enum(["tcp", "tls"]);
const address = z.union([z.ipv4(), z.ipv6()], "not an IP address");
const aor = z
  .string()
  .regex(
    /^sip:[\w.!~*'()&=+$,%-]+@[\w.-]+$/,
    "not an address of record such as sip:alice@example.com",
  );

const outbound = z
  .strictObject({ transport, address, port, serverName: z.string().min(1).optional() })
  .refine(({ transport, serverName }) => transport !== "tls" || serverName !== undefined, {
    path: ["serverName"],
    message: "needed with TLS: the name that the proxy's certificate must hold",
  });

const sealing = z
  .strictObject({
    enabled: z.boolean().default(true),
    /** Whether an offer in clear is refused; follows `enabled` unless given. */
    required: z.boolean().optional(),
    /** `rfc3185`: AuthEnvelopedData with a CEKReference; `patent`: EnvelopedData without. */
    form: z.enum(["rfc3185", "patent"]).default("rfc3185"),
    /** Certificates of the controllers that may open our bodies. */
    controllers: z.array(path).default([]),
  })
  .transform((table) => ({ ...table, required: table.required ?? table.enabled }));

export const deviceSchema = z.strictObject({
  aor,
  /** The address that the media is sent from and that the SDP names. */
  address,
  identity: z.strictObject({ certificate: path, key: path }),
  trust: z.strictObject({ anchors: z.array(path).min(1) }),
  /** Where our own requests go first. */
  outbound: outbound.optional(),
  /** Where others reach us without a connection of our own making. */
  listen: z.strictObject({ transport, port }).optional(),
  sealing: sealing.prefault({}),
  contact: z.array(z.strictObject({ aor, certificate: path })).default([]),
  media: z.strictObject({
    /** Even (RFC 3550 §11): RTP goes here, RTCP to the next. */
    rtpPort: z
      .int()
      .min(LOWEST_PORT)
      .max(65_534)
      .refine((value) => value % 2 === 0, "not even: RTCP takes the port after it"),
  }),
});

/** One phone's configuration, defaults filled in. */
export type DeviceConfig = z.infer<typeof deviceSchema>;
