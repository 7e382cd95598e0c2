// Runs, methods and presets as lists: texts for readers, items for programs.

import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import { METHODS } from "../conversion/methods/mod.ts";
import { parameterCount } from "../experiment/estimate.ts";
import { auditRun, type RunAudit } from "../experiment/run_audit.ts";
import { fullCacheElements } from "../model/cache_arithmetic.ts";
import { MODEL_PRESETS } from "../model/presets.ts";
import { methodOptions } from "./method_options.ts";
import {
  namesIn,
  PUBLISHED_FOLDER,
  REPRODUCTIONS_FOLDER,
  runFolders,
  RUNS_FOLDER,
} from "./run_source.ts";
import { formatTable } from "./terminal.ts";

/** A list. */
export interface Listing {
  readonly text: string;
  /** The same for programs. */
  readonly items: readonly object[];
}

/** Conversion methods with their options. */
export function listMethods(): Listing {
  const items = METHODS.map((method) => ({
    name: method.name,
    summary: method.summary,
    source: method.source,
    latent: method.latent,
    options: methodOptions(method),
  }));
  const text = items.map(({ name, summary, source, options }) => {
    const rows = options.map(({ name, fallback, allowed, meaning }) => [
      `  ${name}`,
      fallback === undefined ? "required" : String(fallback),
      allowed,
      meaning,
    ]);
    const head = `${name}: ${summary} (${source})`;
    return rows.length === 0
      ? head
      : `${head}\n${
        formatTable(["  option", "default", "allowed", "meaning"], rows)
      }`;
  }).join("\n\n");
  return { text, items };
}

/** Shapes that `deno task estimate` knows. */
export function listPresets(): Listing {
  const items = Object.entries(MODEL_PRESETS).map(([name, config]) => ({
    name,
    parameters: parameterCount(config),
    cachedNumbersPerTokenPerLayer: fullCacheElements(config),
    ...config,
  }));
  const text = formatTable(
    ["preset", "parameters", "L", "D", "H", "G", "d", "numbers/token/layer"],
    items.map((item) => [
      item.name,
      `${(item.parameters / 1e6).toFixed(0)} M`,
      String(item.numHiddenLayers),
      String(item.hiddenSize),
      String(item.numAttentionHeads),
      String(item.numKeyValueHeads),
      String(item.headDim),
      String(item.cachedNumbersPerTokenPerLayer),
    ]),
  );
  return { text, items };
}

/** Runs of this working tree, reproductions and publications. */
export async function listRuns(): Promise<Listing> {
  const folders: string[] = [];
  for (const root of [RUNS_FOLDER, REPRODUCTIONS_FOLDER]) {
    for (const name of await namesIn(root)) {
      folders.push(...await runFolders(join(root, name)));
    }
  }
  folders.push(...await runFolders(PUBLISHED_FOLDER));
  const items: (RunAudit & { readonly status: string })[] = [];
  for (const folder of folders) {
    try {
      const audit = await auditRun(folder);
      items.push({ ...audit, status: statusOf(audit) });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      items.push(unreadable(folder, error.message));
    }
  }
  if (items.length === 0) {
    return { text: "no runs yet: deno task experiment", items };
  }
  const text = formatTable(
    ["run", "status", "cells", "last begun", "model", "engine"],
    items.map((item) => [
      item.path,
      item.status,
      `${item.recorded}/${item.planned}`,
      item.lastStartedAt?.slice(0, 16).replace("T", " ") ?? "–",
      item.models.join(", "),
      item.engines.join(", "),
    ]),
  );
  return { text, items };
}

function statusOf({ planned, recorded, failed, problems }: RunAudit): string {
  const missing = planned - recorded;
  const parts = [
    ...missing === 0 ? [] : [`${missing} missing`],
    ...failed === 0 ? [] : [`${failed} failed`],
  ];
  if (parts.length > 0) return parts.join(", ");
  return problems.length === 0 ? "complete" : "has faults: deno task validate";
}

function unreadable(path: string, problem: string) {
  return {
    path,
    status: "not readable",
    planned: 0,
    recorded: 0,
    failed: 0,
    models: [],
    engines: [],
    problems: [problem],
  };
}
