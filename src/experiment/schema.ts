// What an experiment file may say. Strict: a key that is not known is an error
// (locate.ts says where, and what was probably meant). No code inside: values only.

import { z } from "zod";
import type { CalibrationOptions } from "../calibration/options.ts";
import type { Method } from "../conversion/method.ts";
import { ENGINE_NAMES } from "../engine/open.ts";
import type { EngineName } from "../engine/engine.ts";
import { measureSchema } from "./measure_schema.ts";
import type { VariantRecord } from "./record.ts";

/** The figures that a report can be asked for. */
export const FIGURES = [
  "perplexity-by-cache",
  "perplexity-by-freqfold",
  "perplexity-by-rank",
  "perplexity-by-context",
  "divergence-by-cache",
  "throughput-by-context",
  "energy-by-layer",
  "balance-kv",
  "pareto",
  "pareto-speed",
] as const;

/** The metrics that `expect` can name: measure and field. */
export const CHECKABLE_METRICS = [
  "perplexity.value",
  "perplexity.meanNll",
  "perplexity.stderr",
  "perplexity.windows",
  "perplexity.tokens",
  "perplexity.deltaNll",
  "divergence.klNats",
  "divergence.klStderr",
  "divergence.top1Agreement",
  "divergence.windows",
  "divergence.tokens",
  "cache.elementsPerTokenPerLayer",
  "cache.bytesPerToken",
  "cache.measuredBytes",
  "cache.measuredTokens",
  "cache.reduction",
  "cache.memoryGrowthRatio",
  "throughput.batchSize",
  "throughput.prefillTokensPerSecond",
  "throughput.decodeTokensPerSecond",
  "throughput.p50Ms",
  "throughput.p95Ms",
  "throughput.memoryBytes",
  "conversion.wallSeconds",
  "conversion.calibrationWallSeconds",
  "conversion.calibrationTokens",
] as const;

/** Of calibration, where neither seed nor seeds is given. */
export const DEFAULT_SEED = 42;

/** A timer's limit: 2^31 - 1 milliseconds. */
export const MAX_TIMEOUT_SECONDS = 2147483;

/** How to calibrate: with one seed, or with each of several. */
export interface CalibrationChoice extends Omit<CalibrationOptions, "seed"> {
  readonly seed?: number;
  /** Instead of seed: every converted variant is made and measured once for each. */
  readonly seeds?: readonly number[];
}

/** How to run: an engine, its number type and device. */
export interface EngineChoice {
  readonly name: EngineName;
  readonly dtype: "f32" | "f16";
  readonly device: "cpu" | "webgpu";
  /** Of the webgpu engine. */
  readonly provider?: "deno" | "dawn";
  /** Of the webgpu engine: what its cache keeps numbers in. */
  readonly cacheDtype?: "f32" | "f16";
  /** Of the webgpu engine: a software adapter may be timed. */
  readonly software?: true;
  /** CPU threads; absent: all cores. */
  readonly threads?: number;
}

/** Perplexity of a text at each context. */
export interface PerplexityMeasure {
  readonly text: string;
  /** Token budget, the same at each context; "all": every whole window. */
  readonly tokens: number | "all";
  readonly contexts: readonly number[];
  readonly batch?: number;
}

/** Distance of a variant's predictions from the original's at each context. */
export interface DivergenceMeasure {
  readonly text: string;
  /** Token budget, the same at each context. */
  readonly tokens: number;
  readonly contexts: readonly number[];
  /** Prompts that both models continue greedily. */
  readonly continuation: ContinuationMeasure | false;
}

/** How prompts of a text are continued. */
export interface ContinuationMeasure {
  readonly prompts: number;
  readonly promptTokens: number;
  /** Tokens added to each. */
  readonly tokens: number;
}

/** Bytes of the cache at each context. */
export interface CacheMeasure {
  readonly contexts: readonly number[];
  /** Bytes allowed beyond theory. */
  readonly slackBytes: number;
  /** Whether the growth of the device's memory is measured beside theory. */
  readonly memoryGrowth?: boolean;
}

/** Whole requests. */
export interface RequestMeasure {
  readonly count: number;
  /** Context -> another count. */
  readonly countAt?: Readonly<Record<string, number>>;
  readonly samples: number;
}

/** Speed at each context and load. */
export interface ThroughputMeasure {
  readonly contexts: readonly number[];
  readonly batch: number | "auto" | readonly (number | "auto")[];
  /** For instance "24GiB". */
  readonly memoryBudget?: string | readonly string[];
  /** 0-1 */
  readonly memoryUtilization?: number;
  /** Absent: the cache is filled by a prefill. */
  readonly cache?: "seeded";
  /** Absent: decode steps at the context. */
  readonly workload?: "requests";
  /** With workload "requests". */
  readonly requests?: RequestMeasure;
  readonly profile?: true;
  readonly repetitions: number;
  readonly steps: number;
  readonly warmups: number;
}

/** A figure that a measured metric must meet. */
export interface Expectation {
  /** A glob over variant labels. */
  readonly variant: string;
  /** Measure and field: "perplexity.value". */
  readonly metric: string;
  readonly contextTokens?: number;
  readonly value: number;
  /** Allowed |measured - value| / |value|. */
  readonly relative?: number;
  /** Allowed |measured - value|. */
  readonly absolute?: number;
  /** Where the figure comes from. */
  readonly source?: string;
}

/**
 * An experiment with every default filled in, the matrix expanded and each
 * measure naming its contexts. Written as YAML it parses to itself.
 */
export interface Experiment {
  readonly name: string;
  readonly description?: string;
  /** Models in order of preference; the first that can be had is taken. */
  readonly model: string | readonly string[];
  readonly calibration?: CalibrationChoice;
  readonly engine: EngineChoice;
  readonly variants: readonly (VariantRecord & { readonly label?: string })[];
  readonly measure: {
    readonly perplexity?: PerplexityMeasure;
    readonly divergence?: DivergenceMeasure;
    readonly cache?: CacheMeasure;
    readonly throughput?: ThroughputMeasure;
  };
  readonly report: {
    /** Label or method of the variant that others are compared with. */
    readonly baseline: string;
    readonly figures: readonly (typeof FIGURES)[number][];
  };
  readonly expect: readonly Expectation[];
  /** A cell that takes longer is ended and recorded as "timeout". */
  readonly timeoutSeconds: number;
}

/**
 * The calibration of one cell.
 *
 * @param calibration The experiment's.
 * @param cellSeed The cell's, where the experiment names several.
 */
export function calibrationOf(
  { text, samples, tokens, seed, passes }: CalibrationChoice,
  cellSeed?: number,
): CalibrationOptions {
  return {
    text,
    samples,
    tokens,
    seed: cellSeed ?? seed ?? DEFAULT_SEED,
    passes,
  };
}

/** Keys of a variant that are not options of its method. */
export const VARIANT_KEYS = [
  "method",
  "label",
  "matrix",
  "include",
  "exclude",
] as const;

const seed = z.int().min(0).max(0xffffffff);

/**
 * Builds the schema of an experiment file from the methods that exist: the
 * options of a variant are those of its method, and no others.
 *
 * @param methods The methods that `variants` may name.
 */
export function experimentSchema(methods: readonly Method[]) {
  const [first, ...rest] = methods.map(variantSchema);
  if (first === undefined) throw new RangeError("Cannot build without methods");
  return z.strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/).describe(
      "Lower case, digits and hyphens; names the result folder",
    ),
    description: z.string().optional().describe(
      "One line, shown by deno task list and in reports",
    ),
    model: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe(
        "Alias, hub id, path or synthetic:NAME; a list: the first that can be had",
      ),
    calibration: z.strictObject({
      text: z.string().min(1).describe(
        "Name of a text (deno task list texts) or file:PATH; synthetic with synthetic models",
      ),
      samples: z.int().min(1).default(128).describe("Sequences sampled"),
      tokens: z.int().min(2).default(256).describe("Tokens of each sequence"),
      seed: seed.optional().describe("Of the sample; default: 42"),
      seeds: z.array(seed).min(1).optional().describe(
        "Instead of seed: every converted variant is made and measured once for each",
      ),
      passes: z.literal([1, 2]).default(2).describe(
        "1: moments of the original only; 2: again after partial RoPE, as the official code",
      ),
    }).optional().describe(
      "What text conversions are calibrated on; needed where a variant is converted",
    ),
    engine: z.strictObject({
      name: z.enum(ENGINE_NAMES as readonly [EngineName, ...EngineName[]])
        .default("onnx").describe("What runs the models"),
      dtype: z.enum(["f32", "f16"]).default("f32").describe(
        "Element type of weights",
      ),
      device: z.enum(["cpu", "webgpu"]).describe(
        "Default: webgpu with engine webgpu, cpu with others",
      ).optional(),
      provider: z.enum(["deno", "dawn"]).describe(
        "Engine webgpu: Deno's own WebGPU or Dawn; default: deno",
      ).optional(),
      cacheDtype: z.enum(["f32", "f16"]).describe(
        "Engine webgpu: element type of the KV cache; default: dtype",
      ).optional(),
      software: z.boolean().describe(
        "Engine webgpu: whether a software adapter may be timed; default: false",
      ).optional(),
      threads: z.int().min(1).describe(
        "CPU threads of engines other than webgpu; default: all cores",
      ).optional(),
    }).prefault({}).describe("How models are run"),
    variants: z.array(z.discriminatedUnion("method", [first, ...rest])).min(1)
      .describe("The original and its conversions, in the order of tables"),
    measure: measureSchema.describe("What is measured of each variant"),
    report: z.strictObject({
      baseline: z.string().default("original").describe(
        "Label or method of the variant that others are compared with",
      ),
      figures: z.array(z.enum(FIGURES)).default([
        "perplexity-by-cache",
        "throughput-by-context",
        "pareto",
      ]).describe("Figures of the report, in order"),
    }).prefault({}).describe("What the report shows"),
    expect: z.array(z.strictObject({
      variant: z.string().min(1).describe("A glob over variant labels"),
      metric: z.enum(CHECKABLE_METRICS).describe("Measure and field"),
      contextTokens: z.int().min(2).optional().describe(
        "Only cells of this context; default: of all",
      ),
      value: z.number().describe("What the figure must be"),
      relative: z.number().min(0).optional().describe(
        "Allowed |measured - value| / |value|; one of relative and absolute is needed",
      ),
      absolute: z.number().min(0).optional().describe(
        "Allowed |measured - value|",
      ),
      source: z.string().optional().describe("Where the figure comes from"),
    })).default([]).describe(
      "Figures that must be met: one that is not makes the exit code 1",
    ),
    timeoutSeconds: z.number().positive().max(MAX_TIMEOUT_SECONDS).default(
      7200,
    ).describe("A cell that takes longer is ended and recorded as timeout"),
  });
}

/** An experiment file as written, defaults filled in, the matrix not yet expanded. */
export type ExperimentFile = z.output<ReturnType<typeof experimentSchema>>;

/** A variant: options directly, or several values of each in a matrix. */
function variantSchema(method: Method) {
  const bare = Object.fromEntries(
    Object.entries(method.options.shape).map((
      [key, schema],
    ) => [key, withoutDefault(schema as z.ZodType)]),
  );
  const options = Object.fromEntries(
    Object.entries(bare).map(([key, schema]) => [key, schema.optional()]),
  );
  const lists = Object.fromEntries(
    Object.entries(bare).map((
      [key, schema],
    ) => [key, z.array(schema).min(1).optional()]),
  );
  const base = {
    method: z.literal(method.name).describe(method.summary),
    label: z.string().max(80).regex(/^[^,\r\n]+$/).describe(
      "Unique; no commas, which separate globs",
    ).optional(),
    ...options,
  };
  if (Object.keys(options).length === 0) return z.strictObject(base);
  return z.strictObject({
    ...base,
    matrix: z.strictObject(lists).optional().describe(
      "Lists of values of options; every combination is a variant",
    ),
    include: z.array(z.strictObject(options)).optional().describe(
      "Further variants beside those of the matrix",
    ),
    exclude: z.array(z.strictObject(options)).optional().describe(
      "Combinations to leave out: those that have all values of an entry",
    ),
  });
}

/** Defaults belong to the method: filled in here they would turn a partial `exclude` into a full one. */
function withoutDefault(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodOptional || inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault
  ) {
    inner = inner.unwrap() as z.ZodType;
  }
  const { description } = schema;
  return description === undefined ? inner : inner.describe(description);
}

/**
 * The options of a method that have a default, with it.
 *
 * @param method The method.
 */
export function defaultOptions(method: Method): Record<string, unknown> {
  const defaults: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(method.options.shape)) {
    const parsed = (option as z.ZodType).safeParse(undefined);
    if (parsed.success && parsed.data !== undefined) {
      defaults[key] = parsed.data;
    }
  }
  return defaults;
}

/**
 * The JSON Schema for editors, as experiments/schema.json has it.
 *
 * @param methods The methods that `variants` may name.
 */
export function experimentJsonSchema(
  methods: readonly Method[],
): Record<string, unknown> {
  return z.toJSONSchema(experimentSchema(methods), {
    io: "input",
    target: "draft-7",
  }) as Record<string, unknown>;
}
