// Opens a checkpoint wherever it is: a folder, a .gguf file, an alias, a hub id.

import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import {
  CheckpointError,
  InputError,
  UnavailableError,
} from "../base/errors.ts";
import { aliasFolder, refuseOtherBytes } from "./alias_files.ts";
import { cacheFolder, withLock } from "./cache_folder.ts";
import type { Progress } from "./download.ts";
import { fileDigest } from "./file_digest.ts";
import { openGguf } from "./gguf.ts";
import { ggufConfig } from "./gguf_config.ts";
import { ggufTokenizer } from "./gguf_tokenizer.ts";
import { ggufWeights } from "./gguf_weights.ts";
import { downloadFromHub } from "./hub.ts";
import { MODEL_ALIASES } from "./model_aliases.ts";
import { exists } from "./path_exists.ts";
import { openSafetensors, openSafetensorsIndex } from "./safetensors.ts";
import { type JsonObject, readJsonObject } from "./strict_json.ts";
import type { Checkpoint, TensorSource } from "./tensor_source.ts";

/** How a checkpoint is found. */
export interface OpenOptions {
  /** Told of downloads. */
  readonly progress?: Progress;
  /** @default the suite's cache folder */
  readonly cache?: string;
  /** `files` of an earlier opening in the same run: a file whose name, size and time of change agree is not hashed again. */
  readonly knownFiles?: Checkpoint["files"];
}

/** A hub id, with a revision if there is one: owner/name@revision. */
const HUB_ID = /^([\w][\w.-]*)\/([\w][\w.-]*)(?:@([\w][\w./-]*))?$/;

const INDEX = "model.safetensors.index.json";

/**
 * Opens a checkpoint.
 *
 * @param location A folder (safetensors with config.json, or one .gguf), a .gguf file, an alias of model_aliases.ts, or a hub id (owner/name or owner/name@revision).
 * @param options Where downloads go and who is told of them.
 * @returns The checkpoint; its `tensors` must be closed.
 * @throws {InputError} If there is nothing of that name, or no one model in it.
 * @throws {UnavailableError} If it must be downloaded and cannot be.
 * @throws {CheckpointError} If its files are broken.
 */
export async function openCheckpoint(
  location: string,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  const path = await locate(location, options);
  const alias = Object.hasOwn(MODEL_ALIASES, location)
    ? MODEL_ALIASES[location]!
    : undefined;
  const info = await Deno.stat(path);
  try {
    const checkpoint = info.isDirectory
      ? await openFolder(location, path, options)
      : await openGgufFile(location, path, options);
    if (alias !== undefined) {
      await refuseOtherBytes(checkpoint, location, path);
    }
    return checkpoint;
  } catch (error) {
    // What the suite has fetched itself, it can fetch again.
    if (alias !== undefined && error instanceof CheckpointError) {
      error.message += alias.folder === undefined
        ? "; remove the folder to download it again"
        : "; check it out again";
    }
    throw error;
  }
}

/**
 * Opens the first checkpoint that can be had.
 *
 * @param locations Candidates, best first.
 * @param options As for openCheckpoint().
 * @returns The checkpoint, and why those before it could not be had.
 * @throws {UnavailableError} If none can be had, naming every reason.
 */
export async function openFirstCheckpoint(
  locations: readonly string[],
  options: OpenOptions = {},
): Promise<{
  checkpoint: Checkpoint;
  failures: readonly { location: string; reason: string }[];
}> {
  const failures: { location: string; reason: string }[] = [];
  for (const location of locations) {
    try {
      const checkpoint = await openCheckpoint(location, options);
      return { checkpoint, failures };
    } catch (error) {
      if (
        !(error instanceof UnavailableError || error instanceof InputError)
      ) throw error;
      failures.push({ location, reason: error.message });
    }
  }
  throw new UnavailableError(
    `Cannot open any of ${locations.join(", ")}: ${
      failures.map(({ reason }) => reason).join("; ")
    }`,
  );
}

/** The path of a location's files, downloaded if need be. */
async function locate(
  location: string,
  options: OpenOptions,
): Promise<string> {
  const models = join(options.cache ?? cacheFolder(), "models");
  if (Object.hasOwn(MODEL_ALIASES, location)) {
    const folder = join(models, location);
    return await aliasFolder(location, folder, options.progress);
  }
  if (await exists(location)) return location;
  const [, owner, name, revision = "main"] = HUB_ID.exec(location) ?? [];
  if (owner !== undefined && name !== undefined && !/\.gguf$/.test(name)) {
    const folder = join(
      models,
      `${owner}--${name}@${revision.replaceAll("/", "--")}`,
    );
    await ensureHubModel(`${owner}/${name}`, revision, folder, options);
    return folder;
  }
  throw new InputError(
    `Cannot open model ${location} as there is no such file or folder, and it is neither a hub id nor one of ${
      Object.keys(MODEL_ALIASES).join(", ")
    }`,
  );
}

/** source.json is written last: a folder that has it is complete. */
async function ensureHubModel(
  repo: string,
  revision: string,
  folder: string,
  options: OpenOptions,
): Promise<void> {
  const marker = join(folder, "source.json");
  if (await exists(marker)) return;
  await withLock(`${folder}.lock`, async () => {
    if (await exists(marker)) return;
    const commit = await downloadFromHub(repo, revision, folder, {
      ...(options.progress && { progress: options.progress }),
    });
    const partial = `${marker}.partial`;
    await Deno.writeTextFile(
      partial,
      JSON.stringify({ repo, revision, commit }, null, 2) + "\n",
    );
    await Deno.rename(partial, marker);
  });
}

async function openFolder(
  id: string,
  folder: string,
  options: OpenOptions,
): Promise<Checkpoint> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  names.sort();
  const safetensors = names.filter((name) => name.endsWith(".safetensors"));
  const ggufs = names.filter((name) => name.endsWith(".gguf"));
  const indexed = names.includes(INDEX);
  if (!indexed && safetensors.length === 0 && ggufs.length === 1) {
    const path = join(folder, ggufs[0]!);
    return await openGgufFile(id, path, options);
  }
  const single = safetensors.includes("model.safetensors")
    ? "model.safetensors"
    : safetensors.length === 1
    ? safetensors[0]
    : undefined;
  if (!indexed && single === undefined) {
    const found = [...safetensors, ...ggufs];
    throw new InputError(
      `Cannot open model ${id} as its folder must have model.safetensors, ${INDEX} or one .gguf: ${
        found.length === 0 ? "it has none" : `it has ${found.join(", ")}`
      }`,
    );
  }
  if (!names.includes("config.json")) {
    throw new InputError(
      `Cannot open model ${id} as its folder has no config.json`,
    );
  }
  const configJson = await readJsonObject(join(folder, "config.json"));
  const tokenizerJson = await readTokenizer(folder);
  // As transformers does where a folder has both: the single file.
  const { tensors, shards } = single === "model.safetensors" || !indexed
    ? {
      tensors: await openSafetensors(join(folder, single!)),
      shards: [single!],
    }
    : await openSafetensorsIndex(folder);
  return await withDigests(tensors, folder, shards, options, {
    id,
    format: "safetensors",
    configJson,
    ...(tokenizerJson && { tokenizerJson }),
  });
}

async function openGgufFile(
  id: string,
  path: string,
  options: OpenOptions,
): Promise<Checkpoint> {
  const gguf = await openGguf(path);
  try {
    // A tokenizer.json beside the file is the original; the metadata is a digest of it.
    const tokenizerJson = await readTokenizer(dirname(path)) ??
      ggufTokenizer(gguf.metadata, path);
    const configJson = await ggufConfig(gguf);
    const folder = dirname(path);
    const names = [basename(path)];
    return await withDigests(ggufWeights(gguf), folder, names, options, {
      id,
      format: "gguf",
      configJson,
      ...(tokenizerJson && { tokenizerJson }),
    });
  } catch (error) {
    gguf.tensors.close();
    throw error;
  }
}

async function readTokenizer(
  folder: string,
): Promise<JsonObject | undefined> {
  const path = join(folder, "tokenizer.json");
  return await exists(path) ? await readJsonObject(path) : undefined;
}

/** Adds the digests of the weight files; closes `tensors` if one cannot be read. */
async function withDigests(
  tensors: TensorSource,
  folder: string,
  names: readonly string[],
  options: OpenOptions,
  rest: Omit<Checkpoint, "tensors" | "sha256" | "files">,
): Promise<Checkpoint> {
  try {
    const files: Checkpoint["files"][number][] = [];
    for (const name of names) {
      const path = join(folder, name);
      const { size: bytes, mtime } = await Deno.stat(path);
      const modifiedMs = mtime?.getTime();
      const known = options.knownFiles?.find((file) =>
        file.name === name && file.bytes === bytes &&
        file.modifiedMs === modifiedMs
      );
      const sha256 = known?.sha256 ?? await fileDigest(path);
      files.push({
        name,
        bytes,
        sha256,
        ...(modifiedMs === undefined ? {} : { modifiedMs }),
      });
    }
    // Of several files: the digest of their digests, so that each is hashed once.
    const sha256 = files.length === 1 ? files[0]!.sha256 : createHash("sha256")
      .update(files.map((file) => file.sha256).join("\n")).digest("hex");
    return { ...rest, tensors, sha256, files };
  } catch (error) {
    tensors.close();
    throw error;
  }
}
