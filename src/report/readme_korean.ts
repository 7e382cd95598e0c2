// The main results for README.ko.md: the same numbers under Korean headings.

import { makeFigures } from "./figures.ts";
import { escapeMarkdown, formatNumber } from "./format.ts";
import { machineName, modelNames, scored } from "./protocol.ts";
import { mainOf, type PublishedRun } from "./readme.ts";
import { collectSeries, engineName, mainContext } from "./series.ts";
import { markdownTable } from "./summary.ts";
import { type Column, nameOf, type TableCell } from "./table.ts";
import { headlineTable } from "./tables.ts";

/** Headings by the column's name, the context taken off. */
const HEADS: Readonly<Record<string, (context: string) => string>> = {
  variant: () => "변환",
  cachedNumbersPerTokenPerLayer: () => "token·layer당 cache 원소 수",
  cacheBytesPerToken: () => "token당 cache 바이트",
  cacheChangeRatio: () => "cache 변화",
  perplexity: (context) => `perplexity (${context})`,
  deltaNllNats: () => "ΔNLL [95 % CI], nats",
  klNats: (context) => `KL (${context}), nats`,
  top1Agreement: (context) => `top-1 일치율 (${context})`,
  decodeTokensPerSecond: (context) => `tokens/s (${context})`,
  paretoOptimal: () => "Pareto 최적",
};

const WORDS: Readonly<Record<string, string>> = { yes: "예", no: "아니요" };

/**
 * Renders the results section of README.ko.md: the main experiment's table,
 * figure and conditions.
 *
 * @param published Of loadPublished().
 * @returns Markdown without the markers; "" where there is no main experiment.
 */
export function renderKoreanSection(
  published: readonly PublishedRun[],
): string {
  const main = mainOf(published);
  if (main === undefined) return "";
  const { path, run, figures } = main;
  const series = collectSeries(run);
  const table = headlineTable(series);
  const context = mainContext(series);
  const windows = scored(run, "perplexity").find(({ windowTokens }) =>
    windowTokens === context
  );
  const engines = new Set(run.cells.map(engineName));
  const conditions = [
    `모델 ${modelNames(run)}.`,
    ...windows === undefined ? [] : [
      `텍스트 ${windows.text}, 겹치지 않는 ${
        formatNumber(windows.windowTokens)
      } token window ${formatNumber(windows.windows)}개.`,
    ],
    `engine ${[...engines].join(", ")}, 장치 ${machineName(run)}.`,
    "괄호 안의 배수는 원본 대비 속도입니다.",
  ].join(" ");
  const figure = makeFigures(series, run).find(({ id }) =>
    figures.includes(id)
  );
  return [
    markdownTable({
      columns: table.columns.map(koreanColumn),
      rows: table.rows.map((row) => ({
        ...row,
        cells: row.cells.map(koreanCell),
      })),
    }),
    `${
      escapeMarkdown(conditions)
    } 모든 조건과 명령: [요약(영어)](${path}/summary.md).`,
    ...figure === undefined
      ? []
      : [`![cache에 따른 perplexity](${path}/figures/${figure.id}.svg)`],
  ].join("\n\n");
}

function koreanColumn(column: Column): Column {
  const [, name, context] = /^(.*?)(?:At(\d+))?$/.exec(nameOf(column))!;
  const head = HEADS[name!]?.(formatNumber(Number(context)));
  const { align } = column;
  return head === undefined ? column : { head, align };
}

function koreanCell(cell: TableCell): TableCell {
  const word = WORDS[cell.text];
  return word === undefined ? cell : { ...cell, text: word };
}
