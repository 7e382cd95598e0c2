// deno task tune [options]: finds the fastest shapes of the GPU kernels on this
// machine, and remembers them for this adapter, its driver and its provider.

import { InputError, UnavailableError } from "../base/errors.ts";
import { oneLine } from "../base/excerpt.ts";
import { copyBandwidth } from "../engine/webgpu/device/copy_bandwidth.ts";
import type { Gpu, GpuProvider } from "../engine/webgpu/device/gpu.ts";
import { openGpu } from "../engine/webgpu/device/open_gpu.ts";
import { GEMV_ROWS_KERNEL } from "../engine/webgpu/kernels/gemv_tuning.ts";
import { ignoreTuned } from "../engine/webgpu/kernels/tuned.ts";
import type {
  TunedShape,
  TuningTable,
} from "../engine/webgpu/kernels/tuning_table.ts";
import {
  modelProblems,
  type TuningScope,
} from "../engine/webgpu/tuning/model_problems.ts";
import { type Solution, solve } from "../engine/webgpu/tuning/solve.ts";
import { Stopwatch } from "../engine/webgpu/tuning/stopwatch.ts";
import {
  betterOf,
  rowsWorthGemv,
  type SolvedProblem,
  suspects,
} from "../engine/webgpu/tuning/suspects.ts";
import type {
  TunedFamily,
  TuningProblem,
} from "../engine/webgpu/tuning/tuning_problem.ts";
import { gpuFault } from "../experiment/gpu_fault.ts";
import type { ModelConfig } from "../model/config.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { SYNTHETIC_CONFIGS } from "../model/synthetic.ts";
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
import { checkMlaWidths } from "./mla_widths.ts";
import { checkTableFile, rememberTable, tableWith } from "./tuning_file.ts";
import { describeCandidates, describeSolved } from "./tuning_text.ts";

const FAMILIES: readonly TunedFamily[] = ["gemm", "gemv", "attention"];

const MODELS: Readonly<Record<string, ModelConfig>> = {
  ...MODEL_PRESETS,
  ...Object.fromEntries(
    Object.entries(SYNTHETIC_CONFIGS).filter(([name]) =>
      !Object.hasOwn(MODEL_PRESETS, name)
    ),
  ),
};

/** How often sizes that look wrong beside others are measured again at most. */
const AGAIN = 2;

const HELP = `deno task tune [options]

Finds the fastest shapes of the GPU kernels for a model's sizes on this machine.
They are remembered for this adapter, its driver and its provider, and used from
then on; TRANSMLA_TUNING=none or =shipped leaves them out. A shape is timed only
where it gives the same numbers as the default.

  --provider NAME     deno or dawn (default: deno)
  --model NAME,...    ${
  wrapText(`${Object.keys(MODELS).join(", ")} (default: llama-2-7b)`, 22)
}
  --latent R+M        latent attention to tune for, rank and rotary dims
                      (default: 512+64)
  --only FAMILY,...   gemm, gemv, attention (default: all)
  --batches N,...     sequences decoded together
                      (default: 1,2,4,7,8,15,30,61,122,244)
  --contexts N,...    tokens in their caches
                      (default: 1024,2048,4096,8192,16384,32768)
  --prefill N         rows of a prefill, 0 for none (default: 2048)
  --time-limit SEC    stop then, with the best so far; the most valuable come
                      first
  --dry-run           list what would be timed
  --out FILE          write the table there instead; into a shipped one where FILE
                      is one
  --software          tune an adapter that computes on the CPU, too
  --json              as JSON
  --help              this text`;

interface Settings {
  readonly provider: GpuProvider;
  readonly models: readonly ModelConfig[];
  readonly scope: Omit<TuningScope, "config">;
  readonly families: readonly TunedFamily[];
  readonly deadline: number;
  readonly out: string | undefined;
}

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is wrong.
 * @throws {UnavailableError} If there is no GPU to tune.
 */
export async function tune(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: [
      "provider",
      "model",
      "latent",
      "only",
      "batches",
      "contexts",
      "prefill",
      "time-limit",
      "out",
    ],
    boolean: ["dry-run", "software", "json"],
  });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const settings = settingsOf(flags);
  const gpu = await openGpu({ provider: settings.provider });
  try {
    if (gpu.facts.software && flags["software"] !== true) {
      throw new UnavailableError(
        `Cannot tune ${gpu.facts.name} as it computes on the CPU; --software does it nonetheless`,
      );
    }
    // What is timed is compared with the defaults, not with what was found before.
    ignoreTuned(gpu);
    const problems = problemsOf(gpu, settings);
    const json = flags["json"] === true;
    if (flags["dry-run"] === true) {
      print(describeCandidates(gpu, problems, json));
      return EXIT.ok;
    }
    return await tuneAll(gpu, problems, settings, json);
  } finally {
    await gpu.destroy();
  }
}

async function tuneAll(
  gpu: Gpu,
  problems: readonly TuningProblem[],
  { deadline, out }: Settings,
  json: boolean,
): Promise<number> {
  const { facts } = gpu;
  const isKept = out !== undefined || !facts.software;
  const replaced = isKept ? await checkTableFile(facts, out) : undefined;
  if (replaced !== undefined) note(replaced);
  const { bytesPerSecond: copy } = await copyBandwidth(gpu);
  note(
    `${facts.provider}: ${facts.name}, a copy moves ${
      (copy / 1e9).toFixed(0)
    } GB/s; ${problems.length} sizes`,
  );
  const isLate = () => performance.now() > deadline;
  const watch = await Stopwatch.open(gpu);
  let path: string | undefined;
  // Whatever ends the process, the sizes that are solved are kept.
  const keep = async (solved: readonly SolvedProblem[]) => {
    if (isKept) path = await rememberTable(tableOf(gpu, solved), facts, out);
  };
  let solved: readonly SolvedProblem[];
  let failed: number;
  try {
    ({ solved, failed } = await solveAll(gpu, problems, {
      watch,
      isLate,
      copy,
      json,
      keep,
    }));
  } finally {
    watch.close();
  }
  if (isLate()) {
    note(`stopped at the time limit, ${solved.length} sizes tuned`);
  }
  const table = tableOf(gpu, solved);
  if (json) {
    print(JSON.stringify(
      {
        copyBytesPerSecond: copy,
        table,
        sizes: solved.map(({ problem, solution }) => ({
          kernel: problem.kernel,
          key: problem.key,
          bytes: problem.bytes,
          flops: problem.flops,
          ...solution,
        })),
      },
      null,
      1,
    ));
  }
  if (solved.length === 0) {
    note("nothing was tuned");
    return EXIT.failed;
  }
  note(
    path === undefined
      ? "not remembered: software adapters always take the defaults"
      : `written: ${path}`,
  );
  return failed > 0 ? EXIT.failed : EXIT.ok;
}

async function solveAll(
  gpu: Gpu,
  problems: readonly TuningProblem[],
  { watch, isLate, copy, json, keep }: {
    readonly watch: Stopwatch;
    readonly isLate: () => boolean;
    readonly copy: number;
    readonly json: boolean;
    /** Takes all that is solved so far. */
    readonly keep: (solved: readonly SolvedProblem[]) => Promise<void>;
  },
): Promise<{ readonly solved: SolvedProblem[]; readonly failed: number }> {
  const solutions = new Map<TuningProblem, Solution>();
  let failed = 0;
  const all = () =>
    [...solutions].map(([problem, solution]) => ({ problem, solution }));
  const solveOne = async (problem: TuningProblem, first?: Solution) => {
    let solution: Solution | undefined;
    try {
      solution = await solve(gpu, problem, watch, isLate);
    } catch (error) {
      // A device that is lost stays lost; another size may fit or compile.
      if (gpuFault(error) === "lost") throw error;
      failed++;
      note(`failed: ${problem.kernel} ${problem.key}: ${firstLine(error)}`);
      return;
    }
    if (solution === undefined) return;
    solutions.set(
      problem,
      first === undefined ? solution : betterOf(first, solution),
    );
    const line = describeSolved({ problem, solution }, copy);
    const text = first === undefined ? line : `again: ${line}`;
    if (json) note(text);
    else print(text);
    await keep(all());
  };
  for (const problem of problems) {
    if (isLate()) break;
    await solveOne(problem);
  }
  for (let i = 0; i < AGAIN && !gpu.facts.software; i++) {
    for (const { problem, solution } of suspects(all(), copy)) {
      if (isLate()) break;
      await solveOne(problem, solution);
    }
  }
  return { solved: all(), failed };
}

function firstLine(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

function tableOf(gpu: Gpu, solved: readonly SolvedProblem[]): TuningTable {
  const kernels: Record<string, Record<string, TunedShape>> = {};
  for (const { problem, solution } of solved) {
    const tables = problem.tables(solution.shape);
    for (const [kernel, shape] of Object.entries(tables)) {
      (kernels[kernel] ??= {})[problem.key] = shape;
    }
  }
  const rows = rowsWorthGemv(solved);
  if (Object.keys(rows).length > 0) kernels[GEMV_ROWS_KERNEL] = rows;
  return tableWith(gpu.facts, kernels);
}

function problemsOf(gpu: Gpu, settings: Settings): TuningProblem[] {
  const problems = settings.models.flatMap((config) =>
    modelProblems(gpu, { ...settings.scope, config })
  ).filter(({ family }) => settings.families.includes(family));
  const known = new Map<string, TuningProblem>();
  for (const problem of problems) {
    const name = `${problem.kernel} ${problem.key}`;
    if (!known.has(name) && problem.shapes(gpu).length > 1) {
      known.set(name, problem);
    }
  }
  return [...known.values()].sort((a, b) => b.share - a.share);
}

function settingsOf(flags: Flags): Settings {
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task tune takes options only`,
    );
  }
  const seconds = integerFlag(flags, "time-limit", 1) ?? Infinity;
  const [rank, rotary] = latentOf(String(flags["latent"] ?? "512+64"));
  const names = listOf(flags, "model", "llama-2-7b");
  const models = names.map((name) => {
    if (Object.hasOwn(MODELS, name)) return MODELS[name]!;
    throw new InputError(
      `option --model: found ${name}; allowed: ${
        Object.keys(MODELS).join(", ")
      }`,
    );
  });
  if (flags["latent"] !== undefined) {
    for (const [i, config] of models.entries()) {
      // Widths that no conversion has would be timed for nothing, or without end.
      checkMlaWidths(
        `option --latent: found ${rank}+${rotary} with ${names[i]}`,
        { kvLoraRank: rank, qkRopeHeadDim: rotary },
        config,
      );
    }
  }
  return {
    provider: oneOf("provider", flags["provider"] ?? "deno", ["deno", "dawn"]),
    models,
    scope: {
      element: "f16",
      latent: { rank, rotary },
      batches: numbersOf(flags, "batches", "1,2,4,7,8,15,30,61,122,244"),
      contexts: numbersOf(
        flags,
        "contexts",
        "1024,2048,4096,8192,16384,32768",
      ).sort((a, b) => a - b),
      prefillRows: integerFlag(flags, "prefill", 0) ?? 2048,
    },
    families: listOf(flags, "only", FAMILIES.join(",")).map((name) =>
      oneOf("only", name, FAMILIES)
    ),
    deadline: performance.now() + 1000 * seconds,
    out: typeof flags["out"] === "string" ? flags["out"] : undefined,
  };
}

function latentOf(text: string): readonly [rank: number, rotary: number] {
  const [, rank, rotary] = /^([1-9]\d{0,4})\+([1-9]\d{0,4})$/.exec(text) ?? [];
  if (rank !== undefined && rotary !== undefined) {
    return [Number(rank), Number(rotary)];
  }
  throw new InputError(
    `option --latent: found ${text}; allowed: RANK+ROTARY, each at most 99999, as 512+64`,
  );
}

function listOf(flags: Flags, name: string, otherwise: string): string[] {
  return String(flags[name] ?? otherwise).split(",");
}

function numbersOf(flags: Flags, name: string, otherwise: string): number[] {
  return listOf(flags, name, otherwise).map((text) => {
    if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
    throw new InputError(
      `option --${name}: found ${text}; allowed: whole numbers >= 1 with commas between`,
    );
  });
}

function oneOf<T extends string>(
  name: string,
  value: unknown,
  allowed: readonly T[],
): T {
  const found = allowed.find((each) => each === value);
  if (found !== undefined) return found;
  throw new InputError(
    `option --${name}: found ${value}; allowed: ${allowed.join(", ")}`,
  );
}

if (import.meta.main) await runVerb(tune);
