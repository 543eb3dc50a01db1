/**
 * The agent's one TOML file. What it may open is bounded here and by nothing that a controller says.
 */
import { z } from "zod";
import { isProtocolError } from "../protocol/errors.ts";
import { MIN_MEDIA_PORT, parsePrefix } from "../protocol/net/address.ts";
import { LOG_LEVELS } from "../runtime/logger.ts";
import { processSchema } from "../runtime/rights.ts";

/** Elements that one of the kernel's sets holds, and so the most pinholes of one kind. */
export const MAX_SET_ELEMENTS = 65_536;

const mediaPort = z.int().min(MIN_MEDIA_PORT).max(65_535);
const prefix = z.string().transform((text, context) => {
  try {
    return parsePrefix(text);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    context.addIssue({ code: "custom", message: error.message });
    return z.NEVER;
  }
});

export const agentConfigSchema = z.strictObject({
  /** Where controllers connect; the directory's mode and group say who may. */
  socket: z.string().min(1),
  process: processSchema.optional(),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default("info") }).prefault({}),
  ingest: z.strictObject({ socket: z.string().min(1) }),
  realm: z.strictObject({
    prefixes: z.array(prefix).min(1).max(64),
    ports: z
      .tuple([mediaPort, mediaPort])
      .refine(([low, high]) => low <= high, "the first port is above the last"),
  }),
  nft: z
    .strictObject({
      table: z
        .string()
        .regex(/^[a-z][a-z\d_]{0,30}$/)
        .default("keyhole"),
      /** Of the forward chain: late, so that what is admitted and copied is what leaves. */
      priority: z.int().min(-399).max(10_000).default(300),
      /** NFLOG group of the copies; one listener a group. */
      group: z.int().min(0).max(65_535).default(5),
      /** Packets that the kernel collects before it hands copies over, or one second. */
      queueThreshold: z.int().min(1).max(1024).default(32),
    })
    .prefault({}),
  limits: z
    .strictObject({
      sessions: z.int().min(1).max(MAX_SET_ELEMENTS).default(5000),
      pinholes: z.int().min(1).max(MAX_SET_ELEMENTS).default(20_000),
    })
    .prefault({}),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;
