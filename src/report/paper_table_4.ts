// What the paper measured: Table 4 of arXiv 2502.07864, LLaMA-2-7B and its
// TransMLA conversion served by vLLM, output tokens a second of 100 requests (1000
// at 1K) whose input and output are half of the context each.

/** Output tokens a second at a context; undefined where it did not fit. */
interface PaperSpeeds {
  readonly original: readonly (number | undefined)[];
  readonly mla: readonly (number | undefined)[];
}

/** Contexts of the columns. */
export const PAPER_CONTEXTS = [1024, 2048, 4096, 8192, 16384, 32768] as const;

/** By memory of the card. */
export const PAPER_TABLE_4: Readonly<
  Record<string, PaperSpeeds & { readonly card: string }>
> = {
  "24GiB": {
    card: "RTX 4090",
    original: [653.81, 352.85, 173.09, 85.8, undefined, undefined],
    mla: [3043.65, 2241.87, 1318.78, 832.69, 414.41, undefined],
  },
  "40GiB": {
    card: "A100",
    original: [1579.26, 850.14, 441.37, 218.51, 110.58, 38.32],
    mla: [4062.43, 2577.01, 1926.15, 1118.18, 601.36, 243.81],
  },
  "64GiB": {
    card: "Ascend 910B",
    original: [1249.13, 789.31, 442.63, 216.66, 112.13, 55.69],
    mla: [1798.17, 1080.73, 1021.03, 870.15, 483.22, 278.09],
  },
};

/** The paper's speeds of a card at a context. */
export function paperSpeeds(
  memoryBudget: string,
  contextTokens: number,
): { readonly card: string; original?: number; mla?: number } | undefined {
  const row = Object.hasOwn(PAPER_TABLE_4, memoryBudget)
    ? PAPER_TABLE_4[memoryBudget]
    : undefined;
  const at = PAPER_CONTEXTS.findIndex((context) => context === contextTokens);
  if (row === undefined || at < 0) return undefined;
  const [original, mla] = [row.original[at], row.mla[at]];
  return {
    card: row.card,
    ...(original === undefined ? {} : { original }),
    ...(mla === undefined ? {} : { mla }),
  };
}
