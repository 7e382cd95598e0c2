// certificate.json: numbers of a converted folder that anyone can compute again
// from the folder alone, without calibration text or the original.

import { z } from "zod";
import { CheckpointError } from "../base/errors.ts";
import { oneLine } from "../base/excerpt.ts";
import { fileDigest } from "../checkpoint/file_digest.ts";
import { readJsonObject } from "../checkpoint/strict_json.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import type { Engine, Session } from "../engine/engine.ts";
import type { ModelConfig } from "../model/config.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { LatentSizes } from "./latent_checkpoint.ts";

/** Content of certificate.json. */
export const CERTIFICATE = z.object({
  format: z.literal(1),
  files: z.array(
    z.object({ name: z.string(), bytes: z.number(), sha256: z.string() }),
  ),
  /** Frobenius norm of each stored tensor. */
  norms: z.record(z.string(), z.number()),
  cache: z.object({
    /** 2·G·d */
    originalNumbersPerTokenAndLayer: z.number(),
    /** r + m */
    numbersPerTokenAndLayer: z.number(),
    /** All layers, in f32; verify measures it on the live buffers. */
    bytesPerToken: z.number(),
  }),
  /** Next-token losses on a few windows of held-out calibration text, nats. */
  probe: z.object({
    text: z.string(),
    engine: z.string(),
    ids: z.array(z.array(z.int().nonnegative()).min(3)).min(1),
    originalMeanNll: z.number(),
    meanNll: z.number(),
    nll: z.array(z.array(z.number())),
    /** Largest difference between a loss of the folder and of the model before it was stored. */
    storageError: z.number(),
  }),
});

/** A certificate. */
export type Certificate = z.infer<typeof CERTIFICATE>;

/** One thing that was checked. */
export interface Check {
  readonly what: string;
  readonly holds: boolean;
  /** Values found and allowed. */
  readonly details: string;
}

// Losses in f32, up to another number of threads.
const NLL_TOLERANCE = 1e-3;
// Absorbed and expanded products in f32, relative to the largest logit.
const LOGIT_TOLERANCE = 1e-3;
const NORM_TOLERANCE = 1e-9;

/**
 * Reads a certificate.
 *
 * @param path The file.
 * @returns Its content.
 * @throws {CheckpointError} If it is not one; the message is one line.
 */
export async function readCertificate(path: string): Promise<Certificate> {
  const parsed = CERTIFICATE.safeParse(await readJsonObject(path));
  if (parsed.success) return parsed.data;
  const { path: field, message } = parsed.error.issues[0]!;
  throw new CheckpointError(
    `Cannot use ${path} as ${
      oneLine(field.map(String).join("."), 80)
    } is wrong: ${oneLine(message)}`,
  );
}

/**
 * Refuses a certificate whose probe the model cannot run.
 *
 * @param folder Where it is.
 * @param certificate What it claims.
 * @param config Of the model.
 * @throws {CheckpointError} If an id or a position is out of range.
 */
export function refuseForeignProbe(
  folder: string,
  { probe }: Certificate,
  { vocabSize, maxPositionEmbeddings }: ModelConfig,
): void {
  for (const [window, ids] of probe.ids.entries()) {
    const wrong = ids.find((id) => id >= vocabSize);
    if (wrong === undefined && ids.length <= maxPositionEmbeddings) continue;
    throw new CheckpointError(
      `Cannot use the certificate of ${folder} as probe.ids[${window}] must have at most ${maxPositionEmbeddings} ids below ${vocabSize}: ${
        wrong === undefined ? `it has ${ids.length}` : `found ${wrong}`
      }`,
    );
  }
}

/** Frobenius norm of every tensor of a checkpoint, by name. */
export async function tensorNorms(
  checkpoint: Checkpoint,
): Promise<Record<string, number>> {
  const norms: Record<string, number> = {};
  for (const { name } of checkpoint.tensors.list()) {
    const { data } = await checkpoint.tensors.read(name);
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]!;
    norms[name] = Math.sqrt(sum);
  }
  return norms;
}

/** Next-token losses of each window, nats. */
export async function probeLosses(
  session: Session,
  ids: readonly (readonly number[])[],
): Promise<number[][]> {
  const windows = ids.map((window) => Int32Array.from(window));
  const [first] = windows;
  // Together where they can be: a model larger than memory is read once for all.
  if (windows.every(({ length }) => length === first?.length)) {
    return (await session.score(windows)).map((nll) => [...nll]);
  }
  const losses: number[][] = [];
  for (const window of windows) {
    const [nll] = await session.score([window]);
    losses.push([...nll!]);
  }
  return losses;
}

/** Mean over all losses. */
export function meanLoss(losses: readonly (readonly number[])[]): number {
  const all = losses.flat();
  return all.reduce((sum, nll) => sum + nll, 0) / all.length;
}

/** Largest absolute difference; Infinity where one is NaN or the shapes differ. */
export function largestDifference(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
): number {
  const [left, right] = [a.flat(), b.flat()];
  if (left.length !== right.length) return Infinity;
  return left.reduce((worst, value, i) => {
    const difference = Math.abs(value - right[i]!);
    return Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
  }, 0);
}

/**
 * Checks a folder against its certificate, and the identities of latent attention.
 *
 * @param folder Where it is.
 * @param checkpoint The same, opened.
 * @param model Its model.
 * @param sizes Of its attention.
 * @param certificate What it claims.
 * @param engine Runs it.
 * @returns One entry a check.
 */
export async function checkCertificate(
  folder: string,
  checkpoint: Checkpoint,
  model: DecoderModel,
  sizes: LatentSizes,
  certificate: Certificate,
  engine: Engine,
): Promise<Check[]> {
  const checks: Check[] = [];
  checks.push(await checkFiles(folder, checkpoint, certificate));
  checks.push(checkNorms(await tensorNorms(checkpoint), certificate));
  checks.push(await checkSharedHeads(model, sizes));
  const session = await engine.open(model);
  try {
    const losses = await probeLosses(session, certificate.probe.ids);
    const error = largestDifference(losses, certificate.probe.nll);
    checks.push(within("losses are the certificate's", error, NLL_TOLERANCE));
    checks.push(within(
      "mean loss is that of the losses",
      Math.abs(meanLoss(certificate.probe.nll) - certificate.probe.meanNll),
      1e-9,
    ));
    checks.push(...await checkDecoding(session, model, sizes, certificate));
  } finally {
    await session.close();
  }
  return checks;
}

async function checkFiles(
  folder: string,
  checkpoint: Checkpoint,
  { files }: Certificate,
): Promise<Check> {
  const wrong: string[] = [];
  for (const { name } of checkpoint.files) {
    const claimed = files.find((file) => file.name === name);
    const found = await fileDigest(`${folder}/${name}`);
    if (claimed?.sha256 !== found) wrong.push(name);
  }
  const missing = files.filter(({ name }) =>
    !checkpoint.files.some((file) => file.name === name)
  ).map(({ name }) => name);
  return {
    what: "weight files are the certificate's",
    holds: wrong.length + missing.length === 0,
    details: [...wrong, ...missing].join(", ") || `${files.length} files`,
  };
}

function checkNorms(
  norms: Readonly<Record<string, number>>,
  certificate: Certificate,
): Check {
  const names = new Set([
    ...Object.keys(norms),
    ...Object.keys(certificate.norms),
  ]);
  const wrong = [...names].filter((name) => {
    const [found, claimed] = [norms[name] ?? NaN, certificate.norms[name]];
    const error = Math.abs(found - (claimed ?? NaN));
    return !(error <= NORM_TOLERANCE * Math.max(found, Number.MIN_VALUE));
  });
  return {
    what: "norms of all tensors are the certificate's",
    holds: wrong.length === 0,
    details: wrong.slice(0, 3).join(", ") || `${names.size} tensors`,
  };
}

/** Query heads of one key-value head of the original have the same up-projection. */
async function checkSharedHeads(
  model: DecoderModel,
  sizes: LatentSizes,
): Promise<Check> {
  const { numAttentionHeads, numKeyValueHeads, numHiddenLayers } = model.config;
  const block = (sizes.qkNopeHeadDim + sizes.vHeadDim) * sizes.kvLoraRank;
  const group = numAttentionHeads / numKeyValueHeads;
  const wrong: string[] = [];
  for (let index = 0; index < numHiddenLayers; index++) {
    const { attention } = await model.layer(index);
    if (attention.kind !== "mla") continue;
    const { data } = attention.kvBProj;
    for (let i = 0; i < data.length; i++) {
      const head = Math.floor(i / block);
      const first = head - head % group;
      if (data[i] !== data[i - (head - first) * block]) {
        wrong.push(`layer ${index} head ${head}`);
        break;
      }
    }
  }
  return {
    what: "query heads of a group share their up-projection",
    holds: wrong.length === 0,
    details: wrong.join(", ") || `${numKeyValueHeads} groups of ${group}`,
  };
}

/** Absorbed decoding from the cache against one expanded prefill, and the cache's size. */
async function checkDecoding(
  session: Session,
  model: DecoderModel,
  sizes: LatentSizes,
  { probe, cache }: Certificate,
): Promise<Check[]> {
  const prompt = probe.ids[0]!.slice(0, -2);
  await session.prefill([Int32Array.from(prompt)], 2);
  const live = session.cache();
  const bytesPerToken = live.bytes / (live.tokens * live.batch);
  const { tokens } = await session.decode(2);
  const [decoded] = await session.lastLogits();
  await session.prefill([Int32Array.of(...prompt, ...tokens[0]!)]);
  const [whole] = await session.lastLogits();
  const scale = Math.max(...whole!.map(Math.abs));
  const { config } = model;
  const numbers = sizes.kvLoraRank + sizes.qkRopeHeadDim;
  const original = 2 * config.numKeyValueHeads * config.headDim;
  return [
    within(
      "absorbed decoding equals expanded prefill (share of the largest logit)",
      largestDifference([[...decoded!]], [[...whole!]]) / scale,
      LOGIT_TOLERANCE,
    ),
    {
      what: "cache has r + m numbers a token and layer",
      holds: cache.numbersPerTokenAndLayer === numbers &&
        cache.originalNumbersPerTokenAndLayer === original &&
        cache.bytesPerToken === bytesPerToken &&
        bytesPerToken === 4 * numbers * config.numHiddenLayers,
      details:
        `${numbers} of the original's ${original}, ${bytesPerToken} bytes a token measured`,
    },
  ];
}

function within(what: string, found: number, allowed: number): Check {
  return {
    what,
    holds: found <= allowed,
    details: `${found.toExponential(2)}, allowed ${allowed}`,
  };
}
