// WikiText-2 raw (Merity et al., 2016), validation and test, in the rows of the
// Hugging Face data set `wikitext-2-raw-v1`: perplexities of the field are over
// these rows joined by "\n\n".

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import { textOfRows } from "./text_of_rows.ts";
import type { TextSource } from "./text_source.ts";

/** The splits that the suite uses. */
export type WikiTextSplit = "validation" | "test";

interface Published {
  readonly rawFile: string;
  readonly rawSha256: string;
  readonly parquetFile: string;
  /** Of the rows joined by "\n\n", whichever way they came. */
  readonly textSha256: string;
}

const PUBLISHED: Readonly<Record<WikiTextSplit, Published>> = {
  validation: {
    rawFile: "wiki.valid.raw",
    rawSha256:
      "4cd0f6876d07a413aa911261ff6d363c72d757d47f0fdd6015702014c89cb9c7",
    parquetFile: "validation-00000-of-00001.parquet",
    textSha256:
      "b44fb967f92b525731216a507d1fbc44b97446b7ef0a2b4d1a893f81f1bbc29e",
  },
  test: {
    rawFile: "wiki.test.raw",
    rawSha256:
      "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08",
    parquetFile: "test-00000-of-00001.parquet",
    textSha256:
      "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83",
  },
};

const HUB_FOLDER =
  "https://huggingface.co/datasets/Salesforce/wikitext/resolve/main/wikitext-2-raw-v1";

/** Where WikiText-2 is looked for; both members are for tests and other mirrors. */
export interface WikiTextPlaces {
  /** Folder with `wikitext-2-raw/`. @default the environment's TRANSMLA_DATA */
  readonly dataFolder?: string | undefined;
  /** Folder for downloads. @default `texts` in the suite's cache folder */
  readonly cacheFolder?: string;
  /** @default globalThis.fetch */
  readonly fetch?: (url: string) => Promise<Response>;
}

/**
 * Opens a split: from `$TRANSMLA_DATA/wikitext-2-raw`, else from the cache
 * folder, else from the hub. The content is checked against the published one.
 *
 * @param split Which split.
 * @param places Where to look.
 * @returns The text `wikitext-2/<split>`.
 * @throws {CheckpointError} If a file's content is not the published one.
 * @throws {UnavailableError} If it is in no folder and cannot be downloaded.
 */
export async function openWikiText(
  split: WikiTextSplit,
  places: WikiTextPlaces = {},
): Promise<TextSource> {
  const name = `wikitext-2/${split}`;
  const { rawFile, rawSha256, parquetFile, textSha256 } = PUBLISHED[split];
  const dataFolder = "dataFolder" in places
    ? places.dataFolder
    : Deno.env.get("TRANSMLA_DATA");
  if (dataFolder !== undefined && dataFolder !== "") {
    const path = join(dataFolder, "wikitext-2-raw", rawFile);
    const bytes = await readIfThere(path);
    if (bytes !== undefined) {
      const found = createHash("sha256").update(bytes).digest("hex");
      if (found !== rawSha256) throw altered(path, found, rawSha256);
      return textOfRows(name, rowsOfRawFile(new TextDecoder().decode(bytes)));
    }
  }
  const path = join(
    places.cacheFolder ?? join(cacheFolder(), "texts"),
    "wikitext-2-raw",
    parquetFile,
  );
  const cached = await readIfThere(path);
  const bytes = cached ?? await download(
    `${HUB_FOLDER}/${parquetFile}`,
    name,
    rawFile,
    places.fetch ?? fetchInTime,
  );
  const where = cached === undefined ? `${HUB_FOLDER}/${parquetFile}` : path;
  const text = textOfRows(name, await rowsOfParquet(bytes, where));
  if (text.sha256 !== textSha256) {
    throw altered(`the rows of ${where}`, text.sha256, textSha256);
  }
  if (cached === undefined) await keep(path, bytes);
  return text;
}

/**
 * Splits a raw file in the data set's rows: one a line, `""` for a blank line,
 * else the line with its "\n".
 *
 * @param raw The file's content, LF line ends.
 * @returns The rows.
 */
export function rowsOfRawFile(raw: string): string[] {
  const lines = raw.split("\n");
  if (lines.at(-1) === "") lines.pop();
  // The raw files hold a single space where the data set has an empty row.
  return lines.map((line) => line.trim() === "" ? "" : line + "\n");
}

/**
 * Reads the column `text` of a parquet file.
 *
 * @param bytes The file.
 * @param where Names the file in errors.
 * @returns One row a record.
 * @throws {CheckpointError} If it is no parquet file or has no text column.
 */
export async function rowsOfParquet(
  bytes: Uint8Array,
  where: string,
): Promise<string[]> {
  let records: Record<string, unknown>[];
  try {
    const file = Uint8Array.from(bytes).buffer;
    records = await parquetReadObjects({ file, columns: ["text"] });
  } catch (error) {
    throw new CheckpointError(
      `Cannot read ${where} as it is no parquet file with a column "text": ${
        error instanceof Error ? error.message : error
      }`,
    );
  }
  return records.map(({ text }, i) => {
    if (typeof text !== "string") {
      throw new CheckpointError(
        `Cannot read ${where} as "text" of row ${i} must be a string: current value is a ${typeof text}`,
      );
    }
    return text;
  });
}

async function download(
  url: string,
  name: string,
  rawFile: string,
  fetcher: (url: string) => Promise<Response>,
): Promise<Uint8Array> {
  let reason: string;
  try {
    const response = await fetcher(url);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    reason = `status ${response.status}`;
    await response.body?.cancel();
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  throw new UnavailableError(
    `Cannot open ${name}: set TRANSMLA_DATA to a folder that holds wikitext-2-raw/${rawFile}, or allow the download of ${url} (${reason})`,
  );
}

// A split has less than a megabyte.
function fetchInTime(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(120_000) });
}

// A killed process must not leave half a file under the final name.
async function keep(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.${crypto.randomUUID()}.partial`;
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(partial, bytes);
  await Deno.rename(partial, path);
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function altered(what: string, found: string, published: string) {
  return new CheckpointError(
    `Cannot use ${what} as its sha256 must be the published ${published}: current value is ${found}`,
  );
}
