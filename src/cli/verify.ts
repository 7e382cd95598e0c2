// deno task verify DIR: reads a converted folder back and computes again what its
// certificate says.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { openEngine } from "../engine/open.ts";
import {
  checkCertificate,
  readCertificate,
  refuseForeignProbe,
} from "./certificate.ts";
import { loadLatentModel } from "./latent_checkpoint.ts";
import { EXIT, paint, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task verify DIR

Checks a folder that \`deno task convert\` wrote: file hashes, norms of all
tensors, the groups' shared up-projections, losses, decoding from the cache
against one prefill, bytes of the cache. Exit code 1 if a check does not hold.`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If no folder is given, or it has no certificate.
 * @throws {CheckpointError} If the folder is not a converted model.
 */
export async function verify(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {});
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const [folder] = flags._;
  if (folder === undefined || flags._.length > 1) {
    throw new InputError("one folder must be given; deno task verify DIR");
  }
  await refuseNonFolder(folder);
  const certificate = await readCertificate(join(folder, "certificate.json"));
  const checkpoint = await openCheckpoint(folder);
  const engine = await openEngine("onnx");
  try {
    const { model, sizes } = loadLatentModel(checkpoint);
    refuseForeignProbe(folder, certificate, model.config);
    const checks = await checkCertificate(
      folder,
      checkpoint,
      model,
      sizes,
      certificate,
      engine,
    );
    for (const { what, holds, details } of checks) {
      const mark = holds
        ? paint("ok    ", "green", Deno.stdout)
        : paint("FAILED", "red", Deno.stdout);
      print(`${mark}  ${what}: ${details}`);
    }
    const failed = checks.filter(({ holds }) => !holds).length;
    print(
      failed === 0
        ? `${checks.length} checks hold`
        : `${failed} of ${checks.length} checks do not hold`,
    );
    return failed === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    await engine.close();
    checkpoint.tensors.close();
  }
}

async function refuseNonFolder(folder: string): Promise<void> {
  const expected = "a folder that deno task convert wrote";
  let found = "no such folder";
  try {
    if ((await Deno.stat(folder)).isDirectory) {
      await Deno.stat(join(folder, "certificate.json"));
      return;
    }
    found = "a file";
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const exists = await Deno.stat(folder).then(() => true, () => false);
    if (exists) found = "it has no certificate.json";
  }
  throw new InputError(
    `Cannot verify ${folder} as it must be ${expected}: ${found}`,
  );
}

if (import.meta.main) await runVerb(verify);
