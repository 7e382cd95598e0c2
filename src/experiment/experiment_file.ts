// From the text of an experiment file to a checked experiment: YAML 1.2,
// overrides of the command line, schema, matrix, each method's own check of its
// options. All errors of a file are reported at once, with their lines.

import { type Document, isSeq } from "yaml";
import { InputError } from "../base/errors.ts";
import { excerpt, oneLine } from "../base/excerpt.ts";
import type { Method } from "../conversion/method.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { needsCalibration, semanticProblems } from "./experiment_checks.ts";
import { countVariants, expandVariant, type VariantEntry } from "./expand.ts";
import { variantLabels } from "./label.ts";
import { explain, type Located, type Path, place } from "./locate.ts";
import { parsePlainYaml } from "./plain_yaml.ts";
import type { VariantRecord } from "./record.ts";
import {
  DEFAULT_SEED,
  defaultOptions,
  type Experiment,
  type ExperimentFile,
  experimentSchema,
  VARIANT_KEYS,
} from "./schema.ts";
import { resolvedThroughput } from "./throughput_measure.ts";

/** Nothing in an experiment needs more; a matrix of typos does. */
const MAX_VARIANTS = 2000;

/** More lines of errors than this say the same thing again. */
const MAX_MESSAGES = 20;

/** What the command line may change. */
export interface Overrides {
  /** "measure.perplexity.tokens=4096": a dotted path and a YAML value. */
  readonly set?: readonly string[];
}

/**
 * Parses and checks an experiment file.
 *
 * @param text The file's content.
 * @param file Its name, for errors.
 * @param overrides What the command line changes.
 * @param methods The methods that variants may name.
 * @returns The experiment, defaults filled in, the matrix expanded.
 * @throws {InputError} With one line for each thing that is wrong.
 */
export function parseExperiment(
  text: string,
  file: string,
  overrides: Overrides = {},
  methods: readonly Method[] = METHODS,
): Experiment {
  const { document, lines, problems } = parsePlainYaml(text);
  if (problems.length > 0) {
    throw inputError(problems.map(({ offset, message }) => {
      const { line, col } = lines.linePos(offset);
      return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${message}`;
    }));
  }
  const set = (overrides.set ?? []).map((assignment) =>
    applySet(document, assignment)
  );
  const at: Located = { file, document, lines, set };
  const value = toPlainValue(document, file);
  const schema = experimentSchema(methods);
  const result = schema.safeParse(value);
  if (!result.success) {
    throw inputError(
      explainWithMethods(explain(result.error, value, schema, at), methods),
    );
  }
  return resolve(result.data, at, methods);
}

/** One line for each thing that is wrong. */
function inputError(messages: readonly string[]): InputError {
  const rest = messages.length - MAX_MESSAGES;
  return new InputError(
    [
      ...messages.slice(0, MAX_MESSAGES),
      ...(rest > 0 ? [`and ${rest} more`] : []),
    ].join("\n"),
  );
}

function toPlainValue(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // The yaml package refuses aliases that multiply without bound.
    throw new InputError(`${file}:1:1: ${oneLine((error as Error).message)}`);
  }
}

/** Sets one value in the document, as if the file had it. */
function applySet(
  document: Document,
  assignment: string,
): { path: Path; text: string } {
  const equals = assignment.indexOf("=");
  if (equals < 1) {
    throw new InputError(
      `--set ${
        oneLine(assignment)
      }: must be key=value, for instance measure.perplexity.tokens=4096`,
    );
  }
  const path: (string | number)[] = [];
  for (const step of assignment.slice(0, equals).split(".")) {
    const parent = path.length === 0
      ? document.contents
      : document.getIn(path, true);
    const index = isSeq(parent) && /^\d+$/.test(step);
    if (index && Number(step) > parent.items.length) {
      throw new InputError(
        `--set ${oneLine(assignment)}: found the index ${
          oneLine(step, 40)
        }; allowed: 0 to ${parent.items.length}`,
      );
    }
    path.push(index ? Number(step) : step);
  }
  const { value, problems: [problem] } = parsePlainYaml(
    assignment.slice(equals + 1),
  );
  const shown = oneLine(assignment);
  if (problem !== undefined) {
    throw new InputError(`--set ${shown}: ${problem.message}`);
  }
  try {
    document.setIn(path, document.createNode(value));
  } catch (error) {
    throw new InputError(
      `--set ${shown}: ${oneLine((error as Error).message)}`,
    );
  }
  return { path, text: shown };
}

/** Says of an unknown option whether another method has it. */
function explainWithMethods(
  messages: readonly string[],
  methods: readonly Method[],
): string[] {
  return messages.map((message) => {
    const key = /unknown key "([^"]+)" in variants\[\d+\]/.exec(message)?.[1];
    if (key === undefined) return message;
    const owners = methods.filter((method) =>
      Object.hasOwn(method.options.shape, key)
    );
    return owners.length === 0
      ? message
      : `${message}; ${key} is an option of ${
        owners.map((m) => m.name).join(", ")
      }`;
  });
}

function resolve(
  parsed: ExperimentFile,
  at: Located,
  methods: readonly Method[],
): Experiment {
  const problems: string[] = [];
  const variants: VariantRecord[] = [];
  const own: (string | undefined)[] = [];
  /** Of each variant, its entry. */
  const entries: number[] = [];
  let total = 0;
  parsed.variants.forEach((rawEntry, index) => {
    const entry = rawEntry as VariantEntry;
    const method = methods.find(({ name }) => name === entry.method)!;
    const count = countVariants(entry);
    total += count;
    // A matrix of typos is counted, not multiplied out.
    if (total > MAX_VARIANTS) return;
    const expanded = expandVariant(entry);
    if (expanded.length === 0) {
      problems.push(
        `${
          place(at, ["variants", index, "exclude"], true)
        }variants[${index}]: exclude leaves no variant`,
      );
    }
    if (entry.label !== undefined && expanded.length > 1) {
      problems.push(
        `${
          place(at, ["variants", index, "label"], true)
        }variants[${index}].label: a matrix of ${expanded.length} variants cannot share a label`,
      );
    }
    const said = new Set<string>();
    for (const { method: name, ...options } of expanded) {
      const checked = method.options.safeParse(options);
      if (checked.success) {
        variants.push({ method: name, ...checked.data });
        own.push(entry.label);
        entries.push(index);
        continue;
      }
      for (const issue of checked.error.issues) {
        const option = String(issue.path[0] ?? "");
        const path = entry[option] !== undefined
          ? ["variants", index, option]
          : entry.matrix?.[option] !== undefined
          ? ["variants", index, "matrix", option]
          : ["variants", index];
        const found = options[option] === undefined
          ? "is missing"
          : `found ${excerpt(options[option])}`;
        said.add(
          `${
            place(at, path)
          }variants[${index}].${option}: ${found}; ${issue.message}`,
        );
      }
    }
    problems.push(...said);
  });
  if (total > MAX_VARIANTS) {
    problems.push(
      `${
        place(at, ["variants"])
      }variants: a matrix of ${total} variants; allowed: at most ${MAX_VARIANTS}`,
    );
  }
  if (problems.length > 0) throw inputError(problems);
  const labels = variantLabels(variants, own, defaultsIn(methods));
  problems.push(
    ...semanticProblems(
      parsed,
      { variants, own, entries, labels },
      at,
      methods,
    ),
  );
  if (problems.length > 0) throw inputError(problems);

  const { measure } = parsed;
  const shared = measure.contexts;
  const { calibration: written, description, expect, ...rest } = parsed;
  const converts = needsCalibration(variants, methods);
  return withoutUndefined({
    ...rest,
    description,
    calibration: converts && written !== undefined
      ? resolvedCalibration(written)
      : undefined,
    engine: resolvedEngine(parsed.engine),
    variants: variants.map((variant, i) =>
      own[i] === undefined ? variant : { label: own[i], ...variant }
    ),
    measure: {
      perplexity: measure.perplexity &&
        {
          ...measure.perplexity,
          contexts: measure.perplexity.contexts ?? shared,
        },
      divergence: measure.divergence &&
        {
          ...measure.divergence,
          contexts: measure.divergence.contexts ?? shared,
        },
      cache: measure.cache &&
        { ...measure.cache, contexts: measure.cache.contexts ?? shared },
      throughput: measure.throughput &&
        resolvedThroughput(measure.throughput, shared),
    },
    expect,
  }) as Experiment;
}

/** With one of seed and seeds. */
function resolvedCalibration(
  { text, samples, tokens, seed, seeds, passes }: NonNullable<
    ExperimentFile["calibration"]
  >,
): NonNullable<Experiment["calibration"]> {
  const sampling = seeds === undefined
    ? { seed: seed ?? DEFAULT_SEED }
    : { seeds };
  return { text, samples, tokens, ...sampling, passes };
}

/**
 * Fills in what depends on the engine. Fields of one engine are absent in
 * others, and false is absent, since what is written decides the run's id.
 */
function resolvedEngine(
  { name, dtype, device, provider, cacheDtype, software, threads }:
    ExperimentFile["engine"],
): Experiment["engine"] {
  const rest = threads === undefined ? {} : { threads };
  return name === "webgpu"
    ? {
      name,
      dtype,
      device: "webgpu",
      provider: provider ?? "deno",
      cacheDtype: cacheDtype ?? dtype,
      ...(software === true ? { software } : {}),
      ...rest,
    }
    : { name, dtype, device: device ?? "cpu", ...rest };
}

/**
 * Labels of an experiment's variants.
 *
 * @param experiment Of parseExperiment().
 * @param methods The methods that its variants name.
 */
export function labelsOf(
  experiment: Experiment,
  methods: readonly Method[] = METHODS,
): string[] {
  return variantLabels(
    experiment.variants.map((variant) => withoutKeys(variant)),
    experiment.variants.map(({ label }) => label),
    defaultsIn(methods),
  );
}

function defaultsIn(methods: readonly Method[]) {
  return (name: string) => {
    const method = methods.find((method) => method.name === name);
    return method === undefined ? {} : defaultOptions(method);
  };
}

/** A variant without the keys that are not options. */
export function withoutKeys(
  variant: VariantRecord & { readonly label?: string },
): VariantRecord {
  const drop = VARIANT_KEYS.filter((key) => key !== "method") as string[];
  return Object.fromEntries(
    Object.entries(variant).filter(([key]) => !drop.includes(key)),
  ) as VariantRecord;
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]) => [key, withoutUndefined(field)]),
  );
}
