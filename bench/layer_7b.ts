// One synthetic layer at LLaMA-2-7B's shapes through RoRoPE, balancing, the
// joint PCA and absorption: seconds, peak memory and kept energy, and the same
// path against the dense solver on a layer that it can decompose.

import { join } from "node:path";
import process from "node:process";
import { InputError } from "../src/base/errors.ts";
import { type Matrix64, tensor, zeros64 } from "../src/base/tensor.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  note,
  parseFlags,
  print,
} from "../src/cli/terminal.ts";
import { absorb } from "../src/conversion/absorb.ts";
import {
  balancedSpectrum,
  type BalanceOptions,
  type RotatedLayer,
} from "../src/conversion/balanced_spectrum.ts";
import {
  balancedGram,
  directionsFor,
  jointPca,
  jointSpectrum,
} from "../src/conversion/joint_pca.ts";
import { rotatedGram } from "../src/conversion/key_value_gram.ts";
import { affineMatrix } from "../src/conversion/merge_heads.ts";
import { rotateKeys } from "../src/conversion/methods/partial_rope.ts";
import { PeakMemoryMeter } from "../src/experiment/peak_memory.ts";
import { stackRows } from "../src/linalg/blocks.ts";
import { gemm32, gemm64 } from "../src/linalg/gemm.ts";
import { seededNoise } from "../src/linalg/orthonormal.ts";
import { quadraticForm } from "../src/linalg/quadratic_form.ts";
import type { GqaAttention } from "../src/model/decoder.ts";
import type { LayerMoments, ModelMoments } from "../src/model/moments.ts";
import { syntheticModel } from "../src/model/synthetic.ts";

const HELP = `deno task bench layer [options]

Converts one synthetic layer, LLaMA-2-7B's shapes by default, and prints JSON.

  --heads N         G = H (default: 32)
  --head-dim N      d (default: 128)
  --hidden-size N   D (default: 4096)
  --freq-fold N     F (default: 8)
  --rotary-dim N    m (default: 64)
  --rank N          r (default: 512)
  --seed N          of the layer (default: 1)
  --dump DIR        also write moments.f64 [D+1, D+1], keys.f32 and values.f32 [G·d, D]
  --out FILE        also write the JSON there
  --help            this text`;

/** Sizes of the layer and of its conversion. */
interface Sizes {
  readonly heads: number;
  readonly headDim: number;
  readonly hiddenSize: number;
  readonly freqFold: number;
  readonly rotaryDim: number;
  readonly rank: number;
}

/** A layer that the dense solver decomposes in seconds, along the same path. */
const CHECKED: Sizes = {
  heads: 10,
  headDim: 64,
  hiddenSize: 512,
  freqFold: 8,
  rotaryDim: 32,
  rank: 128,
};

const TOKENS = 32768;

/** Channels of h that are this much stronger than the others, as trained models have. */
const MASSIVE = { channels: 4, factor: 30 } as const;

/** Measures and prints. */
export async function benchLayer(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "heads",
      "head-dim",
      "hidden-size",
      "freq-fold",
      "rotary-dim",
      "rank",
      "seed",
      "dump",
      "out",
    ],
  });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(`Cannot take ${flags._[0]}; deno task bench layer`);
  }
  const seed = integerFlag(flags, "seed", 0) ?? 1;
  const sizes = sizesIn(flags);
  const result = {
    sizes,
    seed,
    threads: navigator.hardwareConcurrency,
    gemm64Gflops: await gemmRate(),
    ...await convertLayer(await syntheticLayer(sizes, seed), sizes, flags),
    check: await checkAgainstDense(CHECKED, seed),
  };
  const text = JSON.stringify(result, null, 2);
  if (typeof flags["out"] === "string") {
    await Deno.writeTextFile(flags["out"], `${text}\n`);
  }
  print(text);
  return EXIT.ok;
}

function sizesIn(flags: Flags): Sizes {
  return {
    heads: integerFlag(flags, "heads", 1) ?? 32,
    headDim: integerFlag(flags, "head-dim", 2) ?? 128,
    hiddenSize: integerFlag(flags, "hidden-size", 2) ?? 4096,
    freqFold: integerFlag(flags, "freq-fold", 1) ?? 8,
    rotaryDim: integerFlag(flags, "rotary-dim", 2) ?? 64,
    rank: integerFlag(flags, "rank", 1) ?? 512,
  };
}

/** A layer's attention and the moments of its input. */
interface Layer {
  readonly attention: GqaAttention;
  readonly moments: ModelMoments;
}

async function convertLayer(layer: Layer, sizes: Sizes, flags: Flags) {
  if (typeof flags["dump"] === "string") await dump(flags["dump"], layer);
  const meter = new PeakMemoryMeter();
  meter.reset();
  const clock = new Clock();
  const rotated = await clock.time("rotate", () => rotate(layer, sizes));
  const spectrum = await clock.time(
    "balanceAndDecompose",
    () => balancedSpectrum(rotated, balanceOptions(sizes)),
  );
  const { directions, ...kept } = jointPca(spectrum, sizes.rank);
  const decomposed = meter.read();
  await clock.time("absorb", () =>
    absorb(layer.attention, {
      ...rotated.rotated,
      values: affineMatrix(layer.attention.vProj),
      directions,
      ratio: spectrum.ratio,
      qkRopeHeadDim: sizes.rotaryDim,
      frequencies: rotated.frequencies,
    }));
  const whole = meter.read();
  meter.close();
  return {
    width: directions.rows,
    seconds: clock.seconds,
    peakMemoryBytes: decomposed.bytes,
    peakMemoryBytesWithAbsorption: whole.bytes,
    peakMemoryScope: whole.scope,
    keyValueRatio: spectrum.ratio,
    rotaryKeyEnergy: spectrum.rotaryKeyEnergy,
    ...kept,
  };
}

/** The same path, and the dense solver on the Gram matrix that it does without. */
async function checkAgainstDense(sizes: Sizes, seed: number) {
  const layer = await syntheticLayer(sizes, seed);
  const rotated = await rotate(layer, sizes);
  const spectrum = await balancedSpectrum(rotated, balanceOptions(sizes));
  const found = jointPca(spectrum, sizes.rank);
  const { kProj, vProj } = layer.attention;
  const gram = await quadraticForm(
    stackRows(affineMatrix(kProj), affineMatrix(vProj)),
    (await layer.moments.layer(0)).gram,
  );
  const dense = jointPca(
    await jointSpectrum(balancedGram(
      await rotatedGram(gram, rotated.rotated.basis),
      sizes.rotaryDim,
      spectrum.ratio,
    )),
    sizes.rank,
  );
  return {
    sizes,
    width: found.directions.rows,
    keptEnergy: found.keptEnergy,
    denseKeptEnergy: dense.keptEnergy,
    relativeDifference: found.keptEnergy / dense.keptEnergy - 1,
  };
}

async function rotate(
  { attention, moments }: Layer,
  { freqFold, rotaryDim }: Sizes,
): Promise<RotatedLayer & { readonly frequencies: Float64Array }> {
  const model = syntheticModel("tiny"); // Only names the memo.
  const rotated = await rotateKeys(model, 0, attention, moments, {
    freqFold,
    qkRopeHeadDim: rotaryDim,
    rope: true,
  });
  const { frequencies } = rotated;
  return { model, layer: 0, attention, rotated, moments, frequencies };
}

function balanceOptions(
  { heads, headDim, rotaryDim, rank }: Sizes,
): BalanceOptions {
  return {
    qkRopeHeadDim: rotaryDim,
    balanceKv: true,
    balanceKvNorm: "channel",
    balanceKvRatio: 1,
    pca: "activations",
    directions: directionsFor(rank, 2 * heads * headDim - rotaryDim),
  };
}

/** Moments whose spectrum falls as 1/i, and projections whose singular values fall as i^-1/4. */
async function syntheticLayer(
  { heads, headDim, hiddenSize }: Sizes,
  seed: number,
): Promise<Layer> {
  note(`making a layer of ${heads} heads of ${headDim}, D = ${hiddenSize}`);
  const noise = seededNoise(seed);
  const width = heads * headDim;
  const project = async (strength: number) => {
    const left = new Float32Array(width * hiddenSize);
    for (let i = 0; i < left.length; i++) {
      left[i] = noise() * strength / hiddenSize *
        (i % hiddenSize + 1) ** -0.25;
    }
    const right = Float32Array.from({ length: hiddenSize ** 2 }, noise);
    return {
      weight: await gemm32(
        tensor(left, [width, hiddenSize]),
        tensor(right, [hiddenSize, hiddenSize]),
      ),
    };
  };
  const unused = { weight: tensor(new Float32Array(0), [0, hiddenSize]) };
  const attention: GqaAttention = {
    kind: "gqa",
    numAttentionHeads: heads,
    numKeyValueHeads: heads,
    headDim,
    softmaxScale: headDim ** -0.5,
    rotary: {
      layout: "half",
      frequencies: Float64Array.from(
        { length: headDim / 2 },
        (_, j) => 10000 ** (-2 * j / headDim),
      ),
    },
    qProj: await project(1),
    kProj: await project(3),
    vProj: await project(1),
    oProj: unused,
  };
  const gram = await secondMoments(hiddenSize, noise);
  const layer: LayerMoments = {
    gram,
    tokens: TOKENS,
    reservoir: { rows: 0, data: new Float32Array(0) },
  };
  return {
    attention,
    moments: {
      sha256: `synthetic ${hiddenSize} ${seed}`,
      tokens: TOKENS,
      layer: () => Promise.resolve(layer),
    },
  };
}

async function secondMoments(
  hiddenSize: number,
  noise: () => number,
): Promise<Matrix64> {
  const size = hiddenSize + 1;
  const root = zeros64(hiddenSize, size);
  for (let row = 0; row < hiddenSize; row++) {
    const strength = Math.sqrt(3 * TOKENS / (row + 1));
    for (let column = 0; column < hiddenSize; column++) {
      root.data[row * size + column] = noise() * strength *
        (column < MASSIVE.channels ? MASSIVE.factor : 1);
    }
    root.data[row * size + hiddenSize] = Math.sqrt(TOKENS / hiddenSize);
  }
  return await gemm64(root, root, { transA: true });
}

/** GFLOPS of an f64 product of 2048 x 2048 matrices. */
async function gemmRate(): Promise<number> {
  const n = 2048;
  const data = Float64Array.from({ length: n * n }, seededNoise(1));
  const a = { rows: n, columns: n, data };
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    await gemm64(a, a);
    best = Math.min(best, performance.now() - start);
  }
  return 2 * n ** 3 / best / 1e6;
}

async function dump(
  folder: string,
  { attention, moments }: Layer,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const write = (name: string, { buffer }: Float32Array | Float64Array) =>
    Deno.writeFile(join(folder, name), new Uint8Array(buffer as ArrayBuffer));
  await write("moments.f64", (await moments.layer(0)).gram.data);
  await write("keys.f32", attention.kProj.weight.data);
  await write("values.f32", attention.vProj.weight.data);
}

/** Seconds by stage. */
class Clock {
  readonly seconds: Record<string, { wall: number; cpu: number }> = {};

  async time<T>(stage: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const before = process.cpuUsage();
    try {
      return await work();
    } finally {
      const { user, system } = process.cpuUsage(before);
      this.seconds[stage] = {
        wall: (performance.now() - start) / 1000,
        cpu: (user + system) / 1e6,
      };
    }
  }
}
