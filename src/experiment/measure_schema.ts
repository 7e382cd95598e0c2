// What an experiment file may say below `measure`, with the words that its
// reference and editors show.

import { z } from "zod";

const contexts = z.array(z.int().min(2).max(1 << 24)).min(1);

/** A measure's own contexts instead of those of all. */
const ownContexts = contexts.optional().describe(
  "Context lengths of this measure; default: those of measure.contexts",
);

const text = z.string().min(1).describe(
  "Name of a text (deno task list texts) or file:PATH",
);

const perplexity = z.strictObject({
  text,
  tokens: z.union([z.literal("all"), z.int().min(2)]).default("all").describe(
    "Token budget, the same at each context; all: every whole window",
  ),
  contexts: ownContexts,
  batch: z.int().min(1).optional().describe(
    "Windows scored in one call; default: as many as suit the engine",
  ),
});

const continuation = z.union([
  z.literal(false),
  z.strictObject({
    prompts: z.int().min(1).default(2).describe("Prompts, cut from the text"),
    promptTokens: z.int().min(1).default(64).describe("Tokens of each prompt"),
    tokens: z.int().min(1).default(48).describe("Tokens added to each"),
  }),
]).prefault({}).describe(
  "Prompts that original and variant continue greedily, at the longest context; false: none",
);

const divergence = z.strictObject({
  text,
  tokens: z.int().min(2).default(32768).describe(
    "Token budget, the same at each context",
  ),
  contexts: ownContexts,
  continuation,
});

const cache = z.strictObject({
  contexts: ownContexts,
  slackBytes: z.int().min(0).default(0).describe(
    "Bytes that the live buffers may have beyond theory",
  ),
  memoryGrowth: z.boolean().optional().describe(
    "Also measure how the device's memory grows with the cache, once a variant (engine webgpu)",
  ),
});

/** More sequences than any memory holds take minutes to be refused. */
const MOST_SEQUENCES = 1 << 20;

const batch = z.union([
  z.literal("auto"),
  z.int().min(1).max(MOST_SEQUENCES),
]);
const memoryBudget = z.string().regex(/^\d+(\.\d+)? ?([KMGT]i?)?B$/);

const requests = z.strictObject({
  count: z.int().min(1).default(100).describe("Requests in all"),
  countAt: z.record(z.string(), z.int().min(1)).optional()
    .describe("Another count at a context: { 1024: 1000 }"),
  samples: z.int().min(1).default(5).describe(
    "Places along the generation at which steps are timed; between them the time is linear",
  ),
}).optional().describe("Of workload requests");

const throughput = z.strictObject({
  contexts: ownContexts,
  batch: z.union([...batch.options, z.array(batch).min(1)]).default("auto")
    .describe(
      "Sequences decoded together; auto: on a GPU as many as memoryBudget (or else the device's memory, where its driver tells it) holds, at most 1024, else 1; a list: each of them",
    ),
  memoryBudget: z.union([memoryBudget, z.array(memoryBudget).min(1)]).describe(
    "Memory that weights, cache and scratch may take, for instance 24GiB; a cell that needs more is recorded as oom; a list: each of them; numbers listed beside auto in batch are not bound by it",
  ).optional(),
  memoryUtilization: z.number().positive().max(1).optional().describe(
    "Part of the memory that may be used; default: 1 of memoryBudget, 0.9 of the device's",
  ),
  cache: z.enum(["prefill", "seeded"]).optional().describe(
    "What decoding starts from: a prefill, or a cache of seeded numbers (engine webgpu), where nothing but the speed of decoding means anything; default: prefill",
  ),
  workload: z.enum(["decode", "requests"]).optional().describe(
    "decode: steps with a cache as long as the context; requests: whole requests, half of the context in and half out, from a timed prefill and timed steps along the generation; default: decode",
  ),
  requests,
  profile: z.boolean().optional().describe(
    "Also time each kernel of a step (engine webgpu, on devices with a clock)",
  ),
  repetitions: z.int().min(1).default(5).describe(
    "Timed prefills, each followed by timed decode steps",
  ),
  steps: z.int().min(1).default(16).describe("Decode steps after each prefill"),
  warmups: z.int().min(0).default(1).describe("Repetitions before, not timed"),
});

/** The schema of `measure`: which measures, at which contexts. */
export const measureSchema = z.strictObject({
  contexts: contexts.optional().describe(
    "Context lengths in tokens, for measures that name none of their own",
  ),
  perplexity: perplexity.optional().describe(
    "Perplexity of non-overlapping windows as long as the context",
  ),
  divergence: divergence.optional().describe(
    "KL divergence and top-1 agreement of each variant's predictions to the original's",
  ),
  cache: cache.optional().describe(
    "Numbers and bytes of the KV cache, by theory and of the live buffers",
  ),
  throughput: throughput.optional().describe(
    "Speed of prefill and of decoding with a cache as long as the context",
  ),
});
