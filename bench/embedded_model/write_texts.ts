// Writes what the embedded model is trained and judged on:
//   deno run -A bench/embedded_model/write_texts.ts FOLDER
// One file a part, a JSON line { file, text } a sample of the Brown corpus.

import { join } from "node:path";
import { InputError } from "../../src/base/errors.ts";
import { EXIT, print, runVerb } from "../../src/cli/terminal.ts";
import { brownFiles, readBrownFile } from "../../src/text/brown.ts";

/** Of the samples that are not test, those whose number in their genre is 7 more than a multiple of this are held out. */
const HELD_OUT_EVERY = 20;

/**
 * The samples of each part. `brown/test` is in no other part, so that the
 * suite's perplexities are of text that the model has not seen.
 *
 * @returns File names: what is trained on, what stops the training, and what only measures it.
 */
export function trainingParts(): Record<
  "training" | "held-out" | "test",
  string[]
> {
  const isHeldOut = (file: string) =>
    Number(file.slice(2)) % HELD_OUT_EVERY === 7;
  const files = brownFiles("calibration");
  return {
    training: files.filter((file) => !isHeldOut(file)),
    "held-out": files.filter(isHeldOut),
    test: brownFiles("test"),
  };
}

/**
 * The verb.
 *
 * @param args The folder to write to.
 * @returns The exit code.
 * @throws {InputError} Without a folder.
 */
export async function writeTexts(args: readonly string[]): Promise<number> {
  const [folder] = args;
  if (folder === undefined) {
    throw new InputError("Cannot write the texts as no folder is named");
  }
  await Deno.mkdir(folder, { recursive: true });
  for (const [part, files] of Object.entries(trainingParts())) {
    let lines = "";
    for (const file of files) {
      const text = (await readBrownFile(file)).join("\n\n");
      lines += JSON.stringify({ file, text }) + "\n";
    }
    const path = join(folder, `${part}.jsonl`);
    await Deno.writeTextFile(path, lines);
    print(`${path}: ${files.length} samples, ${lines.length} characters`);
  }
  return EXIT.ok;
}

if (import.meta.main) await runVerb(writeTexts);
