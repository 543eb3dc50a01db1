/** `recorder.toml`: every key that the recorder knows. Paths are relative to that file. */

import { z } from "zod";
import { MAX_ARCHIVE_KEYS } from "../protocol/sealing/container-format.ts";
import { LOG_LEVELS } from "../runtime/logger.ts";
import { processSchema } from "../runtime/rights.ts";

const path = z.string().min(1);

export const recorderConfigSchema = z.strictObject({
  /** Unix socket on which agents deliver. */
  socket: path,
  /** Directory of recordings and ledger. */
  store: path,
  /** X25519 private key (PEM) that opens orders. */
  key: path,
  /** Ed25519 public keys (PEM) of the controllers whose orders count. */
  controllers: z.array(path).min(1),
  /** X25519 public keys (PEM) that recordings are sealed to. */
  archives: z.array(path).min(1).max(MAX_ARCHIVE_KEYS),
  /** Ed25519 private key (PEM) that signs the ledger. */
  ledgerKey: path,
  /** How long an interrupted recording waits to be gone on with after a restart. */
  resumeMs: z.int().min(0).max(600_000).default(10_000),
  process: processSchema.optional(),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default("info") }).default({ level: "info" }),
});

export type RecorderConfig = z.infer<typeof recorderConfigSchema>;
