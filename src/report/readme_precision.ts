// The README's table of providers and element types: the same perplexities by
// each engine that one experiment was run on.

import { escapeMarkdown, formatNumber } from "./format.ts";
import type { RunData } from "./load.ts";
import { countWord } from "./headline.ts";
import {
  calibrationProtocol,
  machineName,
  windowProtocol,
} from "./protocol.ts";
import { commits } from "./run_facts.ts";
import { engineName } from "./series.ts";
import { markdownTable } from "./summary.ts";
import type { Table } from "./table.ts";

/** One run of the experiment. */
export interface PrecisionRun {
  readonly path: string;
  readonly run: RunData;
}

/**
 * Renders the table.
 *
 * @param runs The same experiment on several engines.
 * @returns Markdown; "" where no perplexity was measured.
 */
export function precisionSection(runs: readonly PrecisionRun[]): string {
  const columns = inOrder(runs).map(({ path, run }) => {
    const cells = run.cells.filter(({ measure, status }) =>
      measure === "perplexity" && status === "ok"
    );
    const values = new Map(
      cells.flatMap((cell) =>
        cell.measure === "perplexity" && cell.metrics !== undefined
          ? [[cell.variantLabel, cell.metrics.value] as const]
          : []
      ),
    );
    const [cell] = cells;
    return { path, values, engine: cell === undefined ? "" : engineName(cell) };
  });
  const labels = [
    ...new Set(columns.flatMap(({ values }) => [...values.keys()])),
  ];
  const [first] = runs;
  if (labels.length === 0 || first === undefined) return "";
  const table: Table = {
    columns: [
      { head: "Variant", align: "left" },
      ...columns.map(({ engine }) => ({
        head: engine,
        align: "right" as const,
      })),
    ],
    rows: labels.map((label) => ({
      cells: [
        label,
        ...columns.map(({ values }) => formatNumber(values.get(label), 4)),
      ].map((text) => ({ text })),
    })),
  };
  const links = columns.map(({ path }) =>
    `[${escapeMarkdown(path.split("/").at(-1)!)}](${path}/summary.md)`
  );
  const machine = machineName(first.run);
  const windows = new Set(
    runs.flatMap(({ run }) =>
      run.cells.flatMap((cell) =>
        cell.measure === "perplexity" && cell.metrics !== undefined
          ? [cell.metrics.windowTokens]
          : []
      )
    ),
  );
  const [context] = windows;
  const conditions = [
    ...new Set(runs.map(({ run }) => windowProtocol(run, "perplexity", "all"))),
    ...new Set(runs.map(({ run }) => calibrationProtocol(run))),
    ...new Set(
      runs.map(({ run }) => commits(run)).filter((commit) => commit !== "")
        .map((commit) => `Commit ${commit}.`),
    ),
  ].filter((sentence) => sentence !== "");
  return [
    `Perplexity${
      windows.size === 1 && context !== undefined
        ? ` at ${formatNumber(context)} tokens`
        : ""
    } by WebGPU provider and element types${
      machine === "" ? "" : `, on ${escapeMarkdown(machine)}`
    }${share(labels.length, first.run)}:`,
    markdownTable(table),
    `${escapeMarkdown(conditions.join(" "))} Everything: ${links.join(", ")}.`,
  ].join("\n\n");
}

/** "; two of the file's four models" where not all were measured. */
function share(measured: number, { experiment }: RunData): string {
  const variants = experiment["variants"];
  const planned = Array.isArray(variants) ? variants.length : measured;
  const word = (count: number) => countWord(count).toLowerCase();
  return measured < planned
    ? `; ${word(measured)} of the file’s ${word(planned)} models`
    : "";
}

const PROVIDERS = ["deno", "dawn"];

/** By provider, Deno's first; f32 before f16 before a cache of another type. */
function inOrder(runs: readonly PrecisionRun[]): PrecisionRun[] {
  const place = ({ run }: PrecisionRun): number => {
    const engine = run.cells.find(({ measure }) => measure === "perplexity")
      ?.engine;
    if (engine === undefined) return Infinity;
    const { provider, dtype, cacheDtype } = engine;
    const provided = PROVIDERS.indexOf(provider ?? "");
    return (provided < 0 ? PROVIDERS.length : provided) * 4 +
      (cacheDtype === undefined || cacheDtype === dtype
        ? Number(dtype !== "f32")
        : 2);
  };
  return [...runs].sort((a, b) => place(a) - place(b));
}
