// The main tables of a run, each with its caption and its protocol in fields,
// for export.

import { headlineCaption, headlineMeaning } from "./captions.ts";
import { crossoverMeaning, crossoverTable } from "./crossovers.ts";
import { cellsTable, checksTable, conversionTable } from "./detail_tables.ts";
import {
  peerProtocol,
  peerRatiosMeaning,
  peerRatiosTable,
  PEERS_MEANING,
  peersTable,
} from "./decode_peers.ts";
import type { Joint } from "./joint.ts";
import type { RunData } from "./load.ts";
import {
  divergenceTable,
  perplexityTable,
  seedsTable,
  throughputTable,
} from "./measure_tables.ts";
import { paretoMeaning } from "./pareto.ts";
import {
  calibrationProtocol,
  headlineProtocol,
  labelNote,
  machineName,
  modelNames,
  protocol,
  type Shown,
  stepsOf,
  windowProtocol,
} from "./protocol.ts";
import { commits } from "./run_facts.ts";
import { collectSeries, engineName } from "./series.ts";
import {
  kernelsTable,
  LIMIT_MEANING,
  requestsMeaning,
  requestsTable,
  rooflineTable,
} from "./speed_tables.ts";
import type { Table } from "./table.ts";
import { headlineTable } from "./tables.ts";

/** Under which conditions a table's numbers were measured; "" where a condition does not apply. */
export interface Protocol {
  /** The experiment's name. */
  readonly experiment: string;
  readonly model: string;
  /** Text and windows, a sentence. */
  readonly text: string;
  readonly dtype: string;
  readonly engine: string;
  readonly machine: string;
  readonly commit: string;
  readonly calibration: string;
}

/** A table ready for any format. */
export interface NamedTable {
  /** A file's name without its ending: "results". */
  readonly name: string;
  readonly title: string;
  /** Meaning and protocol, plain text. */
  readonly caption: string;
  readonly table: Table;
  /** One a run, by its name; a single run's is named "". */
  readonly protocols: ReadonlyMap<string, Protocol>;
}

/**
 * The main tables of one run; those without rows are left out.
 *
 * @param run The run.
 */
export function namedTables(run: RunData): NamedTable[] {
  const series = collectSeries(run);
  const fields = new Map([["", protocolOf(run)]]);
  const commit = commits(run);
  const make = (
    name: string,
    title: string,
    caption: string,
    table: Table,
  ): NamedTable => ({
    name,
    title,
    caption: [
      caption,
      calibrationProtocol(run),
      commit === "" ? "" : `Commit ${commit}.`,
    ].filter((part) => part !== "").join(" "),
    table,
    protocols: fields,
  });
  const measured = (shown: Shown) => {
    const machine = machineName(run);
    const text = protocol(run, shown);
    return shown.speed === true || machine === ""
      ? text
      : `${text} Machine: ${machine}.`.trim();
  };
  const everything = { perplexity: "all", divergence: "all", speed: true };
  return [
    make(
      "results",
      "Results",
      [headlineCaption(series, run), labelNote(series)].filter((part) =>
        part !== ""
      ).join(" "),
      headlineTable(series),
    ),
    make(
      "perplexity",
      "Perplexity by window length",
      measured({ perplexity: "all" }),
      perplexityTable(series),
    ),
    make(
      "divergence",
      "Divergence from the original by window length",
      measured({ divergence: "all" }),
      divergenceTable(series),
    ),
    make(
      "throughput",
      "Throughput",
      measured({ speed: true }),
      throughputTable(series, stepsOf(run)),
    ),
    make(
      "crossovers",
      "Where variants are faster",
      `${crossoverMeaning(series)} ${measured({ speed: true })}`,
      crossoverTable(series),
    ),
    make(
      "roofline",
      "Decoding speed against its limit",
      `${LIMIT_MEANING} ${measured({ speed: true })}`,
      rooflineTable(series),
    ),
    make(
      "peers",
      "Decoding beside PyTorch",
      run.peers === undefined
        ? ""
        : `${PEERS_MEANING} ${peerProtocol(run.peers)}`,
      peersTable(run.peers),
    ),
    make(
      "mla-ratios",
      "MLA over the original on each side",
      peerRatiosMeaning(run.peers),
      peerRatiosTable(run.peers),
    ),
    make(
      "requests",
      "Whole requests",
      `${requestsMeaning(run)} ${measured({ speed: true })}`,
      requestsTable(series),
    ),
    make(
      "kernels",
      "Time by kernel",
      measured({ speed: true }),
      kernelsTable(series),
    ),
    make(
      "seeds",
      "Calibration seeds",
      measured(everything as Shown),
      seedsTable(series),
    ),
    make(
      "checks",
      "Expected and measured",
      measured({ perplexity: "all" }),
      checksTable(run),
    ),
    make(
      "conversions",
      "Cost and kept energy of conversions",
      measured({}),
      conversionTable(series),
    ),
    make(
      "cells",
      "Every cell with its time and memory",
      measured(everything as Shown),
      cellsTable(run),
    ),
  ].filter(({ table }) => table.rows.length > 0 && table.columns.length > 1);
}

/** The one table that several runs share. */
export function jointTable(
  { series, run, front, differences }: Joint,
): NamedTable {
  return {
    name: "results",
    title: "All runs",
    caption: [
      ...differences,
      headlineMeaning(series),
      headlineProtocol(series, run),
      paretoMeaning(front),
    ].filter((part) => part !== "").join(" "),
    table: headlineTable(series, front),
    protocols: new Map(
      (run.parts ?? []).map(({ name, run }) => [name, protocolOf(run)]),
    ),
  };
}

function protocolOf(run: RunData): Protocol {
  const distinct = (values: readonly string[]) =>
    [...new Set(values)].join(", ");
  const engines = run.cells.filter(({ measure }) => measure !== "conversion");
  const text = windowProtocol(run, "perplexity", "all") ||
    windowProtocol(run, "divergence", "all");
  return {
    experiment: run.experiments.join(", "),
    model: modelNames(run),
    text: text.replace(/^Text: |\.$/g, ""),
    dtype: distinct(engines.map(({ engine }) => engine.dtype)),
    engine: distinct(engines.map(engineName)),
    machine: machineName(run),
    commit: commits(run),
    calibration: calibrationProtocol(run).replace(/^Calibration: |\.$/g, ""),
  };
}
