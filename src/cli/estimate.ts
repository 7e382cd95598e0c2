// deno task estimate MODEL: what cache and conversion will take, from a model's
// configuration alone.

import { InputError } from "../base/errors.ts";
import { parseByteSize } from "../experiment/byte_size.ts";
import { conversionMemory } from "../experiment/conversion_memory.ts";
import {
  assumedGflops,
  estimateCells,
  parameterCount,
} from "../experiment/estimate.ts";
import {
  cacheEquations,
  type CacheRequest,
  checkLatentWidths,
  ELEMENT_BYTES,
  estimateCaches,
} from "../experiment/model_estimate.ts";
import {
  fullCacheElements,
  latentCacheElements,
  type LatentWidths,
  paperLatentWidths,
} from "../model/cache_arithmetic.ts";
import type { ModelConfig } from "../model/config.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { CALIBRATION_DEFAULTS } from "./convert_model.ts";
import { estimateText, type ModelEstimate } from "./estimate_text.ts";
import { readModelConfig } from "./model_config.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

/** The paper's Table 4. */
const CONTEXTS = [1024, 2048, 4096, 8192, 16384, 32768];

/** The official code's default. */
const DEFAULT_ROPE_HEAD_DIM = 64;

const HELP = `deno task estimate MODEL [options]

What cache and conversion of a model will take, by arithmetic, with the
equations: no weight is read, and of the hub only config.json.

  MODEL                  a folder, a config.json, a .gguf, a hub id, an alias, or one of
                         ${Object.keys(MODEL_PRESETS).slice(0, 4).join(", ")},
                         ${Object.keys(MODEL_PRESETS).slice(4).join(", ")}
  --qk-rope-head-dim M,...  dims that keep RoPE
  --kv-lora-rank R,...   widths of the latent; full: 2·G·d - m
                         default: the paper's cuts of -68.75, -81.25 and -87.5 %,
                         and the official code's 64 + 512
  --contexts N,...       default: ${CONTEXTS.join(",")}
  --batch N              sequences; default: 1
  --dtype f16|f32        of weights and cache; default: f16
  --memory SIZE          also the largest batch that fits, for instance 24GiB
  --gflops N             f32 rate for the time of a conversion;
                         default: ${assumedGflops("cpu")}, a CPU of 2 cores
  --json                 as JSON
  --help                 this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is wrong, or m and r are impossible for the model.
 */
export async function estimate(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "qk-rope-head-dim",
      "kv-lora-rank",
      "contexts",
      "batch",
      "dtype",
      "memory",
      "gflops",
    ],
    boolean: ["json"],
  });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const [name, ...others] = flags._;
  if (name === undefined || others.length > 0) {
    throw new InputError(
      `one MODEL must be given, found ${flags._.length}; deno task estimate MODEL`,
    );
  }
  const request = requestOf(flags);
  const gflops = integerFlag(flags, "gflops", 1) ?? assumedGflops("cpu");
  const { config, source } = await readModelConfig(name);
  const widths = widthsOf(flags, config);
  for (const width of widths) checkLatentWidths(config, width);
  const caches = estimateCaches(config, widths, request);
  const { samples, tokens, passes } = CALIBRATION_DEFAULTS;
  const result: ModelEstimate = {
    model: name,
    source,
    config,
    parameters: parameterCount(config),
    request,
    caches,
    equations: cacheEquations(config, caches, request),
    memory: conversionMemory(config, widths, samples * tokens),
    time: {
      gflops,
      calibration: { samples, tokens, passes },
      ...conversionSeconds(name, config, widths[0], gflops),
    },
  };
  print(
    flags["json"] ? JSON.stringify(result, null, 1) : estimateText(result),
  );
  return EXIT.ok;
}

function requestOf(flags: Flags): CacheRequest {
  const dtype = flags["dtype"] ?? "f16";
  if (dtype !== "f16" && dtype !== "f32") {
    throw new InputError(
      `option --dtype: found ${dtype}; allowed: ${
        Object.keys(ELEMENT_BYTES).join(", ")
      }`,
    );
  }
  return {
    dtype,
    batch: integerFlag(flags, "batch", 1) ?? 1,
    contexts: numbers(flags, "contexts") ?? CONTEXTS,
    ...(flags["memory"] === undefined
      ? {}
      : { memoryBytes: parseByteSize(String(flags["memory"])) }),
  };
}

/** All combinations of what is asked for; what is left open is the paper's. */
function widthsOf(flags: Flags, config: ModelConfig): LatentWidths[] {
  const rotary = numbers(flags, "qk-rope-head-dim");
  const asked = flags["kv-lora-rank"];
  if (asked === undefined) {
    const usual = paperLatentWidths(config);
    if (rotary === undefined) return usual;
    for (const m of rotary) {
      checkLatentWidths(config, { qkRopeHeadDim: m, kvLoraRank: 1 });
    }
    const kept = usual.map(latentCacheElements);
    return rotary.flatMap((m) =>
      kept.filter((elements) => elements > m).map((elements) => ({
        qkRopeHeadDim: m,
        kvLoraRank: elements - m,
      }))
    );
  }
  const isFull = String(asked).split(",").map((word) => word.trim() === "full");
  const ranks = numbers(flags, "kv-lora-rank", ["full"])!;
  return (rotary ?? [DEFAULT_ROPE_HEAD_DIM]).flatMap((m) =>
    ranks.map((rank, i) => ({
      qkRopeHeadDim: m,
      kvLoraRank: isFull[i] ? fullCacheElements(config) - m : rank,
    }))
  );
}

/** A list of whole numbers; `words` are allowed too, as NaN. */
function numbers(
  flags: Flags,
  name: string,
  words: readonly string[] = [],
): number[] | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  return String(text).split(",").map((part) => {
    const word = part.trim();
    if (words.includes(word)) return NaN;
    const value = Number(word);
    if (word !== "" && Number.isSafeInteger(value) && value >= 1) return value;
    throw new InputError(
      `option --${name}: found ${text}; allowed: ${
        [...words, "whole numbers >= 1"].join(" or ")
      }, separated by commas`,
    );
  });
}

/** Time of a conversion as --dry-run estimates it: a second one finds the moments that the first has made. */
function conversionSeconds(
  name: string,
  config: ModelConfig,
  widths: LatentWidths | undefined,
  gflops: number,
): { calibrationSeconds: number; decompositionSeconds: number } {
  const cell = {
    cell: "estimate",
    variant: { method: "transmla", freqFold: "auto", ...widths },
    variantLabel: "transmla",
    measure: "conversion",
  } as const;
  const [first, further] = estimateCells(
    [cell, cell],
    {
      name: "estimate",
      model: name,
      calibration: { text: "", ...CALIBRATION_DEFAULTS },
      engine: { name: "onnx", dtype: "f32", device: "cpu" },
      variants: [cell.variant],
      measure: {},
      report: { baseline: "original", figures: [] },
      expect: [],
      timeoutSeconds: 1,
    },
    {
      requestedModels: [name],
      modelsNotHad: [],
      modelName: name,
      modelSha256: "",
      config,
      files: [],
      textSha256: {},
      textCharacters: {},
    },
    "cpu",
    gflops,
  );
  return {
    calibrationSeconds: first!.seconds - further!.seconds,
    decompositionSeconds: further!.seconds,
  };
}

if (import.meta.main) await runVerb(estimate);
