// What the reference engine decodes, in a process of its own: it takes seconds on
// one core, while the GPU measures a peer.
//
// JOB is the path of a ReferencesJob as JSON; the files come out as one line of JSON.

import { join } from "node:path";
import { print, runVerb } from "../../../src/cli/terminal.ts";
import type { CaseKind } from "./cases.ts";
import {
  CHECK_BATCHES,
  CHECK_MODEL,
  CHECK_STEPS,
  referenceRun,
  writtenRun,
} from "./greedy.ts";
import type { ReferencesJob } from "./job.ts";
import { modelOf } from "./shapes.ts";

async function main(args: readonly string[]): Promise<number> {
  const { mla, kinds, folder } = JSON.parse(
    await Deno.readTextFile(args[0]!),
  ) as ReferencesJob;
  const files: Partial<Record<CaseKind, string[]>> = {};
  for (const kind of kinds) {
    const model = await modelOf(CHECK_MODEL, kind, mla);
    files[kind] = [];
    for (const batch of CHECK_BATCHES) {
      const path = join(folder, `reference-${kind}-${batch}.json`);
      const run = await referenceRun(model, batch, CHECK_STEPS);
      await Deno.writeTextFile(path, writtenRun(run));
      files[kind].push(path);
    }
  }
  print(JSON.stringify(files));
  return 0;
}

if (import.meta.main) await runVerb(main);
