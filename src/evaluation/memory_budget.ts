// Memory by arithmetic: weights + batch x cache + scratch. Used to choose a batch
// size and to foresee that a cell cannot fit a stated budget. What the runtime
// and the driver take for themselves is not counted: memoryUtilization leaves it.

/** What a cell takes, bytes. */
export interface MemoryParts {
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly scratchBytes: number;
  /** The budget's usable part; absent where there is none. */
  readonly budgetBytes?: number;
}

/** What fits, by arithmetic. */
export interface BatchPlan {
  readonly batchSize: number;
  readonly memory: MemoryParts;
  /** All parts together, bytes. */
  readonly memoryBytes: number;
  /** How memoryBytes comes about, one line. */
  readonly arithmetic: string;
  /** Present where the budget is exceeded: the arithmetic, one line. */
  readonly exceeded?: string;
}

/** Sizes to plan from. */
export interface BatchRequest {
  readonly batch: number | "auto";
  /** Bytes; absent: no limit. */
  readonly memoryBudgetBytes?: number;
  /** Part of the budget that may be used, 0-1. @default 1 */
  readonly memoryUtilization?: number;
  readonly weightBytes: number;
  /** Of one sequence. */
  readonly cacheBytesPerToken: number;
  /** Tokens that each sequence reaches. */
  readonly tokens: number;
  /** Bytes of activations and other scratch. @default 0 of every batch */
  scratchBytes?(batch: number): number;
  /** "auto" is no more than this. @default 1024 */
  readonly mostSequences?: number;
  /** "auto" on a CPU is 1: a larger batch there measures the machine's GEMM, not the cache. */
  readonly device: "cpu" | "gpu";
}

/** How the reason of a foreseen shortage starts: such a cell is a result, not a failure. */
export const FORESEEN = "memoryBudget foresees out of memory";

const MAX_AUTO_BATCH = 1024;

/**
 * Chooses the batch size and says whether weights, cache and scratch fit the budget.
 *
 * @param request Sizes to plan from.
 * @returns The batch and its memory; `exceeded` where it does not fit.
 */
export function planBatch(request: BatchRequest): BatchPlan {
  const { batch, memoryBudgetBytes, cacheBytesPerToken, tokens } = request;
  const { memoryUtilization = 1, weightBytes } = request;
  const limit = memoryBudgetBytes === undefined
    ? undefined
    : Math.floor(memoryBudgetBytes * memoryUtilization);
  const batchSize = batch === "auto" ? largestBatch(request, limit) : batch;
  const memory = {
    weightBytes,
    cacheBytes: batchSize * cacheBytesPerToken * tokens,
    scratchBytes: request.scratchBytes?.(batchSize) ?? 0,
    ...(limit === undefined ? {} : { budgetBytes: limit }),
  };
  const memoryBytes = bytesOf(memory);
  const arithmetic = `weights ${decimal(weightBytes)} + ` +
    `cache ${batchSize} x ${tokens} tokens x ${cacheBytesPerToken} B + ` +
    `scratch ${decimal(memory.scratchBytes)} = ${decimal(memoryBytes)}`;
  const plan = { batchSize, memory, memoryBytes, arithmetic };
  if (limit === undefined || memoryBytes <= limit) return plan;
  return {
    ...plan,
    exceeded: `${FORESEEN}: ${arithmetic} > ${decimal(limit)}${
      memoryUtilization === 1
        ? ""
        : `, ${memoryUtilization} of ${decimal(memoryBudgetBytes!)}`
    }`,
  };
}

/** At least 1: whether that fits is for the caller to say. */
function largestBatch(
  request: BatchRequest,
  limit: number | undefined,
): number {
  if (request.device === "cpu" || limit === undefined) return 1;
  const { weightBytes, cacheBytesPerToken, tokens } = request;
  const perSequence = cacheBytesPerToken * tokens;
  const most = Math.min(request.mostSequences ?? Infinity, MAX_AUTO_BATCH);
  let batch = Math.min(most, Math.floor((limit - weightBytes) / perSequence));
  // Scratch need not grow evenly, so the first that fits from above is looked for.
  while (batch > 1) {
    const scratchBytes = request.scratchBytes?.(batch) ?? 0;
    const cacheBytes = batch * perSequence;
    if (bytesOf({ weightBytes, cacheBytes, scratchBytes }) <= limit) break;
    batch--;
  }
  return Math.max(1, batch);
}

function bytesOf(
  { weightBytes, cacheBytes, scratchBytes }: MemoryParts,
): number {
  return weightBytes + cacheBytes + scratchBytes;
}

/** As the memory of cards is told: "13.48 GB". */
function decimal(bytes: number): string {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6]] as const) {
    if (bytes >= size) return `${(bytes / size).toFixed(2)} ${unit}`;
  }
  return `${bytes} B`;
}
