// Our side of the comparison, one job a process: what the experiment's engine
// process does, without the process that plans and records.
//
// JOB is the path of an OursJob as JSON; the result is one line of JSON.

import { join } from "node:path";
import { stringify } from "yaml";
import { InputError } from "../../src/base/errors.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import {
  type TensorToWrite,
  writeCheckpointWeights,
} from "../../src/checkpoint/safetensors_writer.ts";
import { note, print, runVerb } from "../../src/cli/terminal.ts";
import { openEngine } from "../../src/engine/open.ts";
import { sampledSequences } from "../../src/experiment/calibration_text.ts";
import { CellRunner } from "../../src/experiment/cell_runner.ts";
import { openModel } from "../../src/experiment/inputs.ts";
import {
  parseExperiment,
  withoutKeys,
} from "../../src/experiment/experiment_file.ts";
import type { PlannedCell } from "../../src/experiment/plan.ts";
import type {
  ConversionMetrics,
  PerplexityMetrics,
} from "../../src/experiment/record.ts";
import type { Experiment } from "../../src/experiment/schema.ts";
import { ort } from "../../src/linalg/onnx_runtime.ts";
import { openText } from "../../src/text/open_text.ts";
import { windows as cutWindows } from "../../src/text/windows.ts";
import {
  CALIBRATION_SEED,
  CALIBRATION_TOKENS,
  CHECKED,
  type OursJob,
  QK_ROPE_HEAD_DIM,
  type Result,
  TEXTS,
  VARIANTS,
  WINDOW_TOKENS,
} from "./job.ts";

const JOBS: {
  [Mode in OursJob["mode"]]: (job: OursJob) => Promise<Result<`ours ${Mode}`>>;
} = { export: exportInputs, score, convert, check };

/**
 * Does one job in this process.
 *
 * @param job What is asked.
 * @returns What the mode gives.
 */
export async function runOurs<Mode extends OursJob["mode"]>(
  job: OursJob & { readonly mode: Mode },
): Promise<Result<`ours ${Mode}`>> {
  return await JOBS[job.mode](job);
}

/** The original in f32 as transformers reads it, and the ids of both sides. */
async function exportInputs(job: OursJob): Promise<Result<"ours export">> {
  const checkpoint = await openCheckpoint(job.model);
  try {
    const { tensors, configJson } = checkpoint;
    const items: TensorToWrite[] = tensors.list().map(({ name, shape }) => ({
      name,
      shape,
      dtype: "f32",
      read: () => tensors.read(name),
    }));
    await writeCheckpointWeights(job.folder, items);
    await Deno.writeTextFile(
      join(job.folder, "config.json"),
      JSON.stringify(configJson, null, 2),
    );
    return {
      folder: job.folder,
      weightsSha256: checkpoint.sha256,
      onnxruntime: ort.env.versions.common,
      ...await tokensOf(job),
    };
  } finally {
    checkpoint.tensors.close();
  }
}

/** Calibration sequences and windows of a job. */
async function tokensOf(
  job: OursJob,
): Promise<{ ids: number[][]; windows: number[][] }> {
  const { model, tokenizer, close } = await openModel([job.model]);
  try {
    if (tokenizer === undefined) {
      throw new InputError(`Cannot use ${job.model} as it has no tokenizer`);
    }
    const { calibration, test } = TEXTS[job.text];
    const sequences = sampledSequences(
      {
        text: calibration,
        samples: job.samples,
        tokens: CALIBRATION_TOKENS,
        seed: CALIBRATION_SEED,
        passes: job.passes,
      },
      await openText(calibration),
      tokenizer,
      model.config.vocabSize,
    );
    const windows = cutWindows(
      tokenizer.encode((await openText(test)).text),
      WINDOW_TOKENS,
      job.windows * WINDOW_TOKENS,
    );
    return {
      ids: sequences.map((ids) => [...ids]),
      windows: windows.map((ids) => [...ids]),
    };
  } finally {
    close();
  }
}

/** NLL and seconds of each window; the first is run once before, which compiles the graphs. */
async function score(job: OursJob): Promise<Result<"ours score">> {
  const { windows } = await tokensOf(job);
  const opened = await openModel([job.model]);
  const engine = await openEngine("onnx", { threads: job.threads });
  const session = await engine.open(opened.model);
  await session.score([Int32Array.from(windows[0]!)]);
  const windowNll: number[] = [];
  const windowSeconds: number[] = [];
  for (const [i, window] of windows.entries()) {
    const started = performance.now();
    const [nll] = await session.score([Int32Array.from(window)]);
    windowSeconds.push((performance.now() - started) / 1000);
    windowNll.push(nll!.reduce((sum, value) => sum + value, 0) / nll!.length);
    note(`onnx: original, window ${i + 1} of ${windows.length}`);
  }
  await session.close();
  await engine.close();
  opened.close();
  return { scores: { windowNll, windowSeconds } };
}

/** Every variant, as an experiment's conversion cells. */
async function convert(job: OursJob): Promise<Result<"ours convert">> {
  // In the order of a matrix: what variants share is made once.
  const asked = VARIANTS.toSorted((a, b) => a.freqFold - b.freqFold);
  const written = asked.map((variant) => ({ method: "transmla", ...variant }));
  return await withCells(job, written, async (runner, cells) => {
    const variants = [];
    for (const [i, cell] of cells.entries()) {
      const metrics = await runner.run({
        ...cell,
        measure: "conversion",
      }) as ConversionMetrics;
      variants.push({
        variant: { ...asked[i]! },
        conversionSeconds: metrics.wallSeconds,
        calibrationSeconds: metrics.calibrationWallSeconds,
        calibrationRuns: runner.calibrationRuns,
      });
      note(`ours, passes ${job.passes}: variant ${i + 1} of ${cells.length}`);
    }
    return { variants };
  });
}

/** Perplexities of the compared variant's stages; its moments are cached. */
async function check(job: OursJob): Promise<Result<"ours check">> {
  const { freqFold } = CHECKED;
  const written = [
    { method: "partial-rope", freqFold },
    { method: "transmla", ...CHECKED },
  ];
  return await withCells(job, written, async (runner, cells) => {
    const scores: Record<string, number[]> = {};
    for (const cell of cells) {
      const { windowNll } = await runner.run({
        ...cell,
        measure: "perplexity",
        contextTokens: WINDOW_TOKENS,
      }) as PerplexityMetrics;
      scores[cell.variant.method] = [...windowNll];
      note(`onnx: ${cell.variant.method}, ${windowNll.length} windows`);
    }
    return { scores };
  });
}

/** A cell but for what is measured. */
type Cell = Pick<PlannedCell, "cell" | "variant" | "variantLabel">;

/** Runs cells of the experiment file that a user would write. */
async function withCells<T>(
  job: OursJob,
  written: readonly Record<string, unknown>[],
  work: (runner: CellRunner, cells: readonly Cell[]) => Promise<T>,
): Promise<T> {
  const { calibration, test } = TEXTS[job.text];
  const experiment = parseExperiment(
    stringify({
      name: "peers",
      model: job.model,
      calibration: {
        text: calibration,
        samples: job.samples,
        tokens: CALIBRATION_TOKENS,
        seed: CALIBRATION_SEED,
        passes: job.passes,
      },
      engine: { name: "onnx", threads: job.threads },
      variants: [
        { method: "original" },
        ...written.map((variant) => ({
          ...variant,
          qkRopeHeadDim: QK_ROPE_HEAD_DIM,
        })),
      ],
      measure: {
        perplexity: { text: test, tokens: job.windows * WINDOW_TOKENS },
        contexts: [WINDOW_TOKENS],
      },
    }),
    "the experiment of bench peers",
  );
  const cells = experiment.variants.slice(1).map((variant) => ({
    cell: "peers",
    variant: withoutKeys(variant),
    variantLabel: variant.method,
  }));
  return await withRunner(
    job,
    experiment,
    (runner) => work(runner, cells),
  );
}

async function withRunner<T>(
  job: OursJob,
  experiment: Experiment,
  work: (runner: CellRunner) => Promise<T>,
): Promise<T> {
  const { momentsFolder } = job;
  const runner = await CellRunner.open(
    { experiment, momentsFolder },
    { progress() {}, log: note },
  );
  try {
    return await work(runner);
  } finally {
    await runner.close();
  }
}

async function main(args: readonly string[]): Promise<number> {
  const job = JSON.parse(await Deno.readTextFile(args[0]!)) as OursJob;
  print(JSON.stringify(await runOurs(job)));
  return 0;
}

if (import.meta.main) await runVerb(main);
