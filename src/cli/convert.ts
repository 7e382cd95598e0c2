// deno task convert MODEL --out DIR: converts a checkpoint and writes the result
// as a checkpoint folder with a certificate.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { sampleHeldOut } from "../calibration/sampler.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import {
  type StoredDType,
  writeCheckpointWeights,
} from "../checkpoint/safetensors_writer.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import { methodByName, METHODS } from "../conversion/methods/mod.ts";
import type { Conversion, Method } from "../conversion/method.ts";
import type { Engine } from "../engine/engine.ts";
import { openEngine } from "../engine/open.ts";
import { gitState } from "../experiment/provenance.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { loadModel } from "../model/load.ts";
import { formatPercent } from "../report/format.ts";
import { openText } from "../text/open_text.ts";
import { openTokenizer } from "../tokenizer/tokenizer_json.ts";
import {
  type Certificate,
  largestDifference,
  meanLoss,
  probeLosses,
  tensorNorms,
} from "./certificate.ts";
import {
  CALIBRATION_DEFAULTS,
  type ConversionInputs,
  convertModel,
} from "./convert_model.ts";
import {
  latentConfig,
  latentSizes,
  latentTensors,
  loadLatentModel,
} from "./latent_checkpoint.ts";
import { refuseFull, writingFolder } from "./converted_folder.ts";
import { methodOptions, parseMethodOptions } from "./method_options.ts";
import { modelCard } from "./model_card.ts";
import { Progress } from "./progress.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  note,
  parseFlags,
  print,
  runVerb,
  wrapText,
} from "./terminal.ts";

const DTYPES: readonly StoredDType[] = ["f32", "f16", "bf16"];

// Windows of the certificate: enough to notice an error, small enough to store.
const PROBE = { windows: 4, windowTokens: 64 };

const OPTIONS = ["out", "method", "calibration", "dtype", "engine"];
const CALIBRATION = ["samples", "tokens", "seed", "passes"];

const HELP = `deno task convert MODEL --out DIR [options]

Converts a checkpoint to latent attention and writes safetensors, config.json,
tokenizer.json, certificate.json and a model card.

  MODEL               a folder, a .gguf file, a hub id or an alias
  --out DIR           where to write; it must be empty or missing
  --method NAME       default: transmla
  --calibration TEXT  default: brown/calibration
  --samples N --tokens N --seed N --passes 1|2
                      default: 128 sequences of 256 tokens, seed 42, 2 passes
  --dtype f32|f16|bf16  of the stored weights; default: f32
  --engine NAME       default: onnx
  --help              this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is wrong or the folder is not empty.
 */
export async function convert(args: readonly string[]): Promise<number> {
  const method = methodByName(methodNameIn(args));
  const names = Object.keys(method.options.shape);
  const flags = parseFlags(args, {
    string: [...OPTIONS, ...CALIBRATION, ...names.map(kebabCase)],
  });
  if (flags["help"] === true) {
    print(
      `${HELP}\n\nOptions of method ${method.name}:\n${optionTable(method)}`,
    );
    return EXIT.ok;
  }
  const [location] = flags._;
  const out = flags["out"];
  if (location === undefined || flags._.length > 1 || typeof out !== "string") {
    throw new InputError(
      "one MODEL and --out must be given; deno task convert MODEL --out DIR",
    );
  }
  const dtype = oneOf(flags, "dtype", DTYPES, "f32");
  const engineName = oneOf(flags, "engine", ["onnx", "reference"], "onnx");
  // What config.json of DeepSeek cannot say: keys and values that are not latent.
  if (!method.latent) {
    const latent = METHODS.filter(({ latent, syntheticOnly }) =>
      latent && syntheticOnly !== true
    );
    throw new InputError(
      `Cannot write method ${method.name} as attention must be latent (allowed: ${
        latent.map(({ name }) => name).join(", ")
      })`,
    );
  }
  const options = optionsIn(flags, method);
  refuseMissing(method, options);
  const checked = parseMethodOptions(method, options);
  await refuseFull(out);
  const checkpoint = await openCheckpoint(location);
  const engine = await openEngine(engineName);
  const progress = new Progress();
  progress.begin(`${method.name} ${checkpoint.id}`);
  try {
    if (checkpoint.tokenizerJson === undefined) {
      throw new InputError(
        `Cannot convert ${location} as it has no tokenizer.json to calibrate with`,
      );
    }
    const original = loadModel(checkpoint);
    refuseMisfit(() => method.check(checked, original.config));
    const { vocabSize } = original.config;
    const inputs: ConversionInputs = {
      engine,
      tokenizer: openTokenizer(checkpoint.tokenizerJson, vocabSize),
      text: await openText(String(flags["calibration"] ?? "brown/calibration")),
      cacheFolder: join(cacheFolder(), "moments"),
      ...calibrationIn(flags),
      progress: (stage, done, total) => progress.update(stage, done, total),
    };
    const request = { method: method.name, ...options };
    const conversion = await convertModel(original, request, inputs);
    progress.clear();
    const certificate = await writingFolder(
      out,
      () => write(out, dtype, checkpoint, original, conversion, method, inputs),
    );
    note(conclusion(out, certificate));
  } finally {
    await engine.close();
    checkpoint.tensors.close();
  }
  print(out);
  return EXIT.ok;
}

async function write(
  out: string,
  dtype: StoredDType,
  checkpoint: Checkpoint,
  original: DecoderModel,
  conversion: Conversion,
  method: Method,
  inputs: ConversionInputs,
): Promise<Certificate> {
  const { frequencies, ...sizes } = await latentSizes(conversion.model);
  const config = latentConfig(sizes, {
    format: 1,
    original: {
      id: checkpoint.id,
      sha256: checkpoint.sha256,
      config: checkpoint.configJson,
    },
    method: method.name,
    options: conversion.resolved,
    rotaryFrequencies: [...frequencies],
    kvALayernorm: false,
  });
  const torchType = { f32: "float32", f16: "float16", bf16: "bfloat16" }[dtype];
  const write = (name: string, content: unknown) =>
    Deno.writeTextFile(
      join(out, name),
      JSON.stringify(content, null, 2) + "\n",
    );
  await write("config.json", { ...config, torch_dtype: torchType });
  await write("tokenizer.json", checkpoint.tokenizerJson);
  const items = await latentTensors(conversion.model, dtype);
  await writeCheckpointWeights(out, items);
  const certificate = await certify(out, original, conversion.model, inputs);
  await write("certificate.json", certificate);
  await Deno.writeTextFile(
    join(out, "README.md"),
    modelCard({
      checkpoint,
      conversion,
      method,
      certificate,
      dtype,
      calibration: {
        text: inputs.text.name,
        textSha256: inputs.text.sha256,
        samples: inputs.samples ?? CALIBRATION_DEFAULTS.samples,
        tokens: inputs.tokens ?? CALIBRATION_DEFAULTS.tokens,
        seed: inputs.seed ?? CALIBRATION_DEFAULTS.seed,
        passes: inputs.passes ?? CALIBRATION_DEFAULTS.passes,
      },
      commit: (await gitState())?.commit,
    }),
  );
  return certificate;
}

/** What the conversion saved and cost, and how to check it. */
function conclusion(out: string, { cache, probe }: Certificate): string {
  const { originalNumbersPerTokenAndLayer: before } = cache;
  const { numbersPerTokenAndLayer: after } = cache;
  return [
    `cache    ${before} -> ${after} numbers a token and layer (${
      formatPercent(after / before - 1)
    })`,
    `loss     ${probe.originalMeanNll.toFixed(4)} -> ${
      probe.meanNll.toFixed(4)
    } nats a token on ${probe.ids.length} windows of ${
      probe.ids[0]?.length
    } tokens of ${probe.text}, not calibrated with`,
    `check with: deno task verify ${out}`,
  ].join("\n");
}

/** Options that the model's heads cannot have are the user's to mend. */
function refuseMisfit(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(error.message);
  }
}

function refuseMissing(
  method: Method,
  options: Readonly<Record<string, unknown>>,
): void {
  for (const { name, fallback, meaning } of methodOptions(method)) {
    if (fallback !== undefined || name in options) continue;
    throw new InputError(`option --${kebabCase(name)} is required: ${meaning}`);
  }
}

function optionTable(method: Method): string {
  const rows = methodOptions(method).map(({ name, fallback, meaning }) => ({
    name: `  --${kebabCase(name)}`,
    fallback: fallback === undefined ? "required" : String(fallback),
    meaning,
  }));
  const nameWidth = Math.max(...rows.map(({ name }) => name.length)) + 2;
  const width = nameWidth +
    Math.max("default".length, ...rows.map((row) => row.fallback.length)) + 2;
  const line = (name: string, fallback: string, meaning: string) =>
    (name.padEnd(nameWidth) + fallback).padEnd(width) +
    wrapText(meaning, width);
  return [
    line("  option", "default", "meaning"),
    ...rows.map(({ name, fallback, meaning }) => line(name, fallback, meaning)),
  ].join("\n");
}

/** Measures the written folder, not the model in memory. */
async function certify(
  out: string,
  original: DecoderModel,
  converted: DecoderModel,
  inputs: ConversionInputs,
): Promise<Certificate> {
  const { engine, text, tokenizer } = inputs;
  const sampling = { ...CALIBRATION_DEFAULTS, ...inputs };
  const ids = sampleHeldOut(text, tokenizer, sampling, PROBE)
    .map((window) => [...window]);
  const before = await losses(engine, original, ids);
  const inMemory = await losses(engine, converted, ids);
  const written = await openCheckpoint(out);
  try {
    const { model, sizes } = loadLatentModel(written);
    const session = await engine.open(model);
    const nll = await probeLosses(session, ids);
    await session.close();
    const { numKeyValueHeads, headDim, numHiddenLayers } = model.config;
    const numbers = sizes.kvLoraRank + sizes.qkRopeHeadDim;
    return {
      format: 1,
      files: [...written.files],
      norms: await tensorNorms(written),
      cache: {
        originalNumbersPerTokenAndLayer: 2 * numKeyValueHeads * headDim,
        numbersPerTokenAndLayer: numbers,
        bytesPerToken: 4 * numbers * numHiddenLayers,
      },
      probe: {
        text: text.name,
        engine: engine.describe().name,
        ids,
        originalMeanNll: meanLoss(before),
        meanNll: meanLoss(nll),
        nll,
        storageError: largestDifference(nll, inMemory),
      },
    };
  } finally {
    written.tensors.close();
  }
}

async function losses(
  engine: Engine,
  model: DecoderModel,
  ids: readonly (readonly number[])[],
): Promise<number[][]> {
  const session = await engine.open(model);
  try {
    return await probeLosses(session, ids);
  } finally {
    await session.close();
  }
}

// The method decides which options there are, so it is looked for first.
function methodNameIn(args: readonly string[]): string {
  const at = args.findIndex((arg) => /^--method(=|$)/.test(arg));
  if (at < 0) return "transmla";
  return args[at]!.split("=")[1] ?? args[at + 1] ?? "";
}

function optionsIn(flags: Flags, method: Method): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const name of Object.keys(method.options.shape)) {
    const text = flags[kebabCase(name)];
    if (typeof text === "string") options[name] = valueOf(text);
  }
  return options;
}

function calibrationIn(flags: Flags): Partial<ConversionInputs> {
  const passes = integerFlag(flags, "passes", 1);
  if (passes !== undefined && passes !== 1 && passes !== 2) {
    throw new InputError(`option --passes: found ${passes}; allowed: 1, 2`);
  }
  const given = {
    samples: integerFlag(flags, "samples", 1),
    tokens: integerFlag(flags, "tokens", 2),
    seed: integerFlag(flags, "seed", 0),
    passes,
  };
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
}

function valueOf(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function oneOf<T extends string>(
  flags: Flags,
  name: string,
  allowed: readonly T[],
  otherwise: T,
): T {
  const found = flags[name] ?? otherwise;
  const known = allowed.find((value) => value === found);
  if (known !== undefined) return known;
  throw new InputError(
    `option --${name}: found ${found}; allowed: ${allowed.join(", ")}`,
  );
}

if (import.meta.main) await runVerb(convert);
