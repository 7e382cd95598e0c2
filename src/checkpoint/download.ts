// Downloads one file so that it appears whole or not at all: ranges continue a
// broken transfer, and the digest decides.

import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { fileDigest } from "./file_digest.ts";

/** Told how much of a file is there: bytes done, bytes in all, the file's name. */
export type Progress = (done: number, total: number, what: string) => void;

/** What a file must be. `gitSha1` is git's blob id, which the hub has for small files. */
export interface ExpectedFile {
  readonly bytes: number;
  readonly digest: {
    readonly kind: "sha256" | "gitSha1";
    readonly hex: string;
  };
}

/** How download() behaves. */
export interface DownloadOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** The file's name in messages. */
  readonly what: string;
  readonly progress?: Progress;
  /** Attempts in a row that may bring no byte. @default 4 */
  readonly attempts?: number;
  /** A transfer that brings nothing for so long is broken. @default 20_000 */
  readonly stallMs?: number;
}

/**
 * Downloads `url` to `target`, continuing an earlier partial transfer of the same content.
 *
 * @param url The address; redirects are followed.
 * @param target The file; it appears when it is complete and its digest is right.
 * @param expected Size and digest.
 * @param options Headers, progress, patience.
 * @throws {UnavailableError} If the server cannot be reached, refuses, or stops again and again.
 * @throws {CheckpointError} If the content is not what was expected.
 */
export async function download(
  url: string,
  target: string,
  expected: ExpectedFile,
  options: DownloadOptions,
): Promise<void> {
  const { what, attempts = 4 } = options;
  // The digest in the name keeps bytes of another revision out.
  const partial = `${target}.${expected.digest.hex.slice(0, 12)}.partial`;
  let failures = 0;
  for (;;) {
    const before = await sizeOf(partial);
    if (before === expected.bytes) break;
    let reason: string;
    try {
      await transfer(url, partial, before, expected.bytes, options);
      reason = "the transfer ended early";
    } catch (error) {
      if (
        error instanceof UnavailableError || error instanceof CheckpointError
      ) {
        throw error;
      }
      reason = (error as Error).message;
    }
    const after = await sizeOf(partial);
    if (after === expected.bytes) break;
    failures = after > before ? 0 : failures + 1;
    if (failures >= attempts) {
      throw new UnavailableError(
        `Cannot download ${what} as ${attempts} attempts failed after ${after} of ${expected.bytes} bytes: ${reason}`,
      );
    }
    if (failures > 0) await sleep(250 * 2 ** failures);
  }
  await checkDigest(partial, expected, what);
  await Deno.rename(partial, target);
}

async function transfer(
  url: string,
  partial: string,
  have: number,
  total: number,
  options: DownloadOptions,
): Promise<void> {
  const { what, progress, stallMs = 20_000 } = options;
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => abort.abort(new Error(`nothing came for ${stallMs / 1000} s`)),
      stallMs,
    );
  };
  watch();
  try {
    const response = await fetch(url, {
      headers: {
        ...options.headers,
        // Content-Encoding would make ranges count other bytes.
        "Accept-Encoding": "identity",
        ...(have > 0 && { Range: `bytes=${have}-` }),
      },
      signal: abort.signal,
    });
    if (response.status === 416) {
      await response.body?.cancel();
      await Deno.remove(partial);
      throw new Error("the server refused to continue the file");
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      if (response.status >= 500 || response.status === 429) {
        throw new Error(`the server answers ${response.status}`);
      }
      throw new UnavailableError(
        `Cannot download ${what} as the server answers ${response.status}`,
      );
    }
    const continues = response.status === 206 &&
      response.headers.get("content-range")?.startsWith(`bytes ${have}-`);
    let done = continues ? have : 0;
    using file = await Deno.open(partial, {
      write: true,
      create: true,
      append: continues === true,
      truncate: continues !== true,
    });
    for await (const chunk of response.body) {
      watch();
      done += chunk.length;
      if (done > total) {
        await Deno.remove(partial);
        throw new CheckpointError(
          `Cannot download ${what} as it must have ${total} bytes: the server sends more`,
        );
      }
      for (let written = 0; written < chunk.length;) {
        written += await file.write(chunk.subarray(written));
      }
      progress?.(done, total, what);
    }
  } finally {
    clearTimeout(timer);
  }
}

async function checkDigest(
  path: string,
  { bytes, digest }: ExpectedFile,
  what: string,
): Promise<void> {
  const found = digest.kind === "sha256"
    ? await fileDigest(path)
    : await fileDigest(path, { algorithm: "sha1", prefix: `blob ${bytes}\0` });
  if (found === digest.hex) return;
  await Deno.remove(path);
  throw new CheckpointError(
    `Cannot download ${what} as its ${digest.kind} must be ${digest.hex}: current value is ${found}`,
  );
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
