// Where the webgpu engine's time goes: a scoring pass and a decode step of one
// model, each dispatch timed on the device, summed by kernel, beside the copy
// bandwidth of the same run. Then the same passes by the clock on the wall.

import { InputError, UnavailableError } from "../src/base/errors.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  note,
  parseFlags,
  print,
  runVerb,
} from "../src/cli/terminal.ts";
import { openGpu } from "../src/engine/webgpu/device/open_gpu.ts";
import { copyBandwidth } from "../src/engine/webgpu/device/copy_bandwidth.ts";
import type {
  Arena,
  Dispatch,
  Gpu,
  GpuProvider,
} from "../src/engine/webgpu/device/gpu.ts";
import {
  type GpuModel,
  uploadModel,
} from "../src/engine/webgpu/plan/gpu_model.ts";
import {
  allocateCache,
  allocateScratchCache,
} from "../src/engine/webgpu/plan/kv_cache.ts";
import { passWork, recordPass } from "../src/engine/webgpu/plan/pass_plan.ts";
import { layOut, uploadLayout } from "../src/engine/webgpu/plan/row_layout.ts";
import { recordScore } from "../src/engine/webgpu/plan/score_plan.ts";
import {
  allocateState,
  recordStep,
} from "../src/engine/webgpu/plan/step_plan.ts";
import type { DecoderModel } from "../src/model/decoder.ts";
import { loadModel } from "../src/model/load.ts";
import { syntheticModel } from "../src/model/synthetic.ts";
import { checkWritable } from "./output_file.ts";
import {
  describeProfile,
  type PassProfile,
  type Profile,
  type Share,
} from "./profile_report.ts";

const HELP = `deno task bench profile MODEL [options]

Times every kernel of a scoring pass and of a decode step on the GPU.

  MODEL            a folder, a .gguf file, an alias, or synthetic:NAME
  --provider NAME  deno or dawn (default: deno)
  --dtype NAME     f32 or f16, of weights (default: f32)
  --cache-dtype T  f32 or f16, of the cache (default: as --dtype)
  --window N       tokens of a scored window (default: 2048)
  --windows N      windows of a pass (default: 4)
  --context N      tokens in the cache of the decode step (default: 2048)
  --batch N        sequences decoded together (default: 1)
  --software       profile an adapter that computes on the CPU, too
  --json           print JSON instead of tables
  --out FILE       also write JSON there
  --help           this text`;

export async function benchProfile(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "provider",
      "dtype",
      "cache-dtype",
      "window",
      "windows",
      "context",
      "batch",
      "out",
    ],
    boolean: ["json", "software"],
  });
  if (flags["help"] === true || flags._.length !== 1) {
    print(HELP);
    return flags["help"] === true ? EXIT.ok : EXIT.badInput;
  }
  const settings = settingsOf(flags);
  if (settings.out !== undefined) await checkWritable(settings.out);
  const gpu = await openGpu({ provider: settings.provider });
  try {
    const result = await profile(gpu, settings);
    const json = JSON.stringify(result, null, 1);
    if (settings.out !== undefined) {
      await Deno.writeTextFile(settings.out, `${json}\n`);
    }
    print(flags["json"] === true ? json : describeProfile(result));
  } finally {
    await gpu.destroy();
  }
  return EXIT.ok;
}

interface Settings {
  readonly model: string;
  readonly provider: GpuProvider;
  readonly dtype: "f32" | "f16";
  readonly cacheDtype: "f32" | "f16";
  readonly window: number;
  readonly windows: number;
  readonly context: number;
  readonly batch: number;
  readonly software: boolean;
  readonly out: string | undefined;
}

function settingsOf(flags: Flags): Settings {
  const number = (name: string, otherwise: number) =>
    integerFlag(flags, name, 1) ?? otherwise;
  const element = (name: string, otherwise: "f32" | "f16") =>
    oneOf(name, flags[name] ?? otherwise, ["f32", "f16"]);
  const dtype = element("dtype", "f32");
  return {
    model: String(flags._[0]),
    provider: oneOf("provider", flags["provider"] ?? "deno", ["deno", "dawn"]),
    dtype,
    cacheDtype: element("cache-dtype", dtype),
    window: number("window", 2048),
    windows: number("windows", 4),
    context: number("context", 2048),
    batch: number("batch", 1),
    software: flags["software"] === true,
    out: typeof flags["out"] === "string" ? flags["out"] : undefined,
  };
}

async function profile(gpu: Gpu, settings: Settings): Promise<Profile> {
  const { dtype, cacheDtype, window, windows, context, batch } = settings;
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
  const arena = gpu.arena();
  try {
    note(`loading ${settings.model}`);
    const source = await readModel(settings.model);
    const model = await uploadModel(arena, source, dtype, cacheDtype);
    await gpu.settle();
    note("copying");
    const { bytesPerSecond } = await copyBandwidth(gpu);
    note(`scoring ${windows} x ${window} tokens`);
    const score = await measure(
      gpu,
      (own) => scorePass(own, model, window, windows),
    );
    note(`decoding after ${context} tokens`);
    const decode = await measure(
      gpu,
      (own) => decodeStep(own, model, context, batch),
    );
    return {
      adapter: facts,
      model: settings.model,
      dtype,
      cacheDtype,
      copyGigabytesPerSecond: bytesPerSecond / 1e9,
      score: { window, windows, ...score },
      decode: { context, batch, ...decode },
    };
  } finally {
    arena.destroy();
  }
}

async function measure(
  gpu: Gpu,
  record: (arena: Arena) => Dispatch[],
): Promise<PassProfile> {
  const arena = gpu.arena();
  try {
    const dispatches = record(arena);
    gpu.run(dispatches);
    await gpu.settle();
    const repetitions = 5;
    const start = performance.now();
    for (let i = 0; i < repetitions; i++) gpu.run(dispatches);
    await gpu.settle();
    const wallMs = (performance.now() - start) / repetitions;
    const seconds = await gpu.profile(dispatches);
    const byKernel = Map.groupBy(
      dispatches.map((dispatch, i) => ({ dispatch, seconds: seconds[i]! })),
      ({ dispatch }) => dispatch.label,
    );
    const kernels = [...byKernel].map(([kernel, runs]): Share => {
      const sum = (of: (run: (typeof runs)[number]) => number) =>
        runs.reduce((total, run) => total + of(run), 0);
      const time = sum((run) => run.seconds);
      return {
        kernel,
        dispatches: runs.length,
        ms: time * 1000,
        gigabytesPerSecond: sum(({ dispatch }) => dispatch.bytes) / time / 1e9,
        tflops: sum(({ dispatch }) => dispatch.flops) / time / 1e12,
      };
    }).sort((a, b) => b.ms - a.ms);
    const deviceMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
    return { wallMs, deviceMs, kernels };
  } finally {
    arena.destroy();
  }
}

function scorePass(
  arena: Arena,
  model: GpuModel,
  window: number,
  windows: number,
): Dispatch[] {
  const spans = Array.from(
    { length: windows },
    () => ({ past: 0, length: window }),
  );
  const layout = uploadLayout(arena, layOut(spans));
  const cache = allocateScratchCache(arena, model, windows, window);
  const pass = recordPass(arena, model, layout, { cache, firstSequence: 0 });
  return [...passWork(pass), ...recordScore(arena, model, pass).dispatches];
}

function decodeStep(
  arena: Arena,
  model: GpuModel,
  context: number,
  batch: number,
): Dispatch[] {
  // Room for every repetition: each moves the lengths on by one.
  const capacity = context + 64;
  const cache = allocateCache(arena, model, batch, capacity);
  const state = allocateState(arena, model, batch);
  arena.gpu.write(state.lengths, 0, new Uint32Array(batch).fill(context));
  return recordStep(arena, model, cache, state, batch * context);
}

async function readModel(name: string): Promise<DecoderModel> {
  if (name.startsWith("synthetic:")) return syntheticModel(name);
  return await loadModel(await openCheckpoint(name));
}

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
