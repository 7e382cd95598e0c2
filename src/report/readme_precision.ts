// The README's table of providers and element types: the same perplexities by
// each engine that one experiment was run on.

import { escapeMarkdown, formatNumber } from "./format.ts";
import type { RunData } from "./load.ts";
import { machineName } from "./protocol.ts";
import { engineName } from "./series.ts";
import { markdownTable } from "./summary.ts";
import type { Table } from "./tables.ts";

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
  const columns = runs.map(({ path, run }) => {
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
  return [
    `The same perplexities by WebGPU provider and element types${
      machine === "" ? "" : `, on ${escapeMarkdown(machine)}`
    }:`,
    markdownTable(table),
    `Everything: ${links.join(", ")}.`,
  ].join("\n\n");
}
