// deno task docs [--check]: writes what documents say of keys, options, fields
// and published runs, or says with exit code 1 that it is out of date.

import { InputError } from "../base/errors.ts";
import { loadPublished } from "../report/mod.ts";
import { experimentKeys, methodReference } from "./experiment_reference.ts";
import {
  paperCuts,
  publishedRuns,
  reproductionTolerances,
} from "./published_tables.ts";
import { recordTables } from "./record_reference.ts";
import { EXIT, note, parseFlags, print, runVerb } from "./terminal.ts";

const HELP = `deno task docs [options]

Writes the generated parts of docs/: keys and options from the schema of
experiment files, fields from the types of records, runs from results/published.

  --check      write nothing; exit code 1 if a document is out of date
  --help       this text`;

const RECORD = "experiment/record.ts";

/** What is generated, by document and by the name between its markers. */
export const GENERATED: Readonly<
  Record<string, Readonly<Record<string, () => string | Promise<string>>>>
> = {
  "docs/experiment-format.md": {
    keys: experimentKeys,
    methods: methodReference,
  },
  "docs/record-format.md": {
    cell: () =>
      recordTables([
        { title: "Every cell", file: RECORD, name: "CellCommon" },
        { title: "`load`", file: RECORD, name: "Load" },
        {
          title: "`metrics` of `perplexity`",
          file: RECORD,
          name: "PerplexityMetrics",
        },
        {
          title: "`metrics` of `divergence`",
          file: RECORD,
          name: "DivergenceMetrics",
        },
        {
          title: "An entry of `continuations`",
          file: RECORD,
          name: "ContinuationPair",
        },
        { title: "`metrics` of `cache`", file: RECORD, name: "CacheMetrics" },
        {
          title: "`metrics` of `throughput`",
          file: RECORD,
          name: "ThroughputMetrics",
        },
        {
          title: "An entry of `kernels`",
          file: "engine/engine.ts",
          name: "KernelTime",
        },
        {
          title: "`metrics` of `conversion`",
          file: RECORD,
          name: "ConversionMetrics",
        },
        {
          title: "An entry of `layers`",
          file: "conversion/method.ts",
          name: "LayerReport",
        },
      ]),
    files: () =>
      recordTables([
        {
          title: "An entry of `checks.json`",
          file: "experiment/assemble.ts",
          name: "Check",
        },
        {
          title: "`stages.json`",
          file: "experiment/stages.ts",
          name: "RunStages",
        },
      ]),
  },
  "docs/reproducing.md": {
    runs: async () =>
      publishedRuns(
        await loadPublished("results/published", "../results/published"),
      ),
    cuts: paperCuts,
    tolerances: reproductionTolerances,
  },
};

/**
 * Puts generated text between its markers.
 *
 * @param text The document.
 * @param name Of the part.
 * @param part What belongs there.
 * @param document For the error.
 * @throws {InputError} If the markers are missing or in the wrong order.
 */
export function withPart(
  text: string,
  name: string,
  part: string,
  document: string,
): string {
  const begin = `<!-- generated:${name}:begin -->`;
  const end = `<!-- generated:${name}:end -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new InputError(
      `Cannot update ${document} as it must hold ${begin} before ${end}`,
    );
  }
  // `deno fmt` would align the tables and so disagree with what is generated.
  return `${
    text.slice(0, from + begin.length)
  }\n<!-- deno-fmt-ignore-start -->\n\n${part}\n\n<!-- deno-fmt-ignore-end -->\n${
    text.slice(to)
  }`;
}

/**
 * The verb; paths are relative to the repository's root.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If a document has no markers, or an argument is given.
 */
export async function docs(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["check"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task docs takes no arguments`,
    );
  }
  let code: number = EXIT.ok;
  for (const [document, parts] of Object.entries(GENERATED)) {
    const present = await Deno.readTextFile(document);
    let wanted = present;
    for (const [name, part] of Object.entries(parts)) {
      wanted = withPart(wanted, name, await part(), document);
    }
    if (wanted === present) continue;
    if (flags["check"] === true) {
      note(`${document} is out of date; deno task docs writes it`);
      code = EXIT.failed;
    } else {
      await Deno.writeTextFile(document, wanted);
      note(document);
    }
  }
  return code;
}

if (import.meta.main) await runVerb(docs);
