// The options of deno task bench decode.

import { InputError } from "../../../src/base/errors.ts";
import {
  type Flags,
  integerFlag,
  parseFlags,
} from "../../../src/cli/terminal.ts";
import type { GpuProvider } from "../../../src/engine/webgpu/device/gpu.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import { syntheticModel } from "../../../src/model/synthetic.ts";
import { checkMlaWidths } from "../../../src/cli/mla_widths.ts";
import { MAX_TIMEOUT_SECONDS } from "../../../src/experiment/schema.ts";
import {
  caseName,
  type DecodeCase,
  defaultCases,
  type MlaWidths,
  parseCases,
} from "./cases.ts";
import { CHECK_MODEL } from "./greedy.ts";

export const HELP = `deno task bench decode [options]

Whole decode steps of the webgpu engine beside PyTorch's eager kernels in a CUDA
graph: the same shapes, batches and contexts on the same GPU, one after the other.
Weights are random. Before: greedy tokens checked against the reference engine.

  --model NAME         synthetic:NAME (default: synthetic:llama-2-7b)
  --provider LIST      deno, dawn or both, in order (default: dawn,deno)
  --cases LIST         original:BATCHxCONTEXT or mla:BATCHxCONTEXT with commas, for
                       instance original:1x1K,mla:30x8K (default: one sequence at
                       1K, 8K, 32K, and the largest batches in 24 GiB x 0.9)
  --kv-lora-rank N     of the MLA shape (default: 512)
  --qk-rope-head-dim N of the MLA shape (default: 64)
  --steps N            decode steps of a repetition, at most (default: 64)
  --repetitions N      whose median counts (default: 3)
  --prefill            also time linear layers over 2048 tokens, on both sides
  --score              also score WikiText-2's test text, beside transformers
  --score-model MODEL  what is scored (default: smollm2-135m-q4_1)
  --score-windows N    of 2048 tokens, at most (default: all)
  --profile            also time each kernel of a step
  --no-check           greedy tokens are not checked
  --peer-only          PyTorch alone
  --ours-only          the webgpu engine alone
  --python PATH        an interpreter with torch (default: python3)
  --peer-device NAME   cuda or cpu, the latter for tests (default: cuda)
  --dtype NAME         of our weights and cache: f16 or f32 (default: f16)
  --software           time an adapter that computes on the CPU, too
  --time-limit SEC     of everything (default: 540)
  --out FILE           JSON, written after every case
  --help               this text

Exit code 1 if a greedy check or a case failed.`;

/** What is compared, and how. */
export interface DecodeSettings {
  readonly model: string;
  readonly providers: readonly GpuProvider[];
  readonly cases: readonly DecodeCase[];
  readonly mla: MlaWidths;
  readonly steps: number;
  readonly repetitions: number;
  /** Tokens whose linear layers are timed; 0: none. */
  readonly prefill: number;
  /** What is scored; absent: nothing. */
  readonly score?: string;
  readonly scoreWindows: number;
  readonly profile: boolean;
  readonly check: boolean;
  readonly peer: boolean;
  readonly ours: boolean;
  readonly python: string;
  readonly peerDevice: "cuda" | "cpu";
  readonly dtype: "f16" | "f32";
  readonly software: boolean;
  readonly timeLimit: number;
  readonly out?: string;
}

/** More than a text has. */
const ALL_WINDOWS = 100_000;

/** Tokens of a prefill that is timed. */
const PREFILL_TOKENS = 2048;

/**
 * Reads the options.
 *
 * @param args The arguments.
 * @returns The settings, or undefined where help is asked for.
 * @throws {InputError} If an option is unknown or has a value that is not allowed.
 */
export function parseSettings(
  args: readonly string[],
): DecodeSettings | undefined {
  const flags = parseFlags(args, {
    string: [
      "model",
      "provider",
      "cases",
      "kv-lora-rank",
      "qk-rope-head-dim",
      "steps",
      "repetitions",
      "score-model",
      "score-windows",
      "python",
      "peer-device",
      "dtype",
      "time-limit",
      "out",
    ],
    boolean: [
      "prefill",
      "score",
      "profile",
      "no-check",
      "peer-only",
      "ours-only",
      "software",
    ],
  });
  if (flags["help"] === true) return undefined;
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._[0]} as --model names the model`,
    );
  }
  if (flags["peer-only"] === true && flags["ours-only"] === true) {
    throw new InputError(
      "option --ours-only: found beside --peer-only; allowed: one of them",
    );
  }
  for (const name of ["score-model", "score-windows"]) {
    if (flags[name] === undefined || flags["score"] === true) continue;
    throw new InputError(
      `option --${name}: found ${flags[name]}; allowed: only with --score`,
    );
  }
  const model = text(flags, "model", "synthetic:llama-2-7b");
  const mla = {
    kvLoraRank: integerFlag(flags, "kv-lora-rank", 1) ?? 512,
    qkRopeHeadDim: integerFlag(flags, "qk-rope-head-dim", 2) ?? 64,
  };
  const config = configOf(model);
  const out = flags["out"];
  const cases = flags["cases"] === undefined
    ? defaultCases(model, config, mla)
    : parseCases(String(flags["cases"]));
  refuseRepeated("cases", cases.map(caseName));
  const providers = text(flags, "provider", "dawn,deno").split(",").map((
    name,
  ) => oneOf<GpuProvider>("provider", name, ["deno", "dawn"]));
  refuseRepeated("provider", providers);
  const check = flags["no-check"] !== true && flags["peer-only"] !== true;
  if (cases.some(({ kind }) => kind === "mla")) {
    // Said before a peer is measured for minutes.
    for (const name of check ? [model, CHECK_MODEL] : [model]) {
      checkMlaWidths(
        `options --kv-lora-rank, --qk-rope-head-dim with ${name}`,
        mla,
        configOf(name),
      );
    }
  }
  return {
    model,
    providers,
    cases,
    mla,
    steps: integerFlag(flags, "steps", 1) ?? 64,
    repetitions: integerFlag(flags, "repetitions", 1) ?? 3,
    prefill: flags["prefill"] === true ? PREFILL_TOKENS : 0,
    ...(flags["score"] === true
      ? { score: text(flags, "score-model", "smollm2-135m-q4_1") }
      : {}),
    scoreWindows: integerFlag(flags, "score-windows", 1) ?? ALL_WINDOWS,
    profile: flags["profile"] === true,
    check: flags["no-check"] !== true,
    peer: flags["ours-only"] !== true,
    ours: flags["peer-only"] !== true,
    python: text(flags, "python", "python3"),
    peerDevice: oneOf("peer-device", text(flags, "peer-device", "cuda"), [
      "cuda",
      "cpu",
    ]),
    dtype: oneOf("dtype", text(flags, "dtype", "f16"), ["f16", "f32"]),
    software: flags["software"] === true,
    timeLimit: timeLimitOf(flags),
    ...(out === undefined ? {} : { out: String(out) }),
  };
}

/** Sizes of a synthetic model. */
export function configOf(model: string): ModelConfig {
  if (!model.startsWith("synthetic:")) {
    throw new InputError(
      `option --model: found ${model}; allowed: synthetic:NAME`,
    );
  }
  return syntheticModel(model).config;
}

/** More than a timer can wait would be no time at all. */
function timeLimitOf(flags: Flags): number {
  const seconds = integerFlag(flags, "time-limit", 1) ?? 540;
  if (seconds <= MAX_TIMEOUT_SECONDS) return seconds;
  throw new InputError(
    `option --time-limit: found ${seconds}; allowed: at most ${MAX_TIMEOUT_SECONDS}`,
  );
}

/** Of two results of one name a report would show the first. */
function refuseRepeated(option: string, names: readonly string[]): void {
  const again = names.find((name, i) => names.indexOf(name) !== i);
  if (again === undefined) return;
  throw new InputError(
    `option --${option}: found ${again} again; allowed: each once`,
  );
}

function text(flags: Flags, name: string, otherwise: string): string {
  return String(flags[name] ?? otherwise);
}

function oneOf<T extends string>(
  name: string,
  found: string,
  allowed: readonly T[],
): T {
  const value = allowed.find((each) => each === found);
  if (value !== undefined) return value;
  throw new InputError(
    `option --${name}: found ${found}; allowed: ${allowed.join(", ")}`,
  );
}
