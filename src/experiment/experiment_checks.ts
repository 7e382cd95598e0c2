// What the schema of an experiment file cannot say: fields that depend on each
// other. Each problem is a line that begins with its place.

import { excerpt } from "../base/excerpt.ts";
import type { Method } from "../conversion/method.ts";
import { shortHash } from "./canonical.ts";
import { matchesGlob } from "./glob.ts";
import { baselineIndices, seededLabel } from "./label.ts";
import { type Located, place } from "./locate.ts";
import { nearestName } from "../text/nearest_name.ts";
import type { VariantRecord } from "./record.ts";
import type { ExperimentFile } from "./schema.ts";
import { throughputProblems } from "./throughput_checks.ts";

/** All variants of a file, the matrix expanded, defaults filled in. */
export interface LabeledVariants {
  readonly variants: readonly VariantRecord[];
  /** Labels that the file gives. */
  readonly own: readonly (string | undefined)[];
  readonly labels: readonly string[];
  /** Of each variant, the index of its entry in the file. */
  readonly entries: readonly number[];
}

const MEASURES = ["perplexity", "divergence", "cache", "throughput"] as const;

/**
 * Checks what fields say of each other.
 *
 * @param parsed The file, of the right schema.
 * @param labeled Its variants.
 * @param at For the places.
 * @param methods The methods that variants may name.
 * @returns One line a problem.
 */
export function semanticProblems(
  parsed: ExperimentFile,
  labeled: LabeledVariants,
  at: Located,
  methods: readonly Method[],
): string[] {
  const { variants, labels } = labeled;
  const problems = [
    ...equalVariants(labeled, at),
    ...equalLabels(labeled, at),
    ...repeatedContexts(parsed, at),
    ...seedProblems(parsed, labeled, at),
    ...engineProblems(parsed, at),
    ...throughputProblems(parsed, at),
    ...trainedModels(parsed, labeled, at, methods),
  ];
  const { measure } = parsed;
  const measures = MEASURES.filter((name) => measure[name] !== undefined);
  if (measures.length === 0) {
    problems.push(
      `${
        place(at, ["measure"], true)
      }measure names nothing to measure; allowed: ${MEASURES.join(", ")}`,
    );
  }
  for (const name of measures) {
    if (
      measure[name]?.contexts === undefined && measure.contexts === undefined
    ) {
      problems.push(
        `${
          place(at, ["measure", name], true)
        }measure.${name} has no contexts, nor has measure`,
      );
    }
  }
  const converts = variants.some(({ method }) => method !== "original");
  if (
    needsCalibration(variants, methods) && parsed.calibration === undefined
  ) {
    const idle = methods.filter(({ name, calibrated }) =>
      name === "original" || calibrated === false
    );
    problems.push(
      `${
        place(at, ["variants"], true)
      }calibration is missing; variants other than ${
        idle.map(({ name }) => name).join(", ")
      } need it`,
    );
  }
  const synthetic = typeof parsed.model === "string" &&
    parsed.model.startsWith("synthetic:");
  for (const name of ["perplexity", "divergence"] as const) {
    if (measure[name]?.text === "synthetic" || (synthetic && measure[name])) {
      problems.push(
        `${
          place(at, ["measure", name], true)
        }measure.${name}: random tokens or weights have no meaningful ${name}; allowed with them: cache, throughput`,
      );
    }
  }
  if (measure.divergence !== undefined && !converts) {
    problems.push(
      `${
        place(at, ["measure", "divergence"], true)
      }measure.divergence: no variant is converted, and the original does not diverge from itself`,
    );
  }
  if (
    synthetic && parsed.calibration && parsed.calibration.text !== "synthetic"
  ) {
    problems.push(
      `${place(at, ["calibration", "text"])}calibration.text: found ${
        excerpt(parsed.calibration.text)
      }; a synthetic model has no tokenizer; allowed: synthetic`,
    );
  }
  if (!baselineIndices(parsed.report.baseline, variants, labels).length) {
    const names = [...new Set(labels)];
    const meant = nearestName(parsed.report.baseline, names);
    problems.push(
      `${place(at, ["report", "baseline"])}report.baseline: found ${
        excerpt(parsed.report.baseline)
      }${meant === undefined ? "" : ` (did you mean "${meant}"?)`}; allowed: ${
        names.slice(0, 12).join(", ")
      }${names.length > 12 ? ", ..." : ""}`,
    );
  }
  problems.push(...wrongExpectations(parsed, labeled, at));
  return problems;
}

/** Whether a variant is of a method that asks for moments. */
export function needsCalibration(
  variants: readonly VariantRecord[],
  methods: readonly Method[],
): boolean {
  return variants.some(({ method: name }) =>
    name !== "original" &&
    methods.find((method) => method.name === name)?.calibrated !== false
  );
}

/** Methods whose weights are seeded refuse models that have trained ones. */
function trainedModels(
  { model }: ExperimentFile,
  { variants, entries }: LabeledVariants,
  at: Located,
  methods: readonly Method[],
): string[] {
  const trained = [model].flat().find((name) => !name.startsWith("synthetic:"));
  if (trained === undefined) return [];
  const refused = new Set(
    variants.flatMap(({ method: name }, i) =>
      methods.some((method) => method.name === name && method.syntheticOnly)
        ? [entries[i]!]
        : []
    ),
  );
  return [...refused].map((entry) =>
    `${
      place(at, ["variants", entry, "method"])
    }variants[${entry}].method: its weights are seeded, and those of ${
      excerpt(trained)
    } would be lost; allowed: with models synthetic:NAME`
  );
}

/** What an engine cannot be asked for. */
function engineProblems(
  { engine, measure }: ExperimentFile,
  at: Located,
): string[] {
  const say = (path: readonly string[], found: unknown, allowed: string) =>
    `${place(at, path)}${
      path.join(".")
    }: found ${found} with engine ${engine.name}; allowed: ${allowed}`;
  if (engine.name === "webgpu") {
    const { device, threads } = engine;
    return [
      ...(device === "cpu"
        ? [say(["engine", "device"], device, "webgpu, or another engine")]
        : []),
      ...(threads === undefined
        ? []
        : [say(["engine", "threads"], threads, "only with other engines")]),
    ];
  }
  const own: readonly (readonly [path: readonly string[], found: unknown])[] = [
    ...(["provider", "cacheDtype", "software"] as const).map((field) =>
      [["engine", field], engine[field]] as const
    ),
    [["measure", "cache", "memoryGrowth"], measure.cache?.memoryGrowth],
    [["measure", "throughput", "cache"], measure.throughput?.cache],
    [["measure", "throughput", "profile"], measure.throughput?.profile],
  ];
  return own.flatMap(([path, found]) =>
    found === undefined || found === false || found === "prefill"
      ? []
      : [say(path, found, "only with engine webgpu")]
  );
}

/** Seeds that contradict each other, or make one label of two. */
function seedProblems(
  { calibration }: ExperimentFile,
  { labels }: LabeledVariants,
  at: Located,
): string[] {
  const { seed, seeds } = calibration ?? {};
  if (seeds === undefined) return [];
  const path = ["calibration", "seeds"];
  const problems = seeds.flatMap((own, i) =>
    seeds.indexOf(own) === i ? [] : [
      `${
        place(at, [...path, i])
      }calibration.seeds[${i}]: found ${own} again; allowed: each seed once`,
    ]
  );
  if (seed !== undefined) {
    problems.push(
      `${
        place(at, path, true)
      }calibration.seeds: found with calibration.seed; allowed: one of both`,
    );
  }
  const label = labels.find((label) =>
    labels.some((group) =>
      seeds.some((own) => seededLabel(group, own) === label)
    )
  );
  if (label !== undefined) {
    problems.push(
      `${
        place(at, path, true)
      }calibration.seeds: a variant is called "${label}", as another one with a seed would be`,
    );
  }
  return problems;
}

/** Equal variants would be one cell under two names. */
function equalVariants(
  { variants, labels, entries }: LabeledVariants,
  at: Located,
): string[] {
  const first = new Map<string, number>();
  return variants.flatMap((variant, i) => {
    const key = shortHash(variant);
    const earlier = first.get(key);
    if (earlier === undefined) {
      first.set(key, i);
      return [];
    }
    return [
      `${place(at, ["variants", entries[i]!])}variants[${entries[i]}]: "${
        labels[i]
      }" is, its defaults filled in, the same variant as "${
        labels[earlier]
      }" of variants[${entries[earlier]}]`,
    ];
  });
}

/** A label that the file gives must be nobody else's, as given or as made. */
function equalLabels(
  { own, labels, entries }: LabeledVariants,
  at: Located,
): string[] {
  return own.flatMap((label, i) => {
    if (label === undefined) return [];
    const other = labels.findIndex((made, j) =>
      own[j] === undefined
        ? made === label ||
          (made.startsWith(`${label} #`) &&
            /^\d+$/.test(made.slice(label.length + 2)))
        : j < i && own[j] === label
    );
    return other < 0 ? [] : [
      `${place(at, ["variants", entries[i]!, "label"])}variants[${
        entries[i]
      }].label: found "${label}", which is also the label of variants[${
        entries[other]
      }]`,
    ];
  });
}

function repeatedContexts({ measure }: ExperimentFile, at: Located): string[] {
  const lists = [
    { name: "measure", path: ["measure"], contexts: measure.contexts },
    ...MEASURES.map((name) => ({
      name: `measure.${name}`,
      path: ["measure", name],
      contexts: measure[name]?.contexts,
    })),
  ];
  return lists.flatMap(({ name, path, contexts = [] }) =>
    contexts.flatMap((context, i) =>
      contexts.indexOf(context) === i ? [] : [
        `${
          place(at, [...path, "contexts", i])
        }${name}.contexts[${i}]: found ${context} again; allowed: each context once`,
      ]
    )
  );
}

/** An expectation that no cell can meet would pass unseen. */
function wrongExpectations(
  parsed: ExperimentFile,
  { variants, labels }: LabeledVariants,
  at: Located,
): string[] {
  const [baseline] = baselineIndices(parsed.report.baseline, variants, labels);
  return parsed.expect.flatMap((expectation, i) => {
    const problems: string[] = [];
    const say = (field: string, message: string) =>
      problems.push(
        `${place(at, ["expect", i, field])}expect[${i}].${field}: ${message}`,
      );
    const { variant, metric, contextTokens } = expectation;
    const [measure] = metric.split(".") as [
      (typeof MEASURES)[number] | "conversion",
    ];
    const seeds = parsed.calibration?.seeds ?? [];
    const matched = labels.flatMap((label, v) =>
      [label, ...seeds.map((seed) => seededLabel(label, seed))].some((name) =>
          matchesGlob(variant, name)
        )
        ? [v]
        : []
    );
    if (matched.length === 0) {
      say(
        "variant",
        `found ${excerpt(variant)}, which no variant matches; variants: ${
          labels.slice(0, 12).join(", ")
        }${labels.length > 12 ? ", ..." : ""}`,
      );
    } else if (
      measure === "conversion" &&
      matched.every((v) => variants[v]!.method === "original")
    ) {
      say("metric", `found ${metric}; "${variant}" is not converted`);
    } else if (
      measure === "divergence" &&
      matched.every((v) => variants[v]!.method === "original")
    ) {
      say("metric", `found ${metric}; "${variant}" is the original itself`);
    } else if (
      metric === "perplexity.deltaNll" && matched.every((v) => v === baseline)
    ) {
      say("metric", `found ${metric}; "${variant}" is the baseline`);
    }
    if (measure === "conversion") {
      if (contextTokens !== undefined) {
        say("contextTokens", `found ${contextTokens}; a conversion has none`);
      }
    } else if (parsed.measure[measure] === undefined) {
      say("metric", `found ${metric}; measure.${measure} is missing`);
    } else {
      const contexts = parsed.measure[measure].contexts ??
        parsed.measure.contexts ?? [];
      if (contextTokens !== undefined && !contexts.includes(contextTokens)) {
        say(
          "contextTokens",
          `found ${contextTokens}, which measure.${measure} does not measure; allowed: ${
            contexts.join(", ")
          }`,
        );
      }
    }
    if (
      expectation.relative === undefined && expectation.absolute === undefined
    ) {
      problems.push(
        `${
          place(at, ["expect", i])
        }expect[${i}]: a tolerance is missing; allowed: relative, absolute`,
      );
    }
    return problems;
  });
}
