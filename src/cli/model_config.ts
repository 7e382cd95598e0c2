// A model's configuration without its weights: of a preset, a config.json, a
// GGUF's header, or the hub.

import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError, UnavailableError } from "../base/errors.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import { openGguf } from "../checkpoint/gguf.ts";
import { ggufConfig } from "../checkpoint/gguf_config.ts";
import { downloadConfig } from "../checkpoint/hub.ts";
import { MODEL_ALIASES } from "../checkpoint/model_aliases.ts";
import { parseJsonObject } from "../checkpoint/strict_json.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseModelConfig } from "../model/config_json.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { SYNTHETIC_CONFIGS } from "../model/synthetic.ts";
import { nearestName } from "../text/nearest_name.ts";
import { kindOf } from "./path_kind.ts";

/** A configuration and where it was read. */
export interface ConfigSource {
  readonly config: ModelConfig;
  /** "preset", or the file. */
  readonly source: string;
}

const SYNTHETIC = "synthetic:";

/** owner/name@revision */
const HUB_ID = /^([\w][\w.-]*\/[\w][\w.-]*?)(?:@([\w][\w./-]*))?$/;

/**
 * Finds a model's configuration; no weight is read, and of the hub only
 * config.json.
 *
 * @param name A preset, an alias, synthetic:NAME, a folder, a config.json, a .gguf, or a hub id.
 * @throws {InputError} If there is nothing of that name.
 * @throws {UnavailableError} If it must be downloaded and cannot be.
 * @throws {CheckpointError} If the file is broken.
 * @throws {UnsupportedModelError} If the model has a feature that conversions refuse.
 */
export async function readModelConfig(name: string): Promise<ConfigSource> {
  const preset = name.startsWith(SYNTHETIC)
    ? own(SYNTHETIC_CONFIGS, name.slice(SYNTHETIC.length))
    : own(MODEL_PRESETS, name);
  if (preset !== undefined) return { config: preset, source: "preset" };
  const started = Deno.env.get("INIT_CWD");
  for (
    const path of [
      name,
      ...(started === undefined ? [] : [join(started, name)]),
    ]
  ) {
    if (await kindOf(path) !== undefined) return await readPath(path);
  }
  const alias = own(MODEL_ALIASES, name);
  if (alias?.folder !== undefined) {
    // Relative to the module that names it.
    const aliases = new URL("../checkpoint/model_aliases.ts", import.meta.url);
    return await readPath(fileURLToPath(new URL(alias.folder, aliases)));
  }
  if (alias !== undefined) {
    const folder = join(cacheFolder(), "models", name);
    if (await hasConfig(folder)) return await readPath(folder);
    if (alias.hub !== undefined) {
      return await readHub(alias.hub.repo, alias.hub.revision);
    }
    throw new UnavailableError(
      `Cannot read the configuration of ${name} as it is not in ${folder}: deno task experiment downloads it`,
    );
  }
  const [, repo, revision = "main"] = HUB_ID.exec(name) ?? [];
  if (repo !== undefined && !name.endsWith(".gguf")) {
    return await readHub(repo, revision);
  }
  const known = [...Object.keys(MODEL_PRESETS), ...Object.keys(MODEL_ALIASES)];
  const meant = nearestName(name, known);
  throw new InputError(
    `Cannot find model ${name}${
      meant === undefined ? "" : ` (did you mean "${meant}"?)`
    }; allowed: a folder, a config.json, a .gguf, a hub id, or one of ${
      [...new Set(known)].join(", ")
    }`,
  );
}

async function readHub(repo: string, revision: string): Promise<ConfigSource> {
  const folderName = `${repo.replace("/", "--")}@${
    revision.replaceAll("/", "--")
  }`;
  for (const kind of ["models", "configs"]) {
    const folder = join(cacheFolder(), kind, folderName);
    if (await hasConfig(folder)) return await readPath(folder);
  }
  const folder = join(cacheFolder(), "configs", folderName);
  await downloadConfig(repo, revision, folder);
  return await readPath(folder);
}

async function readPath(path: string): Promise<ConfigSource> {
  if (await kindOf(path) === "folder") {
    const inside = await configFile(path);
    if (inside !== undefined) return await readPath(inside);
    throw new InputError(
      `Cannot read the configuration of ${path} as a folder must have config.json or one .gguf`,
    );
  }
  if (path.endsWith(".json")) {
    const json = parseJsonObject(await Deno.readTextFile(path), path);
    return { config: inFile(path, () => parseModelConfig(json)), source: path };
  }
  const gguf = await openGguf(path);
  try {
    const json = await ggufConfig(gguf);
    return { config: inFile(path, () => parseModelConfig(json)), source: path };
  } finally {
    gguf.tensors.close();
  }
}

/** The file in a folder that says what the model is. */
async function configFile(folder: string): Promise<string | undefined> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  if (names.includes("config.json")) return join(folder, "config.json");
  const ggufs = names.filter((name) => name.endsWith(".gguf"));
  return ggufs.length === 1 ? join(folder, ggufs[0]!) : undefined;
}

async function hasConfig(folder: string): Promise<boolean> {
  return await kindOf(folder) === "folder" &&
    await configFile(folder) !== undefined;
}

/** Says which file an error is about. */
function inFile<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Error) {
      error.message = `${basename(path)}: ${error.message}`;
    }
    throw error;
  }
}

function own<T>(
  table: Readonly<Record<string, T>>,
  key: string,
): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
