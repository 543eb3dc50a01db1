/**
 * `device.toml`: who the phone is, whom it trusts, where its calls go and how it seals them. Pure.
 * Paths are as written; `resolveConfigPath` makes them relative to the file.
 */
import { z } from "zod";

const MAX_EXPIRES_S = 604_800; // a week
const LOWEST_PORT = 1024; // a media port below it is refused by every controller

const port = z.int().min(1).max(65_535);
const path = z.string().min(1);
const transport = z.enum(["tcp", "tls"]);
const address = z.union([z.ipv4(), z.ipv6()], "not an IP address");
const AOR = /^sip:[\w.!~*'()&=+$,%-]+@[\w.-]+$/;
const aor = z.string().regex(AOR, "not an address of record such as sip:alice@example.com");

/** True for a user's address as a configuration or a command line names it. */
export const isAddressOfRecord = (text: string): boolean => AOR.test(text);

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

const registration = z
  .strictObject({
    /** Key, certificate, location and their end; made where it is not there. */
    store: path,
    /** The user's name towards the registrar; that of `aor` if absent. */
    username: z.string().min(1).optional(),
    /** A file that holds it, in its first line. */
    password: path.optional(),
    /** Whose key the registration is sealed with. */
    protection: z.enum(["certificate", "shared-key", "password"]).default("certificate"),
    /** The controller's certificate. */
    controller: path.optional(),
    /** Its DNS name, where no certificate tells it. */
    controllerName: z.hostname().optional(),
    /** A file of 32 or 64 hexadecimal digits that the controller holds too. */
    sharedKey: path.optional(),
    profile: z.enum(["open", "private"]).default("open"),
    /** What is asked for; the registrar grants what it likes. */
    expiresS: z.int().min(1).max(MAX_EXPIRES_S).default(3600),
    /** Of the key pair that is made. */
    keyType: z.enum(["p256", "rsa2048", "rsa3072"]).default("p256"),
  })
  .superRefine((table, context) => {
    const need = (key: "controller" | "sharedKey" | "password", why: string): void => {
      if (table[key] === undefined)
        context.addIssue({ code: "custom", path: [key], message: `needed ${why}` });
    };
    if (table.protection === "certificate") need("controller", "to seal for");
    if (table.protection === "shared-key") need("sharedKey", "to seal with");
    if (table.protection === "password") need("password", "to seal with");
    if (table.controller === undefined && table.controllerName === undefined)
      context.addIssue({
        code: "custom",
        path: ["controllerName"],
        message: "needed without `controller`: whom the label asks to open the body",
      });
  });

const media = z.strictObject({
  /** Even (RFC 3550 §11): RTP goes here, RTCP to the next. */
  rtpPort: z
    .int()
    .min(LOWEST_PORT)
    .max(65_534)
    .refine((value) => value % 2 === 0, "not even: RTCP takes the port after it"),
});

const device = z.strictObject({
  aor,
  /** The address that the media is sent from and that the SDP names. */
  address,
  /** What signs and opens; with `registration` the certificate of the store does, if there is one. */
  identity: z.strictObject({ certificate: path, key: path }).optional(),
  trust: z.strictObject({ anchors: z.array(path).min(1) }),
  /** Where our own requests go first. */
  outbound: outbound.optional(),
  /** Where others reach us without a connection of our own making. */
  listen: z.strictObject({ transport, port }).optional(),
  sealing: sealing.prefault({}),
  contact: z.array(z.strictObject({ aor, certificate: path })).default([]),
  registration: registration.optional(),
  /** Needed for calls. */
  media: media.optional(),
});

export const deviceSchema = device.refine(
  ({ identity, registration }) => identity !== undefined || registration !== undefined,
  { path: ["identity"], message: "needed, unless `registration` gets a certificate" },
);

/** The table `[registration]`, defaults filled in. */
export type RegistrationConfig = z.infer<typeof registration>;
/** One phone's configuration, defaults filled in. */
export type DeviceConfig = z.infer<typeof deviceSchema>;
