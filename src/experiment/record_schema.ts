// What a cell's file must look like to be believed. A run folder may come from
// outside (another machine, an archive) or be damaged, so nothing in it is
// trusted before it has passed through here.

import { z } from "zod";
import { InputError } from "../base/errors.ts";
import { oneLine } from "../base/excerpt.ts";
import { parseJsonObject } from "../checkpoint/strict_json.ts";
import { type CellRecord, SCHEMA_VERSION } from "./record.ts";

const count = z.int().nonnegative();
const positive = z.number().positive();
/** Shown on a terminal, where control characters are commands. */
const plain = z.string().regex(/^\P{Cc}*$/u, "has a control character");
const seconds = z.number().nonnegative().optional();

const perplexity = z.looseObject({
  value: positive,
  meanNll: z.number(),
  stderr: z.number().nonnegative(),
  windows: count,
  windowTokens: count,
  tokens: count,
  text: plain,
  textSha256: z.string(),
  windowNll: z.array(z.number()),
  deltaNll: z.number().optional(),
  deltaNllCi95: z.tuple([z.number(), z.number()]).optional(),
}).refine(({ windows, windowNll }) => windows === 0 || windowNll.length > 0, {
  path: ["windowNll"],
  message: "must not be empty where windows is not 0",
});

const part = z.number().min(0).max(1);

const divergence = z.looseObject({
  // Rounding may take a divergence of nothing a little below zero.
  klNats: z.number(),
  klStderr: z.number().nonnegative(),
  windowKl: z.array(z.number()),
  top1Agreement: part,
  windowAgreement: z.array(part),
  windows: count,
  windowTokens: count,
  tokens: count,
  text: plain,
  textSha256: z.string(),
  continuations: z.array(z.looseObject({
    prompt: z.string(),
    original: z.string(),
    variant: z.string(),
    tokens: count,
    commonTokens: count,
  })).optional(),
});

const cache = z.looseObject({
  elementsByLayer: z.array(z.number().nonnegative()),
  elementsPerTokenPerLayer: z.number().nonnegative(),
  bytesPerToken: z.number().nonnegative(),
  measuredBytes: z.number().nonnegative(),
  measuredTokens: count,
  reduction: z.number().max(1),
  // Memory may shrink where another process gave some back.
  memoryGrowthBytes: z.number().optional(),
  expectedGrowthBytes: positive.optional(),
  memoryGrowthRatio: z.number().optional(),
  memoryNote: z.string().optional(),
});

const bytes = z.number().nonnegative();

const kernel = z.looseObject({
  name: plain.min(1),
  dispatches: count,
  seconds: z.number().nonnegative(),
  bytes,
  flops: z.number().nonnegative(),
});

const sampledSteps = z.array(
  z.looseObject({ contextTokens: count, ms: positive }),
).min(1);

const requests = z.looseObject({
  count: count.min(1),
  inputTokens: count,
  outputTokens: count.min(1),
  outputTokensPerSecond: positive,
  seconds: positive,
  prefillSeconds: positive,
  prefillSampledTokens: count.min(1),
  sampledSteps,
  lastBatch: z.looseObject({ sequences: count.min(1), sampledSteps })
    .optional(),
});

const throughput = z.looseObject({
  batchSize: count,
  prefillTokensPerSecond: positive.optional(),
  decodeTokensPerSecond: positive,
  decodeSamples: count,
  repetitions: count,
  p50Ms: positive,
  p95Ms: positive,
  memoryBytes: bytes,
  memory: z.looseObject({
    weightBytes: bytes,
    cacheBytes: bytes,
    scratchBytes: bytes,
    budgetBytes: bytes.optional(),
  }).optional(),
  roofline: z.looseObject({
    stepBytes: positive,
    copyBytesPerSecond: positive,
    tokensPerSecond: positive,
    fraction: positive,
  }).optional(),
  kernels: z.array(kernel).optional(),
  requests: requests.optional(),
});

const layer = z.looseObject({
  layer: count,
  keyValueRatio: z.number().optional(),
  keptEnergy: z.number().optional(),
  totalEnergy: z.number().optional(),
  eigenvalueKept: z.number().optional(),
  eigenvalueDropped: z.number().optional(),
  rotaryKeyEnergy: z.number().optional(),
});

const conversion = z.looseObject({
  wallSeconds: z.number().nonnegative(),
  calibrationWallSeconds: z.number().nonnegative(),
  calibrationCached: z.boolean(),
  calibrationTokens: count,
  momentsSha256: z.array(z.string()).optional(),
  keptEnergyByLayer: z.array(z.number()),
  layers: z.array(layer),
  resolved: z.record(z.string(), z.unknown()),
});

const common = {
  schemaVersion: z.literal(SCHEMA_VERSION),
  experiment: plain,
  runId: plain,
  cell: z.string().regex(/^[\w-]{1,64}$/),
  status: z.enum(["ok", "failed", "oom", "timeout", "skipped"]),
  error: z.string().optional(),
  model: z.looseObject({
    id: plain,
    sha256: z.string(),
    modelType: plain,
    numHiddenLayers: count,
    hiddenSize: count,
    numAttentionHeads: count,
    numKeyValueHeads: count,
    headDim: count,
  }),
  variant: z.looseObject({ method: plain }),
  variantLabel: plain.min(1),
  calibrationSeed: count.optional(),
  variantGroup: plain.min(1).optional(),
  engine: z.looseObject({
    name: plain,
    provider: plain.optional(),
    dtype: plain,
    cacheDtype: plain.optional(),
    adapter: plain.optional(),
    adapterKind: z.enum(["gpu", "software"]).optional(),
  }),
  contextTokens: count.optional(),
  load: z.looseObject({
    batch: z.union([count.min(1), z.literal("auto")]),
    memoryBudget: plain.optional(),
  }).optional(),
  peakMemoryBytes: z.number().nonnegative(),
  peakMemoryScope: z.enum(["cell", "process"]).optional(),
  wallSeconds: z.number().nonnegative(),
  stageSeconds: z.looseObject({
    calibration: seconds,
    conversion: seconds,
    opening: seconds,
    measuring: seconds,
  }).optional(),
  startSeconds: seconds,
  calibrationRuns: count.optional(),
  startedAt: z.string(),
  commit: z.string().optional(),
};

/** A cell's file; unknown fields are left as they are. */
export const recordSchema = z.discriminatedUnion("measure", [
  z.looseObject({
    ...common,
    measure: z.literal("perplexity"),
    metrics: perplexity.optional(),
  }),
  z.looseObject({
    ...common,
    measure: z.literal("divergence"),
    metrics: divergence.optional(),
  }),
  z.looseObject({
    ...common,
    measure: z.literal("cache"),
    metrics: cache.optional(),
  }),
  z.looseObject({
    ...common,
    measure: z.literal("throughput"),
    metrics: throughput.optional(),
  }),
  z.looseObject({
    ...common,
    measure: z.literal("conversion"),
    metrics: conversion.optional(),
  }),
]).refine((cell) => cell.status !== "ok" || cell.metrics !== undefined, {
  path: ["metrics"],
  message: "must be present where status is ok",
});

/**
 * Checks one cell record.
 *
 * @param value The parsed JSON.
 * @param where The file, for the error.
 * @returns The record.
 * @throws {InputError} If a field is missing or wrong; the message is one line.
 */
export function parseCell(value: unknown, where: string): CellRecord {
  return parseAs(recordSchema, value, where) as unknown as CellRecord;
}

/**
 * Parses and checks one cell record.
 *
 * @param text The JSON.
 * @param where The file, for the error.
 * @returns The record.
 * @throws {InputError} If it is no JSON, has a key twice, or a field is missing or wrong; the message is one line.
 */
export function parseCellText(text: string, where: string): CellRecord {
  let value: unknown;
  try {
    value = parseJsonObject(text, where);
  } catch (error) {
    throw new InputError((error as Error).message);
  }
  return parseCell(value, where);
}

/**
 * Checks a parsed JSON file.
 *
 * @param schema What it must look like.
 * @param value The parsed JSON.
 * @param where The file, for the error.
 * @throws {InputError} If it does not; the message is one line.
 */
export function parseAs<T>(
  schema: z.ZodType<T>,
  value: unknown,
  where: string,
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.map(String).join(".") || "(whole file)";
  throw new InputError(
    oneLine(
      `Cannot read ${where} as ${field} is not valid: ${issue?.message}`,
      600,
    ),
  );
}
