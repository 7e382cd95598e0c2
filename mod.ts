/**
 * Converts trained language models to multi-head latent attention (TransMLA,
 * arXiv 2502.07864) and measures originals and conversions.
 *
 * @example Convert a model and measure both
 * ```ts
 * import * as bench from "./mod.ts";
 *
 * const checkpoint = await bench.openCheckpoint("smollm2-135m-q4_1");
 * const tokenizer = bench.openTokenizer(checkpoint.tokenizerJson!);
 * const engine = await bench.openEngine("onnx");
 * const inputs = {
 *   engine,
 *   tokenizer,
 *   text: await bench.openText("brown/calibration"),
 * };
 * const options = { method: "transmla", freqFold: 2, kvLoraRank: 128 };
 * const original = bench.loadModel(checkpoint);
 * const converted = await bench.convertModel(original, options, inputs);
 *
 * const ids = tokenizer.encode((await bench.openText("brown/test")).text);
 * const windows = { windowTokens: 512, tokens: 8192 };
 * for (const model of [original, converted.model]) {
 *   const session = await engine.open(model);
 *   const { value } = await bench.perplexity(session, ids, windows);
 *   const { first, second } = bench.cacheWidths((await model.layer(0)).attention);
 *   console.log(first + second, "numbers a token and layer, perplexity", value);
 *   await session.close();
 * }
 * await engine.close();
 * checkpoint.tensors.close();
 * ```
 *
 * @example Compare a conversion's predictions with the original's
 * ```ts
 * import * as bench from "./mod.ts";
 *
 * const checkpoint = await bench.openCheckpoint("smollm2-135m-q4_1");
 * const tokenizer = bench.openTokenizer(checkpoint.tokenizerJson!);
 * const engine = await bench.openEngine("onnx");
 * const text = await bench.openText("brown/calibration");
 * const original = bench.loadModel(checkpoint);
 * const options = { method: "transmla", freqFold: 2, kvLoraRank: 128 };
 * const inputs = { engine, tokenizer, text };
 * const { model } = await bench.convertModel(original, options, inputs);
 *
 * const ids = tokenizer.encode((await bench.openText("brown/test")).text);
 * const windows = { windowTokens: 512, tokens: 2048 };
 * let session = await engine.open(original);
 * const states = await bench.windowStates({ model: original, session }, ids, windows);
 * await session.close();
 * session = await engine.open(model);
 * const { klNats, top1Agreement } = await bench.divergence({ model, session }, states);
 * console.log("KL", klNats, "nats, top-1 agreement", top1Agreement);
 * await engine.close();
 * checkpoint.tensors.close();
 * ```
 *
 * @module
 */

export type { Matrix64, Tensor } from "./src/base/tensor.ts";
export {
  CheckpointError,
  InputError,
  ShapeError,
  UnavailableError,
  UnsupportedModelError,
} from "./src/base/errors.ts";

export {
  openCheckpoint,
  openFirstCheckpoint,
  type OpenOptions,
} from "./src/checkpoint/open.ts";
export { MODEL_ALIASES } from "./src/checkpoint/model_aliases.ts";
export type {
  Checkpoint,
  TensorSource,
} from "./src/checkpoint/tensor_source.ts";

export { openTokenizer } from "./src/tokenizer/tokenizer_json.ts";
export type { Tokenizer } from "./src/tokenizer/tokenizer.ts";

export { openText, TEXT_NAMES } from "./src/text/open_text.ts";
export type { TextSource } from "./src/text/text_source.ts";

export type { ModelConfig } from "./src/model/config.ts";
export {
  type Attention,
  cacheWidths,
  type DecoderLayer,
  type DecoderModel,
  type GqaAttention,
  inMemoryModel,
  type MlaAttention,
  type PartialRopeAttention,
} from "./src/model/decoder.ts";
export { loadModel, type LoadOptions } from "./src/model/load.ts";
export type { LayerMoments, ModelMoments } from "./src/model/moments.ts";
export {
  cacheReduction,
  fullCacheElements,
  latentCacheElements,
  type LatentWidths,
} from "./src/model/cache_arithmetic.ts";
export { MODEL_PRESETS } from "./src/model/presets.ts";

export type {
  DecodeResult,
  Engine,
  EngineDescription,
  EngineName,
  EngineOptions,
  Session,
  TokenDivergence,
} from "./src/engine/engine.ts";
export { ENGINE_NAMES, openEngine } from "./src/engine/open.ts";

export {
  collectMoments,
  type CollectOptions,
} from "./src/calibration/moments.ts";
export { momentsInMemory } from "./src/calibration/moments_cache.ts";
export {
  sampleCalibration,
  type SamplingOptions,
} from "./src/calibration/sampler.ts";

export {
  pairedDelta,
  perplexity,
  type PerplexityOptions,
  type WindowScores,
} from "./src/evaluation/perplexity.ts";
export {
  type BatchOptions,
  divergence,
  type DivergenceScores,
  type ModelInSession,
  type WindowStates,
  windowStates,
  type WindowStatesOptions,
} from "./src/evaluation/divergence.ts";
export {
  commonPrefix,
  continueGreedily,
} from "./src/evaluation/continuation.ts";
export { cacheTheory, measureCache } from "./src/evaluation/cache_bytes.ts";
export {
  type Speed,
  throughput,
  type ThroughputOptions,
} from "./src/evaluation/throughput.ts";

export { methodByName, METHODS } from "./src/conversion/methods/mod.ts";
export type {
  Conversion,
  ConversionContext,
  LayerReport,
  Method,
} from "./src/conversion/method.ts";
export {
  type ConversionInputs,
  type ConversionRequest,
  convertModel,
} from "./src/cli/convert_model.ts";

export type { CellRecord } from "./src/experiment/record.ts";
export { loadRuns, writeReport } from "./src/report/mod.ts";
export {
  type ComparedRun,
  compareRuns,
  type Comparison,
} from "./src/report/compare.ts";
