// The README's section on speed: our decode steps beside PyTorch's and the limit,
// and whole requests beside the paper's Table 4.

import { crossoverMeaning, crossoverTable } from "./crossovers.ts";
import {
  peerProtocol,
  peerRatiosMeaning,
  peerRatiosTable,
  PEERS_MEANING,
  peersTable,
  torchRange,
} from "./decode_peers.ts";
import { makeFigures } from "./figures.ts";
import { escapeMarkdown } from "./format.ts";
import type { RunData } from "./load.ts";
import { LINES_MEANING } from "./peer_figures.ts";
import { protocol } from "./protocol.ts";
import { commits, missingCells } from "./run_facts.ts";
import { collectSeries } from "./series.ts";
import { requestsMeaning, requestsTable } from "./speed_tables.ts";
import { markdownTable } from "./summary.ts";

const INTRODUCTION =
  "Weights are seeded, of a model’s shape; “MLA” is the shape that a conversion gives. “dawn” and “deno” are this suite through two WebGPU implementations, “torch” is PyTorch.";

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
    INTRODUCTION,
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
  const ratios = peerRatiosTable(peers);
  const crossovers = crossoverTable(series);
  const shape = shapeName(peers.settings.model);
  return [
    `#### Decoding beside PyTorch, ${escapeMarkdown(shape)}`,
    escapeMarkdown(peerProtocol(peers)),
    ...drawn.map(({ id, title }) =>
      `![${
        escapeMarkdown(`${title}, ${shape}`)
      }](${path}/figures/${id}.svg)\n\n*${
        escapeMarkdown(`${title}. ${LINES_MEANING}`)
      }*`
    ),
    ...ratios.rows.length === 0 ? [] : [
      escapeMarkdown(peerRatiosMeaning(peers)),
      markdownTable(ratios),
    ],
    ...crossovers.rows.length === 0 ? [] : [
      escapeMarkdown(
        `Several widths of the latent. ${crossoverMeaning(series)} ${
          protocol(run, { speed: true })
        }`,
      ),
      markdownTable(crossovers),
    ],
    folded(
      ["Tokens a second of every case", torchRange(peers)].filter((part) =>
        part !== ""
      ).join(": "),
      `${markdownTable(peersTable(peers))}\n\n${escapeMarkdown(PEERS_MEANING)}`,
    ),
    closing(path, run, peers.commit?.slice(0, 7)),
  ].join("\n\n");
}

function requestsPart({ path, run }: SpeedRun): string {
  return [
    "#### Whole requests",
    escapeMarkdown(
      [requestsMeaning(run), protocol(run, { speed: true })].filter((part) =>
        part !== ""
      ).join(" "),
    ),
    markdownTable(requestsTable(collectSeries(run))),
    closing(path, run, commits(run)),
  ].join("\n\n");
}

/** "llama-2-7b" of "synthetic:llama-2-7b". */
function shapeName(model: string): string {
  return model.replace(/^synthetic:/, "");
}

/** Shown when a reader asks for it. */
function folded(title: string, content: string): string {
  return `<details><summary>${title}</summary>\n\n${content}\n\n</details>`;
}

/** What is missing, from which commit, and where the rest is. */
function closing(path: string, run: RunData, commit = ""): string {
  const missing = missingCells(run);
  return escapeMarkdown(
    [
      missing === "" ? "" : `${missing} so far.`,
      commit === "" ? "" : `Commit ${commit}.`,
    ].filter((part) => part !== "").join(" "),
  ).concat(` Everything: ${link(path)}.`).trim();
}

function link(path: string): string {
  return `[${escapeMarkdown(path.split("/").at(-1)!)}](${path}/summary.md)`;
}
