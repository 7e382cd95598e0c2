// Memory by arithmetic: weights + batch x cache. Used to choose a batch size
// and to foresee that a cell cannot fit a stated budget. Activations and the
// runtime's own memory are not counted.

/** What fits, by arithmetic. */
export interface BatchPlan {
  readonly batchSize: number;
  /** Weights and cache, bytes. */
  readonly memoryBytes: number;
  /** Present where the budget is exceeded: the arithmetic, one line. */
  readonly exceeded?: string;
}

/** Sizes to plan from. */
export interface BatchRequest {
  readonly batch: number | "auto";
  /** Bytes; absent: no limit. */
  readonly memoryBudgetBytes?: number;
  readonly weightBytes: number;
  /** Of one sequence. */
  readonly cacheBytesPerToken: number;
  /** Tokens that each sequence reaches. */
  readonly tokens: number;
  /** "auto" on a CPU is 1: a larger batch there measures the machine's GEMM, not the cache. */
  readonly device: "cpu" | "gpu";
}

/** How the reason of a foreseen shortage starts: such a cell is a result, not a failure. */
export const FORESEEN = "memoryBudget foresees out of memory";

const MAX_AUTO_BATCH = 1024;

/**
 * Chooses the batch size and says whether weights and cache fit the budget.
 *
 * @param request Sizes to plan from.
 * @returns The batch and its memory; `exceeded` where it does not fit.
 */
export function planBatch(request: BatchRequest): BatchPlan {
  const { batch, memoryBudgetBytes, weightBytes, cacheBytesPerToken, tokens } =
    request;
  const perSequence = cacheBytesPerToken * tokens;
  let batchSize = batch === "auto" ? 1 : batch;
  if (
    batch === "auto" && request.device === "gpu" &&
    memoryBudgetBytes !== undefined
  ) {
    const fitting = Math.floor((memoryBudgetBytes - weightBytes) / perSequence);
    batchSize = Math.min(MAX_AUTO_BATCH, Math.max(1, fitting));
  }
  const memoryBytes = weightBytes + batchSize * perSequence;
  if (memoryBudgetBytes !== undefined && memoryBytes > memoryBudgetBytes) {
    return {
      batchSize,
      memoryBytes,
      exceeded: `${FORESEEN}: weights ${weightBytes} + ` +
        `batch ${batchSize} x ${tokens} tokens x ${cacheBytesPerToken} bytes of cache ` +
        `= ${memoryBytes} bytes > ${memoryBudgetBytes}`,
    };
  }
  return { batchSize, memoryBytes };
}
