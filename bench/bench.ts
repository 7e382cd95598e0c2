// deno task bench WHAT: one command for all benches. Each loads only what it
// needs.

import { InputError } from "../src/base/errors.ts";
import { EXIT, print, runVerb } from "../src/cli/terminal.ts";

const HELP = `deno task bench WHAT [options]

  onnx MODEL       the onnx engine: load, score, prefill, decode, calibration
  profile MODEL    the webgpu engine: time by kernel of a scoring pass and a decode step
  layer            one layer at LLaMA-2-7B's shapes: seconds, memory, kept energy
  kernels          every WGSL kernel beside a copy and the best matrix product
  peers            conversion and perplexity beside the official procedure on transformers
  decode           whole decode steps on the GPU beside PyTorch's in a CUDA graph

deno task bench WHAT --help lists the options.`;

type Bench = (args: readonly string[]) => Promise<number>;

const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  onnx: async () => (await import("./onnx_engine.ts")).benchOnnx,
  profile: async () => (await import("./webgpu_profile.ts")).benchProfile,
  layer: async () => (await import("./layer_7b.ts")).benchLayer,
  kernels: async () => (await import("./webgpu_kernels.ts")).benchKernels,
  peers: async () => (await import("./peers/peers.ts")).benchPeers,
  decode: async () => (await import("./peers/decode/decode.ts")).benchDecode,
};

/**
 * The verb.
 *
 * @param args What to measure, and its arguments.
 * @returns The exit code.
 * @throws {InputError} If the first argument is no bench.
 */
export async function bench(args: readonly string[]): Promise<number> {
  const [what, ...rest] = args;
  if (what === undefined || what === "--help") {
    print(HELP);
    return what === undefined ? EXIT.badInput : EXIT.ok;
  }
  if (!Object.hasOwn(BENCHES, what)) {
    throw new InputError(
      `Cannot bench ${what} as it must be one of ${
        Object.keys(BENCHES).join(", ")
      }`,
    );
  }
  return await (await BENCHES[what]!())(rest);
}

if (import.meta.main) {
  await runVerb(bench);
}
