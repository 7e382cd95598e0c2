// The README's section on speed: our decode steps beside PyTorch's and the limit,
// and whole requests beside the paper's Table 4.

import { peerProtocol, peersTable } from "./decode_peers.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown } from "./format.ts";
import type { RunData } from "./load.ts";
import { protocol } from "./protocol.ts";
import { commits } from "./run_facts.ts";
import { collectSeries } from "./series.ts";
import {
  crossoverNote,
  requestsMeaning,
  requestsTable,
} from "./speed_tables.ts";
import { markdownTable } from "./summary.ts";

/** A published run with the figures that are there as SVG. */
interface SpeedRun {
  readonly path: string;
  readonly run: RunData;
  readonly figures: readonly string[];
}

/** Whether a run belongs in the section. */
export function isSpeedRun({ run }: Pick<SpeedRun, "run">): boolean {
  return run.peers !== undefined ||
    requestsTable(collectSeries(run)).rows.length > 0;
}

/**
 * Renders the section.
 *
 * @param runs Those of isSpeedRun().
 * @returns Markdown; "" where there are none.
 */
export function speedSection(runs: readonly SpeedRun[]): string {
  if (runs.length === 0) return "";
  return [
    "### Speed",
    ...runs.filter(({ run }) => run.peers !== undefined).map(peersPart),
    ...runs.filter(({ run }) => run.peers === undefined).map(requestsPart),
  ].join("\n\n");
}

function peersPart({ path, run, figures }: SpeedRun): string {
  const peers = run.peers!;
  const series = collectSeries(run);
  const drawn = makeFigures(series, run).filter(({ id }) =>
    id.startsWith("peers-") && figures.includes(id)
  );
  return [
    ...drawn.map(({ id, title }) =>
      `![${escapeMarkdown(title)}](${path}/figures/${id}.svg)`
    ),
    markdownTable(peersTable(peers)),
    `${
      escapeMarkdown(
        [
          peerProtocol(peers),
          peers.commit === undefined
            ? ""
            : `Commit ${peers.commit.slice(0, 7)}.`,
          crossoverNote(series),
        ].filter((part) => part !== "").join(" "),
      )
    } Everything: ${link(path)}.`,
  ].join("\n\n");
}

function requestsPart({ path, run }: SpeedRun): string {
  const commit = commits(run);
  return [
    markdownTable(requestsTable(collectSeries(run))),
    `${
      escapeMarkdown(
        [
          requestsMeaning(run),
          protocol(run, { speed: true }),
          commit === "" ? "" : `Commit ${commit}.`,
        ].filter((part) => part !== "").join(" "),
      )
    } Everything: ${link(path)}.`,
  ].join("\n\n");
}

function link(path: string): string {
  return `[${escapeMarkdown(path.split("/").at(-1)!)}](${path}/summary.md)`;
}
