// Moments on disk, named by everything that decides them: a sweep of any number
// of variants runs the calibration text once for each distinct model, ever.
// A folder a key, a file a layer; what is damaged is made again. Of processes
// that need the same moments at once, one makes them and the others wait.

import { join } from "node:path";
import { CheckpointError } from "../base/errors.ts";
import { type FileLock, fileLock } from "../base/file_lock.ts";
import { systemReason } from "../base/system_reason.ts";
import type { EngineDescription, Session } from "../engine/engine.ts";
import type { DecoderModel } from "../model/decoder.ts";
import type { LayerMoments, ModelMoments } from "../model/moments.ts";
import { contentKey } from "../base/content_key.ts";
import { RESERVOIR_ROWS, streamMoments } from "./moments.ts";
import { readMomentsFile, writeMomentsFile } from "./moments_file.ts";
import type { CalibrationOptions } from "./options.ts";

/** Raised by hand when collected moments may come out differently. */
export const MOMENTS_VERSION = 1;

/** What moments are made of. */
export interface MomentsRequest {
  readonly model: Pick<DecoderModel, "sha256" | "config">;
  /** Hex sha256 of the calibration text. */
  readonly textSha256: string;
  readonly tokenizerSha256: string;
  readonly sampling: Pick<CalibrationOptions, "samples" | "tokens" | "seed">;
  readonly engine: Pick<EngineDescription, "name" | "provider" | "dtype">;
  /** @default RESERVOIR_ROWS */
  readonly reservoirRows?: number;
}

/** How to make moments that are not on disk. */
export interface MomentsSupply {
  /** The folder of the cache; without one, moments stay in memory. */
  readonly folder?: string;
  /** The sampled token ids. */
  sequences(): readonly Int32Array[] | Promise<readonly Int32Array[]>;
  /** Opens the model; closed after the run. */
  open(): Promise<Session>;
  /** Sequences done of all. */
  progress?(done: number, total: number): void;
  /** Says that the cache holds something damaged, which is made again; that another process is waited for. */
  warn?(message: string): void;
}

/** Moments, and where they came from. */
export interface MomentsResult {
  readonly moments: ModelMoments;
  /** Whether they were on disk, whole. */
  readonly cached: boolean;
  /** Wall seconds of reading or making them. */
  readonly seconds: number;
}

/**
 * The name of moments: a sha256 over weights, text, tokenizer, sampling, engine and version.
 *
 * @param request What they are made of.
 * @returns 64 hex digits.
 */
export function momentsKey(request: MomentsRequest): string {
  const { sampling, engine } = request;
  return contentKey({
    momentsVersion: MOMENTS_VERSION,
    weights: request.model.sha256,
    text: request.textSha256,
    tokenizer: request.tokenizerSha256,
    samples: sampling.samples,
    tokens: sampling.tokens,
    seed: sampling.seed,
    engine: engine.name,
    provider: engine.provider,
    dtype: engine.dtype,
    reservoirRows: request.reservoirRows ?? RESERVOIR_ROWS,
  });
}

/**
 * Gives moments from the cache, or runs the calibration text and keeps them.
 *
 * @param request What they are made of.
 * @param supply How to make them.
 * @returns The moments and whether they were cached.
 */
export async function getMoments(
  request: MomentsRequest,
  supply: MomentsSupply,
): Promise<MomentsResult> {
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const sha256 = momentsKey(request);
  const { config } = request.model;
  const folder = supply.folder === undefined
    ? undefined
    : join(supply.folder, sha256);
  const made = async () => ({
    moments: await makeMoments(request, supply, sha256, folder),
    cached: false,
    seconds: seconds(),
  });
  if (folder === undefined) return await made();

  const read = async (warn?: MomentsSupply["warn"]) => {
    const moments = await openFolder(folder, sha256, config, warn);
    return moments && { moments, cached: true, seconds: seconds() };
  };
  const cached = await read(supply.warn);
  if (cached !== undefined) return cached;
  const lock = await lockFolder(
    folder,
    () =>
      supply.warn?.(
        `Waiting for another process that makes the moments in ${folder}`,
      ),
  );
  try {
    // Another process may have made them by now.
    return await read() ?? await made();
  } finally {
    await lock?.release();
  }
}

/** A folder that cannot be written has no lock, and is not written later either. */
async function lockFolder(
  folder: string,
  waiting: () => void,
): Promise<FileLock | undefined> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    const lock = await fileLock(`${folder}.lock`, waiting);
    // Nobody else writes here now: these are of processes that were killed.
    for await (const { name } of Deno.readDir(folder)) {
      if (!name.endsWith(".tmp")) continue;
      await Deno.remove(join(folder, name)).catch(() => {});
    }
    return lock;
  } catch {
    return undefined;
  }
}

async function makeMoments(
  request: MomentsRequest,
  supply: MomentsSupply,
  sha256: string,
  folder: string | undefined,
): Promise<ModelMoments> {
  const { config } = request.model;
  const sequences = await supply.sequences();
  const session = await supply.open();
  const keeper = new MomentsKeeper(folder, config, supply.warn);
  try {
    await streamMoments(session, sequences, config, {
      seed: request.sampling.seed,
      reservoirRows: request.reservoirRows ?? RESERVOIR_ROWS,
      progress: (done, total) => supply.progress?.(done, total),
    }, (layer, moments) => keeper.put(layer, moments));
  } finally {
    await session.close();
  }
  return keeper.inMemory === undefined
    ? momentsOnDisk(sha256, folder!, keeper.tokens, config, keeper.stamps)
    : momentsInMemory(sha256, keeper.inMemory);
}

/**
 * Writes layers to the cache as they come, so that few are in memory. A cache
 * that cannot be written costs memory, not the run: what it holds is read back.
 */
class MomentsKeeper {
  /** Undefined while all of them are on disk. */
  inMemory: LayerMoments[] | undefined;
  tokens = 0;
  /** Of the files as they were written, by path. */
  readonly stamps = new Map<string, string>();
  readonly #folder: string | undefined;
  readonly #config: DecoderModel["config"];
  readonly #warn: MomentsSupply["warn"];
  readonly #written: number[] = [];

  constructor(
    folder: string | undefined,
    config: DecoderModel["config"],
    warn: MomentsSupply["warn"],
  ) {
    this.#folder = folder;
    this.#config = config;
    this.#warn = warn;
    if (folder === undefined) this.inMemory = [];
  }

  async put(layer: number, moments: LayerMoments): Promise<void> {
    this.tokens = moments.tokens;
    if (this.inMemory === undefined) {
      try {
        await this.#write(layer, moments);
        return;
      } catch (error) {
        await this.#readBack(systemReason(error));
      }
    }
    this.inMemory![layer] = moments;
  }

  async #write(layer: number, moments: LayerMoments): Promise<void> {
    await Deno.mkdir(this.#folder!, { recursive: true });
    const path = layerPath(this.#folder!, layer);
    await writeMomentsFile(path, moments);
    this.#written.push(layer);
    this.stamps.set(path, await stampOf(path));
  }

  async #readBack(reason: string): Promise<void> {
    const folder = this.#folder!;
    this.#warn?.(
      `Cannot keep moments in ${folder}: ${reason}; they stay in memory`,
    );
    const layers: LayerMoments[] = [];
    for (const layer of this.#written) {
      layers[layer] = await readMomentsFile(
        layerPath(folder, layer),
        this.#config.hiddenSize,
      );
    }
    this.inMemory = layers;
    // A part of them is of no use, and may be what fills the disk.
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
}

/**
 * Moments that are already in memory.
 *
 * @param sha256 Their name.
 * @param layers One entry a layer.
 * @returns The same, as conversions read them.
 */
export function momentsInMemory(
  sha256: string,
  layers: readonly LayerMoments[],
): ModelMoments {
  return {
    sha256,
    tokens: layers[0]?.tokens ?? 0,
    layer(index) {
      const layer = layers[index];
      return layer === undefined
        ? Promise.reject(
          new RangeError(
            `Cannot read moments of layer ${index} as it must be < ${layers.length}`,
          ),
        )
        : Promise.resolve(layer);
    },
  };
}

/** Files found whole by this process: size, time of change and tokens, by path. */
const checkedFiles = new Map<string, { stamp: string; tokens: number }>();

/**
 * Finds damage before a conversion starts: every file is read and hashed, once
 * a process as long as it does not change.
 */
async function openFolder(
  folder: string,
  sha256: string,
  config: DecoderModel["config"],
  warn: MomentsSupply["warn"] = () => {},
): Promise<ModelMoments | undefined> {
  let tokens = 0;
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    try {
      tokens = await checkFile(layerPath(folder, layer), config.hiddenSize);
    } catch (error) {
      if (error instanceof CheckpointError) {
        warn(`${error.message}; calibrating again`);
      } else if (!(error instanceof Deno.errors.NotFound)) {
        const reason = systemReason(error);
        warn(
          `Cannot read moments in ${folder}: ${reason}; calibrating again`,
        );
      }
      return undefined;
    }
  }
  return momentsOnDisk(sha256, folder, tokens, config);
}

/** Returns the tokens that a whole file covers. */
async function checkFile(path: string, hiddenSize: number): Promise<number> {
  const stamp = await stampOf(path);
  const known = checkedFiles.get(path);
  if (known?.stamp === stamp) return known.tokens;
  const { tokens } = await readMomentsFile(path, hiddenSize);
  checkedFiles.set(path, { stamp, tokens });
  return tokens;
}

async function stampOf(path: string): Promise<string> {
  const { size, mtime, ino } = await Deno.stat(path);
  return `${size} ${mtime?.getTime()} ${ino}`;
}

/** @param written Stamps of files that this process wrote: they are not hashed again while they stay as they were. */
function momentsOnDisk(
  sha256: string,
  folder: string,
  tokens: number,
  config: DecoderModel["config"],
  written: ReadonlyMap<string, string> = new Map(),
): ModelMoments {
  return {
    sha256,
    tokens,
    async layer(index) {
      const path = layerPath(folder, index);
      const known = written.get(path) ?? checkedFiles.get(path)?.stamp;
      const verified = known === await stampOf(path);
      return await readMomentsFile(path, config.hiddenSize, { verified });
    },
  };
}

function layerPath(folder: string, layer: number): string {
  return join(folder, `layer-${String(layer).padStart(3, "0")}.moments`);
}
