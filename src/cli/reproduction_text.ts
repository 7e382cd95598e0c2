// A reproduction as text: its plan, its verdicts.

import { join } from "node:path";
import { assumedGflops, estimateCells } from "../experiment/estimate.ts";
import { cellLabel } from "../report/compare_pairs.ts";
import type { FieldDifference } from "../report/compare_provenance.ts";
import type { Verdict } from "../report/compare_reproduction.ts";
import {
  formatNumber,
  formatRatio,
  formatSignificant,
} from "../report/format.ts";
import { planTable } from "./experiment_tables.ts";
import type { ReproductionPlan } from "./reproduction_plan.ts";
import { formatTable, paint } from "./terminal.ts";

/**
 * What will be measured again, with estimates.
 *
 * @param reproduction The plan.
 * @param path The first run.
 * @param out The folder of the second.
 */
export function planText(
  reproduction: ReproductionPlan,
  path: string,
  out: string,
): string {
  const { plan, adapter } = reproduction;
  const kind = adapter?.kind ?? "cpu";
  const estimates = estimateCells(
    plan.cells,
    plan.experiment,
    plan.inputs,
    kind,
    assumedGflops(kind),
  );
  return [
    planTable(plan.cells, estimates, new Map()),
    "",
    `${plan.cells.length} cells of ${path}; run folder ${out}`,
    ...leftOut(reproduction),
  ].join("\n");
}

function leftOut({ untimed, strangers }: ReproductionPlan): string[] {
  return [
    ...untimed === 0 ? [] : [
      `${untimed} throughput ${
        untimed === 1 ? "cell is" : "cells are"
      } left out: --timings RATIO compares speeds`,
    ],
    ...strangers === 0 ? [] : [
      `${strangers} recorded ${
        strangers === 1 ? "cell is" : "cells are"
      } no part of its experiment.yaml`,
    ],
  ];
}

/**
 * The verdicts, what the runs were made with where it differs, and a summary.
 *
 * @param reproduction What was measured.
 * @param path The first run.
 * @param out The folder of the second.
 * @param verdicts Of all figures.
 * @param provenance Where the runs were not made with the same.
 */
export function outcomeText(
  reproduction: ReproductionPlan,
  path: string,
  out: string,
  verdicts: readonly Verdict[],
  provenance: readonly FieldDifference[],
): string {
  const count = (wanted: Verdict["verdict"]) =>
    verdicts.filter(({ verdict }) => verdict === wanted).length;
  const { length } = reproduction.plan.cells;
  return [
    verdictTable(verdicts),
    "",
    ...provenance.length === 0
      ? ["made with the same commit, versions and machine"]
      : [formatTable(
        ["made with", "recorded", "now"],
        provenance.map(({ field, a, b }) => [field, a, b]),
      )],
    "",
    ...leftOut(reproduction),
    `${verdicts.length} figures of ${length} ${
      length === 1 ? "cell" : "cells"
    } of ${path}: ${count("identical")} identical, ${
      count("agrees")
    } within tolerance, ${count("differs")} differ`,
    `results  ${join(out, "reproduction.json")}`,
  ].join("\n");
}

function verdictTable(verdicts: readonly Verdict[]): string {
  return formatTable(
    [
      "variant",
      "measure",
      "context",
      "quantity",
      "recorded",
      "reproduced",
      "difference",
      "tolerance",
      "verdict",
    ],
    verdicts.map((one) => [
      cellLabel(one),
      one.measure,
      one.contextTokens === undefined ? "–" : formatNumber(one.contextTokens),
      one.quantity,
      figure(one.recorded),
      figure(one.reproduced),
      distance(one, one.difference),
      distance(one, one.tolerance),
      verdictText(one),
    ]),
  );
}

function verdictText({ verdict, reason }: Verdict): string {
  const text = reason === undefined ? verdict : `${verdict}: ${reason}`;
  return paint(text, verdict === "differs" ? "red" : "green", Deno.stdout);
}

function figure(value: number | undefined): string {
  if (value === undefined) return "–";
  return Number.isInteger(value)
    ? formatNumber(value)
    : formatSignificant(value, 8);
}

function distance(
  { measure, isRelative }: Verdict,
  value: number | undefined,
): string {
  if (value === undefined) return "–";
  if (measure === "throughput") return formatRatio(value);
  const text = formatSignificant(value, 2);
  return isRelative && value !== 0 ? `${text} of it` : text;
}
