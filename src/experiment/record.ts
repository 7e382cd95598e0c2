// The record of a cell: the only truth of a run. Tables, figures and pages are
// rebuilt from these. Units are in the names of the fields.

import type { LayerReport } from "../conversion/method.ts";
import type { KernelTime } from "../engine/engine.ts";
import type { StageSeconds } from "./stage_clock.ts";

/** Raised when fields of CellRecord change meaning. */
export const SCHEMA_VERSION = 1;

/** What a cell measures. */
export type Measure =
  | "perplexity"
  | "divergence"
  | "cache"
  | "throughput"
  | "conversion";

/** How a cell ended. */
export type CellStatus = "ok" | "failed" | "oom" | "timeout" | "skipped";

/** Perplexity of non-overlapping windows of contextTokens. */
export interface PerplexityMetrics {
  /** exp(meanNll) */
  readonly value: number;
  /** Mean over windows of the mean NLL of each window's T-1 predictions, nats. */
  readonly meanNll: number;
  /** Standard error of meanNll over windows. */
  readonly stderr: number;
  /** How many were scored. */
  readonly windows: number;
  /** Tokens of each: contextTokens. */
  readonly windowTokens: number;
  /** windows · windowTokens */
  readonly tokens: number;
  /** Name of the text. */
  readonly text: string;
  /** Of its UTF-8 bytes. */
  readonly textSha256: string;
  /** Mean NLL of each window; makes paired differences possible after the fact. */
  readonly windowNll: readonly number[];
  /** meanNll minus the baseline's on the same windows; absent for the baseline. */
  readonly deltaNll?: number;
  /** 95 % interval of deltaNll from paired differences (Student's t). */
  readonly deltaNllCi95?: readonly [number, number];
}

/** A prompt continued greedily by the original and by a variant. */
export interface ContinuationPair {
  /** What both continue. */
  readonly prompt: string;
  /** What the original adds. */
  readonly original: string;
  /** What the variant adds. */
  readonly variant: string;
  /** Tokens that each adds. */
  readonly tokens: number;
  /** Of these, how many are equal before the first that is not. */
  readonly commonTokens: number;
}

/**
 * How far a variant's predictions are from the original's on the same
 * non-overlapping windows of contextTokens.
 */
export interface DivergenceMetrics {
  /** Mean over windows of the mean KL(original || variant) of each window's T-1 predictions over the whole vocabulary, nats. */
  readonly klNats: number;
  /** Standard error of klNats over windows. */
  readonly klStderr: number;
  /** Mean KL of each window. */
  readonly windowKl: readonly number[];
  /** Mean over windows of the part of predictions whose most likely token is the original's, 0-1. */
  readonly top1Agreement: number;
  /** Top-1 agreement of each window. */
  readonly windowAgreement: readonly number[];
  /** How many were scored. */
  readonly windows: number;
  /** Tokens of each: contextTokens. */
  readonly windowTokens: number;
  /** windows · windowTokens */
  readonly tokens: number;
  /** Name of the text. */
  readonly text: string;
  /** Of its UTF-8 bytes. */
  readonly textSha256: string;
  /** Absent where the experiment asks for none. */
  readonly continuations?: readonly ContinuationPair[];
}

/** KV cache of contextTokens tokens of one sequence. */
export interface CacheMetrics {
  /** Numbers a token in each layer. */
  readonly elementsByLayer: readonly number[];
  /** Their mean. */
  readonly elementsPerTokenPerLayer: number;
  /** Theory: sum over layers times bytes of an element. */
  readonly bytesPerToken: number;
  /** Bytes of the live buffers after a prefill of measuredTokens. */
  readonly measuredBytes: number;
  /** Tokens in the cache then. */
  readonly measuredTokens: number;
  /** 1 - bytesPerToken / the original's, 0-1. */
  readonly reduction: number;
  /** How much more memory of the device (of the process, on a software adapter) a longer cache took; of the webgpu engine, at the longest context. */
  readonly memoryGrowthBytes?: number;
  /** Theory of the same: more tokens times bytesPerToken. */
  readonly expectedGrowthBytes?: number;
  /** memoryGrowthBytes / expectedGrowthBytes */
  readonly memoryGrowthRatio?: number;
  /** Why the growth was not measured. */
  readonly memoryNote?: string;
}

/** Speed with a cache of contextTokens tokens. */
export interface ThroughputMetrics {
  /** Sequences at once. */
  readonly batchSize: number;
  /** Prompt tokens / median prefill time; absent where the cache was filled with seeded numbers instead. */
  readonly prefillTokensPerSecond?: number;
  /** batchSize / median step time. */
  readonly decodeTokensPerSecond: number;
  /** Times taken, all repetitions together: one a step, or one for several where an engine submits them together. */
  readonly decodeSamples: number;
  /** Timed prefills. */
  readonly repetitions: number;
  /** Median time of a decode step. */
  readonly p50Ms: number;
  /** 95th percentile of the same. */
  readonly p95Ms: number;
  /** Weights, cache and scratch, bytes. */
  readonly memoryBytes: number;
  /** What memoryBytes is made of. */
  readonly memory?: {
    /** All weights, as the engine keeps them. */
    readonly weightBytes: number;
    /** Of all sequences at their longest. */
    readonly cacheBytes: number;
    /** Activations and other buffers of decoding, where the engine says. */
    readonly scratchBytes: number;
    /** memoryBudget, or else the device's memory, times memoryUtilization; absent where neither is known. */
    readonly budgetBytes?: number;
  };
  /** Bytes that a step must move at least (weights and cache), over the copy bandwidth of the same run: what no step can beat. */
  readonly roofline?: {
    /** Each weight that a step reads once, and the cache; the mean over the timed steps. */
    readonly stepBytes: number;
    /** Read and written ones together. */
    readonly copyBytesPerSecond: number;
    /** batchSize · copyBytesPerSecond / stepBytes. */
    readonly tokensPerSecond: number;
    /** decodeTokensPerSecond / tokensPerSecond. */
    readonly fraction: number;
  };
  /** Time by kernel of one step at this context, the dispatches of each kernel in a row. */
  readonly kernels?: readonly KernelTime[];
  /** Where whole requests are timed: half of the context comes in, half goes out. */
  readonly requests?: {
    /** Of all, batchSize at once. */
    readonly count: number;
    /** Of each request, prefilled. */
    readonly inputTokens: number;
    /** Of each request, decoded. */
    readonly outputTokens: number;
    /** count · outputTokens / seconds, prefill included. */
    readonly outputTokensPerSecond: number;
    /** Of all requests, from the samples. */
    readonly seconds: number;
    /** Of these, of all prefills. */
    readonly prefillSeconds: number;
    /** Input tokens whose prefill was timed; the rest is in proportion. */
    readonly prefillSampledTokens: number;
    /** Where along the generation steps were timed; between them the time is linear. */
    readonly sampledSteps: readonly {
      /** In the cache of each sequence, the mean over the timed steps. */
      readonly contextTokens: number;
      /** Median time of a step. */
      readonly ms: number;
    }[];
    /** Where count is no multiple of batchSize: the requests that are left, decoded as a batch of their own; absent in earlier records, where they take their share of a whole batch's time. */
    readonly lastBatch?: {
      /** At once. */
      readonly sequences: number;
      /** As of a whole batch. */
      readonly sampledSteps: readonly {
        /** In the cache of each sequence, the mean over the timed steps. */
        readonly contextTokens: number;
        /** Median time of a step. */
        readonly ms: number;
      }[];
    };
  };
}

/** What a throughput cell asks of the device. */
export interface Load {
  /** Sequences at once; "auto": as many as fit. */
  readonly batch: number | "auto";
  /** What they must fit, for instance "24GiB"; absent where nothing is stated. */
  readonly memoryBudget?: string;
}

/** One conversion. */
export interface ConversionMetrics {
  /** Time of the conversion without its calibration. */
  readonly wallSeconds: number;
  /** Time of the forward passes for moments, 0 where they came from the cache. */
  readonly calibrationWallSeconds: number;
  /** Whether no forward pass was needed. */
  readonly calibrationCached: boolean;
  /** Calibration tokens of each pass. */
  readonly calibrationTokens: number;
  /** Names of the moments that it used, 16 hex digits each: one a calibrated model. */
  readonly momentsSha256?: readonly string[];
  /** keptEnergy of each layer, 0-1. */
  readonly keptEnergyByLayer: readonly number[];
  /** What is worth recording of each layer. */
  readonly layers: readonly LayerReport[];
  /** Options with every default and `auto` resolved. */
  readonly resolved: Readonly<Record<string, unknown>>;
}

/** A variant as the experiment file has it, defaults filled in. */
export interface VariantRecord {
  /** Its name; the options follow beside it. */
  readonly method: string;
  readonly [option: string]: unknown;
}

interface CellCommon {
  /** Version of this format. */
  readonly schemaVersion: typeof SCHEMA_VERSION;
  /** The experiment's name. */
  readonly experiment: string;
  /** The run's id. */
  readonly runId: string;
  /** The cell's id: 16 hex digits of the hash of all that decides its numbers. */
  readonly cell: string;
  /** How it ended. */
  readonly status: CellStatus;
  /** One line; present unless status is "ok". */
  readonly error?: string;
  /** The original. */
  readonly model: {
    /** The name that was had. */
    readonly id: string;
    /** Of the weight files. */
    readonly sha256: string;
    /** As in config.json: "llama", "qwen2". */
    readonly modelType: string;
    /** L */
    readonly numHiddenLayers: number;
    /** D */
    readonly hiddenSize: number;
    /** H */
    readonly numAttentionHeads: number;
    /** G */
    readonly numKeyValueHeads: number;
    /** d */
    readonly headDim: number;
  };
  /** Method and options as the experiment has them, defaults filled in. */
  readonly variant: VariantRecord;
  /** Short and unique in the run: "transmla F4 m32 r88 bkv". */
  readonly variantLabel: string;
  /** Seed of the calibration's sample; present where the experiment names several. */
  readonly calibrationSeed?: number;
  /** The label that cells of one variant share over calibration seeds: variantLabel is then "<variantGroup> s43". */
  readonly variantGroup?: string;
  /** What ran it. */
  readonly engine: {
    /** "reference", "onnx" or "webgpu". */
    readonly name: string;
    /** "deno" or "dawn" of webgpu, "cpu" or "webgpu" of onnx. */
    readonly provider?: string;
    /** Element type of weights. */
    readonly dtype: string;
    /** Element type of the KV cache, where it can differ from dtype. */
    readonly cacheDtype?: string;
    /** The GPU, its driver with it. */
    readonly adapter?: string;
    /** "software": it computes on the CPU. */
    readonly adapterKind?: "gpu" | "software";
  };
  /** The context; absent for "conversion". */
  readonly contextTokens?: number;
  /** Of "throughput", where the experiment lists several. */
  readonly load?: Load;
  /** Peak resident memory of the engine process, of peakMemoryScope. */
  readonly peakMemoryBytes: number;
  /** "cell": of this cell. "process" or absent: since the process began, where the system cannot count anew. */
  readonly peakMemoryScope?: "cell" | "process";
  /** Time of the cell. */
  readonly wallSeconds: number;
  /** Of wallSeconds, by stage. */
  readonly stageSeconds?: StageSeconds;
  /** Starting an engine process for this cell, not in wallSeconds. */
  readonly startSeconds?: number;
  /** Times that this cell ran the calibration text through a model. */
  readonly calibrationRuns?: number;
  /** When the cell began, ISO 8601, UTC. */
  readonly startedAt: string;
  /** Git commit of the suite, where known. */
  readonly commit?: string;
}

/** One measured cell; `metrics` is present where status is "ok". */
export type CellRecord =
  & CellCommon
  & (
    | { readonly measure: "perplexity"; readonly metrics?: PerplexityMetrics }
    | { readonly measure: "divergence"; readonly metrics?: DivergenceMetrics }
    | { readonly measure: "cache"; readonly metrics?: CacheMetrics }
    | { readonly measure: "throughput"; readonly metrics?: ThroughputMetrics }
    | { readonly measure: "conversion"; readonly metrics?: ConversionMetrics }
  );
