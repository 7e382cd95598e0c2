// The page's section of greedy continuations.

import {
  type Continuations,
  continuationsOf,
  type SplitText,
} from "./continuations.ts";
import { escapeHtml, formatNumber } from "./format.ts";
import { seriesMark } from "./html_parts.ts";
import type { Series } from "./series.ts";

/**
 * Continuations of every prompt, the original's first.
 *
 * @param series All series.
 * @param protocol How they were made.
 * @returns HTML; "" where none were recorded.
 */
export function continuationsSection(
  series: readonly Series[],
  protocol: string,
): string {
  const all = continuationsOf(series);
  if (all.length === 0) return "";
  return `<h2>Greedy continuations</h2>
<p class="caption">What each model writes after the same prompt, always its most likely token. What a variant has in common with the original’s beginning is gray; the first word that differs is marked. ${
    escapeHtml(protocol)
  }</p>
${all.map((one, i) => promptHtml(one, i === 0)).join("\n")}`;
}

function promptHtml(
  { prompt, original, tokens, variants }: Continuations,
  isOpen: boolean,
): string {
  const rows = variants.map(({ series, commonTokens, text }) =>
    `<tr><td class="left name">${seriesMark(series)}${
      escapeHtml(series.label)
    }</td><td class="right" data-value="${commonTokens}">${
      formatNumber(commonTokens)
    } of ${formatNumber(tokens)}</td><td class="left text">${
      splitHtml(text)
    }</td></tr>`
  ).join("\n");
  return `<details class="print"${isOpen ? " open" : ""}><summary>“${
    escapeHtml(excerpt(prompt))
  }”</summary>
<blockquote>${escapeHtml(prompt)}</blockquote>
<div class="scroll" tabindex="0"><table class="continuations">
<thead><tr><th scope="col" class="left">Variant</th><th scope="col" class="right">tokens in common</th><th scope="col" class="left">Continuation</th></tr></thead>
<tbody><tr class="baseline"><td class="left name">original</td><td class="right">–</td><td class="left text">${
    escapeHtml(original)
  }</td></tr>
${rows}</tbody></table></div></details>`;
}

function splitHtml({ same, first, rest }: SplitText): string {
  return `<span class="same">${escapeHtml(same)}</span>${
    first === "" ? "" : `<mark>${escapeHtml(first)}</mark>`
  }${escapeHtml(rest)}`;
}

/** The end of a prompt, where the continuation begins. */
function excerpt(prompt: string): string {
  const plain = prompt.replace(/\s+/g, " ").trim();
  return plain.length <= 90 ? plain : `…${plain.slice(-90)}`;
}
