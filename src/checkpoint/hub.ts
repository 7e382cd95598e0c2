// Models of the Hugging Face hub, through its resolve addresses: HEAD tells commit,
// size and digest of a file, GET with a range brings it. @huggingface/hub caches
// files too, but starts a broken transfer again from its first byte.

import { join } from "node:path";
import {
  CheckpointError,
  InputError,
  UnavailableError,
} from "../base/errors.ts";
import { download, type ExpectedFile, type Progress } from "./download.ts";
import { isShardName } from "./safetensors.ts";
import { isJsonObject, parseJsonObject } from "./strict_json.ts";

/** How long the hub may take to answer at all. */
const ANSWER_MS = 6000;

/** How hub files are fetched. */
export interface HubOptions {
  readonly progress?: Progress;
  /** @default $HF_ENDPOINT, or the public hub */
  readonly endpoint?: string;
  /** @default $HF_TOKEN */
  readonly token?: string;
  /** sha256 that files must have, by name, besides what the hub says. */
  readonly pinned?: Readonly<Record<string, string>>;
}

interface RemoteFile {
  readonly url: string;
  readonly expected: ExpectedFile;
  readonly commit: string;
}

/**
 * Downloads config.json, tokenizer.json and the safetensors of a model.
 *
 * @param repo "owner/name".
 * @param revision A commit, branch or tag.
 * @param folder Where the files go; it is made.
 * @param options Progress, endpoint, token, pinned digests.
 * @returns The commit.
 * @throws {UnavailableError} If the hub cannot be reached or the model is not there.
 * @throws {CheckpointError} If a file is not what the hub or the pin says.
 * @throws {InputError} If the model has no safetensors.
 */
export async function downloadFromHub(
  repo: string,
  revision: string,
  folder: string,
  options: HubOptions = {},
): Promise<string> {
  const { commit, fetchFile } = await openHub(repo, revision, folder, options);
  await fetchFile("config.json");
  await fetchFile("tokenizer.json");
  if (await fetchFile("model.safetensors")) return commit;
  const index = "model.safetensors.index.json";
  if (!await fetchFile(index)) {
    throw new InputError(
      `Cannot use ${repo} as it has no model.safetensors and no ${index}`,
    );
  }
  for (const shard of await shardNames(join(folder, index))) {
    if (!await fetchFile(shard)) {
      throw new CheckpointError(
        `Cannot download ${repo} as its index names ${shard}, which it does not have`,
      );
    }
  }
  return commit;
}

/**
 * Downloads a model's config.json alone.
 *
 * @param repo "owner/name".
 * @param revision A commit, branch or tag.
 * @param folder Where the file goes; it is made.
 * @param options Endpoint, token.
 * @returns The commit.
 * @throws {UnavailableError} If the hub cannot be reached or the model is not there.
 * @throws {CheckpointError} If the file is not what the hub says.
 */
export async function downloadConfig(
  repo: string,
  revision: string,
  folder: string,
  options: HubOptions = {},
): Promise<string> {
  const { commit, fetchFile } = await openHub(repo, revision, folder, options);
  await fetchFile("config.json");
  return commit;
}

/** Looks a model up, and fetches files of the one commit that it was found at. */
async function openHub(
  repo: string,
  revision: string,
  folder: string,
  options: HubOptions,
): Promise<{
  readonly commit: string;
  /** Whether the model has the file. */
  fetchFile(name: string): Promise<boolean>;
}> {
  const endpoint = (options.endpoint ?? Deno.env.get("HF_ENDPOINT") ??
    "https://huggingface.co").replace(/\/+$/, "");
  const token = options.token ?? Deno.env.get("HF_TOKEN");
  const headers: Record<string, string> = token
    ? { Authorization: `Bearer ${token}` }
    : {};
  const look = (name: string, at: string) =>
    lookUp(`${endpoint}/${repo}/resolve/${at}/${name}`, headers);
  const config = await look("config.json", encodeURIComponent(revision));
  if (config === undefined) {
    throw new UnavailableError(
      `Cannot download ${repo} as the hub has no model of that name with a config.json at revision ${revision}`,
    );
  }
  // All files of one commit, even if the branch moves on meanwhile.
  const { commit } = config;
  await Deno.mkdir(folder, { recursive: true });

  const fetchFile = async (name: string) => {
    const remote = name === "config.json" ? config : await look(name, commit);
    if (remote === undefined) return false;
    const sha256 = options.pinned?.[name];
    await download(
      remote.url,
      join(folder, name),
      sha256 === undefined
        ? remote.expected
        : { ...remote.expected, digest: { kind: "sha256", hex: sha256 } },
      {
        headers,
        what: `${repo}/${name}`,
        ...(options.progress && { progress: options.progress }),
      },
    );
    return true;
  };
  return { commit, fetchFile };
}

async function shardNames(path: string): Promise<readonly string[]> {
  const map =
    parseJsonObject(await Deno.readTextFile(path), path)["weight_map"];
  const names = isJsonObject(map) ? [...new Set(Object.values(map))] : [];
  return names.map((name) => {
    if (typeof name === "string" && isShardName(name)) return name;
    throw new CheckpointError(
      `Cannot read ${path} as a shard must be a plain .safetensors file name: current value is ${
        JSON.stringify(name)
      }`,
    );
  }).sort();
}

/** Asks for a file's commit, size and digest; undefined if it is not there. */
async function lookUp(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<RemoteFile | undefined> {
  let address = url;
  for (let hop = 0; hop < 5; hop++) {
    const response = await ask(address, headers);
    await response.body?.cancel();
    const { status } = response;
    if (status === 404) return undefined;
    if (status === 401 || status === 403) {
      throw new UnavailableError(
        `Cannot download ${url} as the hub answers ${status}: the model is gated, private or not there (HF_TOKEN gives access)`,
      );
    }
    const get = (name: string) => response.headers.get(name);
    const linked = get("x-linked-etag");
    const location = get("location");
    // Large files redirect to storage, with their digest in this answer; renamed
    // models redirect to their new address.
    if (status >= 300 && status < 400 && linked === null && location) {
      const next = new URL(location, address);
      if (next.origin !== new URL(url).origin) break;
      address = next.href;
      continue;
    }
    if (status >= 400) {
      throw new UnavailableError(
        `Cannot download ${url} as the hub answers ${status}`,
      );
    }
    const hex = (linked ?? get("etag") ?? "").replace(/^W\/|"/g, "");
    const bytes = Number(get("x-linked-size") ?? get("content-length") ?? NaN);
    const commit = get("x-repo-commit") ?? "";
    const kind = /^[0-9a-f]{64}$/.test(hex)
      ? "sha256"
      : /^[0-9a-f]{40}$/.test(hex)
      ? "gitSha1"
      : undefined;
    if (
      kind === undefined || !Number.isSafeInteger(bytes) ||
      !/^[0-9a-f]{40}$/.test(commit)
    ) break;
    return { url: address, expected: { bytes, digest: { kind, hex } }, commit };
  }
  throw new UnavailableError(
    `Cannot download ${url} as the answer is not that of a Hugging Face hub: it lacks commit, size or digest`,
  );
}

async function ask(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  try {
    return await fetch(url, {
      method: "HEAD",
      redirect: "manual",
      headers: { ...headers, "Accept-Encoding": "identity" },
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch (error) {
    // fetch() hides the reason in the cause, behind the address and its layers:
    // "error sending request for url (...): client error (Connect): dns error: ...".
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw new UnavailableError(
      `Cannot reach ${new URL(url).origin}: ${
        reason.split(": ").slice(-2).join(": ")
      }`,
    );
  }
}
