// Where the webgpu engine's time goes: decode steps and a scoring pass of one
// model by kernel, the dispatches of each in a row, beside the copy bandwidth of the
// same run. The same passes whole, by the device's clock and by the one on the wall.

import { InputError, UnavailableError } from "../src/base/errors.ts";
import { oneLine } from "../src/base/excerpt.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { checkMlaWidths } from "../src/cli/mla_widths.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  note,
  parseFlags,
  print,
  runVerb,
} from "../src/cli/terminal.ts";
import type { ConversionContext } from "../src/conversion/method.ts";
import { mlaShape } from "../src/conversion/methods/mla_shape.ts";
import { openGpu } from "../src/engine/webgpu/device/open_gpu.ts";
import { copyBandwidth } from "../src/engine/webgpu/device/copy_bandwidth.ts";
import type { Gpu, GpuProvider } from "../src/engine/webgpu/device/gpu.ts";
import { ignoreTuned, tuningName } from "../src/engine/webgpu/kernels/tuned.ts";
import {
  type GpuModel,
  uploadModel,
} from "../src/engine/webgpu/plan/gpu_model.ts";
import { allocateScratchCache } from "../src/engine/webgpu/plan/kv_cache.ts";
import { passWork, recordPass } from "../src/engine/webgpu/plan/pass_plan.ts";
import { layOut, uploadLayout } from "../src/engine/webgpu/plan/row_layout.ts";
import { recordScore } from "../src/engine/webgpu/plan/score_plan.ts";
import {
  leastPass,
  timeKernels,
} from "../src/engine/webgpu/plan/step_profile.ts";
import { Turns } from "../src/engine/webgpu/turns.ts";
import { WebgpuSession } from "../src/engine/webgpu/webgpu_session.ts";
import { writeAtomically } from "../src/experiment/run_folder.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { loadModel } from "../src/model/load.ts";
import { syntheticModel } from "../src/model/synthetic.ts";
import { MOST_SEQUENCES, MOST_TOKENS } from "./load_limits.ts";
import { checkWritable } from "./output_file.ts";
import {
  describeProfile,
  type FailedPass,
  type PassProfile,
  type Profile,
} from "./profile_report.ts";

const HELP = `deno task bench profile MODEL [options]

Times decode steps and a scoring pass on the GPU: by the clock on the wall, by the
device's own, and by kernel, the dispatches of each in a row.

  MODEL               a folder, a .gguf file, an alias, or synthetic:NAME
  --kv-lora-rank R    decode latent attention of this rank; MODEL must be synthetic
  --qk-rope-head-dim M  dims of its rotary key (default: 64)
  --provider NAME     deno or dawn (default: deno)
  --dtype NAME        f32 or f16, of weights (default: f32)
  --cache-dtype T     f32 or f16, of the cache (default: as --dtype)
  --decode BxT,...    decode steps of B sequences after T tokens (default: 1x2048); none for none
  --steps N           decode steps timed in a row (default: 32)
  --score BxT         score B windows of T tokens (default: 4x2048); none for none
  --defaults          ignore tables of tuned shapes
  --software          profile an adapter that computes on the CPU, too
  --json              print JSON instead of tables
  --out FILE          also write JSON there
  --help              this text`;

export async function benchProfile(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "kv-lora-rank",
      "qk-rope-head-dim",
      "provider",
      "dtype",
      "cache-dtype",
      "decode",
      "steps",
      "score",
      "out",
    ],
    boolean: ["json", "software", "defaults"],
  });
  if (flags["help"] === true || flags._.length !== 1) {
    print(HELP);
    return flags["help"] === true ? EXIT.ok : EXIT.badInput;
  }
  const settings = settingsOf(flags);
  if (settings.out !== undefined) await checkWritable(settings.out);
  const gpu = await openGpu({ provider: settings.provider });
  try {
    if (flags["defaults"] === true) ignoreTuned(gpu);
    const result = await profile(gpu, settings);
    print(
      flags["json"] === true ? textOf(result) : describeProfile(result),
    );
    return result.failed === undefined ? EXIT.ok : EXIT.failed;
  } finally {
    await gpu.destroy();
  }
}

function textOf(profile: Profile): string {
  return JSON.stringify(profile, null, 1);
}

/** Sequences, and tokens of each. */
interface Load {
  readonly batch: number;
  readonly tokens: number;
}

interface Settings {
  readonly model: string;
  /** r and m of latent attention. */
  readonly latent: readonly [rank: number, rotary: number] | undefined;
  readonly provider: GpuProvider;
  readonly dtype: "f32" | "f16";
  readonly cacheDtype: "f32" | "f16";
  readonly decode: readonly Load[];
  readonly steps: number;
  readonly score: readonly Load[];
  readonly software: boolean;
  readonly out: string | undefined;
}

function settingsOf(flags: Flags): Settings {
  const element = (name: string, otherwise: "f32" | "f16") =>
    oneOf(name, flags[name] ?? otherwise, ["f32", "f16"]);
  const dtype = element("dtype", "f32");
  const rank = integerFlag(flags, "kv-lora-rank", 1);
  const rotary = integerFlag(flags, "qk-rope-head-dim", 2) ?? 64;
  const model = String(flags._[0]);
  if (rank === undefined && flags["qk-rope-head-dim"] !== undefined) {
    throw new InputError(
      `option --qk-rope-head-dim: found ${rotary}; allowed: only with --kv-lora-rank`,
    );
  }
  if (rank !== undefined) checkLatent(model, rank, rotary);
  const decode = loadsOf("decode", String(flags["decode"] ?? "1x2048"));
  const score = loadsOf("score", String(flags["score"] ?? "4x2048"));
  if (decode.length + score.length === 0) {
    throw new InputError(
      "options --decode, --score: found none for both; allowed: BATCHxTOKENS for one of them",
    );
  }
  return {
    model,
    latent: rank === undefined ? undefined : [rank, rotary],
    provider: oneOf("provider", flags["provider"] ?? "deno", ["deno", "dawn"]),
    dtype,
    cacheDtype: element("cache-dtype", dtype),
    decode,
    steps: integerFlag(flags, "steps", 1) ?? 32,
    score,
    software: flags["software"] === true,
    out: typeof flags["out"] === "string" ? flags["out"] : undefined,
  };
}

function loadsOf(name: string, text: string): Load[] {
  if (text === "none") return [];
  return text.split(",").map((part) => {
    const [, batch, tokens] = /^([1-9]\d*)x([1-9]\d*)$/.exec(part) ?? [];
    const load = { batch: Number(batch), tokens: Number(tokens) };
    if (load.batch <= MOST_SEQUENCES && load.tokens <= MOST_TOKENS) return load;
    throw new InputError(
      `option --${name}: found ${part}; allowed: BATCHxTOKENS with commas between, at most ${MOST_SEQUENCES} x ${MOST_TOKENS}, or none`,
    );
  });
}

/** Said before a model is loaded. */
function checkLatent(model: string, rank: number, rotary: number): void {
  if (!model.startsWith("synthetic:")) {
    throw new InputError(
      `option --kv-lora-rank: found with ${model}; allowed: only with synthetic:NAME`,
    );
  }
  checkMlaWidths(
    "options --kv-lora-rank, --qk-rope-head-dim",
    { kvLoraRank: rank, qkRopeHeadDim: rotary },
    syntheticModel(model).config,
  );
}

async function profile(gpu: Gpu, settings: Settings): Promise<Profile> {
  const { dtype, cacheDtype } = settings;
  const { facts, features } = gpu;
  const cannot = (reason: string) =>
    new UnavailableError(`Cannot profile on ${facts.name} as ${reason}`);
  if (facts.software && !settings.software) {
    throw cannot("it computes on the CPU; --software does it nonetheless");
  }
  if (!features.timestamps) throw cannot("it has no timestamps");
  if ((dtype === "f16" || cacheDtype === "f16") && !features.f16) {
    throw cannot("it has no f16");
  }
  note("copying");
  const { bytesPerSecond } = await copyBandwidth(gpu);
  const source = await modelOf(settings);
  note(`loading ${source.id}`);
  const model = await uploadModel(gpu.arena(), source, dtype, cacheDtype);
  await gpu.settle();
  const session = new WebgpuSession({
    gpu,
    model,
    turns: new Turns(),
    onClose() {},
  });
  const passes: PassProfile[] = [];
  const failed: FailedPass[] = [];
  const tuning = tuningName(gpu);
  const result = (): Profile => ({
    adapter: facts,
    model: source.id,
    dtype,
    cacheDtype,
    ...(tuning === undefined ? {} : { tuning }),
    copyBytesPerSecond: bytesPerSecond,
    passes,
    ...(failed.length === 0 ? {} : { failed }),
  });
  /** A pass that fails takes no other with it; what is timed is written at once. */
  const attempt = async (
    kind: PassProfile["kind"],
    load: Load,
    pass: () => Promise<PassProfile>,
  ) => {
    try {
      passes.push(await pass());
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      failed.push({ kind, ...load, error: oneLine(text) });
    }
    if (settings.out === undefined) return;
    await writeAtomically(settings.out, `${textOf(result())}\n`);
  };
  try {
    for (const load of settings.decode) {
      note(`decoding ${load.batch} x ${load.tokens} tokens`);
      await attempt(
        "decode",
        load,
        () => decodeStep(session, load, settings.steps),
      );
    }
    for (const load of settings.score) {
      note(`scoring ${load.batch} x ${load.tokens} tokens`);
      await attempt("score", load, () => scorePass(gpu, model, load));
    }
  } finally {
    await session.close();
  }
  return result();
}

/** Steps of a pass on the device's clock. */
const CLOCKED_STEPS = 4;

async function decodeStep(
  session: WebgpuSession,
  { batch, tokens }: Load,
  steps: number,
): Promise<PassProfile> {
  // Steps before the middle ones have less in the cache, those behind more.
  const warmup = Math.min(steps, 8);
  const before = Math.max(1, tokens - warmup - Math.floor(steps / 2));
  // The profiled step comes last.
  const reserve = warmup + steps + CLOCKED_STEPS + 1;
  await session.fill({ batch, tokens: before, reserve, seed: 1 });
  await session.decode(warmup);
  const { stepSeconds } = await session.decode(steps);
  return {
    kind: "decode",
    batch,
    // Where there are few, the steps before the middle one are more.
    tokens: before + warmup + Math.floor(steps / 2),
    wallSeconds: stepSeconds.reduce((sum, s) => sum + s, 0) / steps,
    deviceSeconds: await session.timeSteps(CLOCKED_STEPS),
    kernels: longestFirst(await session.profileStep()),
  };
}

async function scorePass(
  gpu: Gpu,
  model: GpuModel,
  { batch, tokens }: Load,
): Promise<PassProfile> {
  const arena = gpu.arena();
  try {
    const spans = Array.from(
      { length: batch },
      () => ({ past: 0, length: tokens }),
    );
    const layout = uploadLayout(arena, layOut(spans));
    const cache = allocateScratchCache(arena, model, batch, tokens);
    const pass = recordPass(arena, model, layout, { cache, firstSequence: 0 });
    const dispatches = [
      ...passWork(pass),
      ...recordScore(arena, model, pass).dispatches,
    ];
    gpu.run(dispatches);
    await gpu.settle();
    const repetitions = 5;
    const start = performance.now();
    for (let i = 0; i < repetitions; i++) gpu.run(dispatches);
    await gpu.settle();
    const wallSeconds = (performance.now() - start) / 1000 / repetitions;
    const deviceSeconds = await leastPass(gpu, dispatches);
    const kernels = await timeKernels(gpu, dispatches);
    return {
      kind: "score",
      batch,
      tokens,
      wallSeconds,
      deviceSeconds,
      kernels: longestFirst(kernels),
    };
  } finally {
    arena.destroy();
  }
}

function longestFirst(kernels: PassProfile["kernels"]): PassProfile["kernels"] {
  return kernels.toSorted((a, b) => b.seconds - a.seconds);
}

async function modelOf({ model, latent }: Settings): Promise<DecoderModel> {
  const source = model.startsWith("synthetic:")
    ? syntheticModel(model)
    : await loadModel(await openCheckpoint(model));
  if (latent === undefined) return source;
  const [kvLoraRank, qkRopeHeadDim] = latent;
  const options = { kvLoraRank, qkRopeHeadDim };
  mlaShape.check(options, source.config);
  return (await mlaShape.convert(source, options, NO_CALIBRATION)).model;
}

/** For a method that asks for nothing of it. */
const NO_CALIBRATION: ConversionContext = {
  passes: 1,
  moments: () => Promise.reject(new TypeError("No moments are there")),
  heldOutNll: () => Promise.reject(new TypeError("No text is there")),
};

function oneOf<T extends string>(
  name: string,
  value: unknown,
  allowed: readonly T[],
): T {
  const found = allowed.find((each) => each === value);
  if (found !== undefined) return found;
  throw new InputError(
    `Cannot profile as --${name} must be ${
      allowed.join(" or ")
    }: current value is ${value}`,
  );
}

if (import.meta.main) await runVerb(benchProfile);
