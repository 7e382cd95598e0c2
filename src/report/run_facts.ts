// What the records say of a run as a whole: its commit, the command that made
// it, what is not there, and how the device's memory grew.

import { loadText } from "../experiment/throughput_measure.ts";
import {
  formatBytes,
  formatNumber,
  formatPercent,
  joinWords,
} from "./format.ts";
import { isObject, type RunData } from "./load.ts";
import { machineName } from "./protocol.ts";
import type { PlannedCell } from "./schema.ts";
import { scrubText } from "./scrub.ts";

/** The git commits of the cells, shortened, "ab12cd34"; "+ changes" where the working tree had any. */
export function commits(run: RunData): string {
  const changed = new Set(
    run.environments.flatMap(({ git }) =>
      isObject(git) && git["dirty"] === true ? [git["commit"]] : []
    ),
  );
  return joinWords([
    ...new Set(
      run.cells.flatMap(({ commit }) =>
        commit === undefined
          ? []
          : [`${commit.slice(0, 10)}${changed.has(commit) ? " + changes" : ""}`]
      ),
    ),
  ]);
}

const DEMONSTRATION =
  "embedded is a small model for demonstrations and tests: its figures say nothing of a language model of use.";

/**
 * Which models an experiment file prefers to the one that was measured, and
 * why they could not be had; a caution where it is the embedded one.
 *
 * @param run The run, or several merged.
 * @returns Sentences; empty where the first of each list was had.
 */
export function modelChoices(run: Pick<RunData, "environments">): string[] {
  const lines = run.environments.flatMap(({ model }) => {
    if (!isObject(model)) return [];
    const caution = model["name"] === "embedded" ? [DEMONSTRATION] : [];
    if (!Array.isArray(model["notHad"])) return caution;
    const reasons = model["notHad"].filter(isObject).map(({ name, reason }) =>
      `${name} (${scrubText(String(reason))})`
    );
    return reasons.length === 0 ? caution : [
      ...caution,
      `Measured on ${model["name"]}: the experiment file lists ${
        joinWords(reasons)
      } before it, which could not be had.`,
    ];
  });
  return [...new Set(lines)];
}

/** Options that say where a run is kept or how it is shown, not what was measured. */
const PLACE_OPTIONS: ReadonlySet<string> = new Set(["--out"]);

/** Flags of the same kind, which take no value. */
const PLACE_FLAGS: ReadonlySet<string> = new Set([
  "--resume",
  "--quiet",
  "-v",
  "--verbose",
]);

/**
 * The recorded commands that differ from the experiment file by options,
 * "deno task experiment rank-ablation --engine webgpu".
 *
 * @param run The run, or several merged.
 * @returns Command lines; empty where the files were run as they are.
 */
export function commandLines(run: RunData): string[] {
  const lines = run.environments.map(({ argv }) => {
    if (
      !Array.isArray(argv) || argv[0] !== "experiment" ||
      !argv.every((word) => typeof word === "string")
    ) return "";
    const words = argv.slice(1).filter((word: string, i) =>
      !PLACE_OPTIONS.has(word.split("=")[0]!) &&
      !PLACE_OPTIONS.has(argv[i]!) && !PLACE_FLAGS.has(word)
    ).map((word: string) => word.replace(/^experiments\/(.+)\.ya?ml$/, "$1"));
    return words.some((word) => word.startsWith("--"))
      ? `deno task experiment ${words.map(quoted).join(" ")}`
      : "";
  });
  return [...new Set(lines.filter((line) => line !== ""))];
}

/** A word as a shell reads it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word)
    ? word
    : `"${word.replace(/["\\$`]/g, "\\$&")}"`;
}

/** Variants of the plan that --only left out. */
export function notSelected(run: RunData): string[] {
  const isChosen = run.environments.some(({ argv }) =>
    Array.isArray(argv) &&
    argv.some((word) => typeof word === "string" && /^--only(=|$)/.test(word))
  );
  if (!isChosen) return [];
  const begun = new Set(run.cells.map(({ variantLabel }) => variantLabel));
  return [...new Set(run.missing.map(({ variantLabel }) => variantLabel))]
    .filter((label) => !begun.has(label));
}

/** Planned cells of the variants that were selected, not measured. */
export function missingOfSelected(run: RunData): PlannedCell[] {
  const left = new Set(notSelected(run));
  return run.missing.filter(({ variantLabel }) => !left.has(variantLabel));
}

/** "50 of 55 cells are not measured", "2 variants were not selected" or both; "" where all are there. */
export function missingCells(run: RunData): string {
  const missing = missingOfSelected(run).length;
  const planned = missing + run.cells.length;
  return [
    missing === 0
      ? ""
      : `${formatNumber(missing)} of ${formatNumber(planned)} cells ${
        missing === 1 ? "is" : "are"
      } not measured`,
    notSelectedNote(run),
  ].filter((part) => part !== "").join(", ");
}

/** "2 variants were not selected"; "" where none were left out. */
export function notSelectedNote(run: RunData): string {
  const count = notSelected(run).length;
  return count === 0
    ? ""
    : `${formatNumber(count)} variant${
      count === 1 ? " was" : "s were"
    } not selected`;
}

/** The most memory that an engine's process took; "" where no cell says. */
export function peakMemory({ cells }: Pick<RunData, "cells">): string {
  const [most] = cells.filter(({ peakMemoryBytes }) => peakMemoryBytes > 0)
    .sort((a, b) => b.peakMemoryBytes - a.peakMemoryBytes);
  if (most === undefined) return "";
  const scope = most.peakMemoryScope === "cell"
    ? "in this cell alone"
    : "in all that its process had done";
  return `Peak memory of the engine’s process: ${
    formatBytes(most.peakMemoryBytes)
  } (${most.variantLabel}, ${most.measure}${
    most.contextTokens === undefined
      ? ""
      : ` at ${formatNumber(most.contextTokens)}`
  }; ${scope})`;
}

/** Missing cells by label and measure, "transmla F2 m64 r88: throughput at 512 and 8,160". */
export function missingLines(run: RunData): string[] {
  const labels = Map.groupBy(
    missingOfSelected(run),
    ({ variantLabel }) => variantLabel,
  );
  return [...labels].map(([label, cells]) => {
    const measures = Map.groupBy(
      cells,
      ({ measure, load }) =>
        load === undefined ? measure : `${measure} (${loadText(load)})`,
    );
    const parts = [...measures].map(([measure, own]) => {
      const contexts = own.flatMap(({ contextTokens }) => contextTokens ?? [])
        .sort((a, b) => a - b);
      return contexts.length === 0
        ? measure
        : `${measure} at ${
          joinWords(contexts.map((tokens) => formatNumber(tokens)))
        }`;
    });
    return `${label}: ${parts.join("; ")}`;
  });
}

/** What a reader should know of folders that were merged, sentences; empty for a single folder. */
export function mergeNotes(run: RunData): string[] {
  if (run.folders.length < 2) return [];
  const machines = new Set(
    run.folders.flatMap(({ environment, cells }) => {
      const timed = run.cells.filter((cell) =>
        cell.measure === "throughput" && cells.has(cell.cell)
      );
      return timed.length === 0 ? [] : [
        machineName({
          cells: timed,
          environments: environment === undefined ? [] : [environment],
        }),
      ];
    }),
  );
  return [
    `Merged from ${formatNumber(run.folders.length)} folders.`,
    ...run.superseded === 0 ? [] : [
      `${formatNumber(run.superseded)} recorded cell${
        run.superseded === 1 ? " stands" : "s stand"
      } back for another of the same variant, measure and context: one that ended well before any other, then the latest.`,
    ],
    ...machines.size < 2 ? [] : [
      `Speeds were measured on ${formatNumber(machines.size)} machines (${
        [...machines].join("; ")
      }): ratios across them compare machines, too.`,
    ],
  ];
}

/**
 * How much memory a longer cache took beside what its theory says.
 *
 * @param run The run.
 * @returns One sentence; "" where it was not measured.
 */
export function memoryGrowth(run: Pick<RunData, "cells">): string {
  const cells = run.cells.flatMap((cell) =>
    cell.measure === "cache" && cell.metrics?.memoryGrowthRatio !== undefined
      ? [{ ratio: cell.metrics.memoryGrowthRatio, cell }]
      : []
  );
  if (cells.length === 0) return "";
  const ratios = cells.map(({ ratio }) => ratio);
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
  const worst = Math.max(Math.abs(low - 1), Math.abs(high - 1));
  const isProcess = cells.every(({ cell }) =>
    cell.engine.adapterKind === "software"
  );
  const variants = new Set(cells.map(({ cell }) => cell.variantLabel)).size;
  return `The growth of ${
    isProcess ? "the process’s" : "device"
  } memory between a short and a long cache is within ${
    formatPercent(Math.ceil(worst * 1000) / 1000, 1)
  } of theory (${formatNumber(low, 3)} to ${formatNumber(high, 3)} of it, ${
    formatNumber(variants)
  } variant${variants === 1 ? "" : "s"}).`;
}
