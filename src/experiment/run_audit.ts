// Whether a run folder is whole and agrees with itself: every cell of its plan
// recorded, every record sound, results rebuilt from the cells that are there.

import { join } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { InputError } from "../base/errors.ts";
import { oneLine } from "../base/excerpt.ts";
import { MODEL_ALIASES } from "../checkpoint/model_aliases.ts";
import { shortHash } from "./canonical.ts";
import { parseExperiment } from "./experiment_file.ts";
import type { CellRecord } from "./record.ts";
import { auditRecord } from "./record_audit.ts";
import { parseAs, parseCellText } from "./record_schema.ts";
import { isResult } from "./run_folder.ts";
import { writtenIdentity } from "./run_identity.ts";
import { cellFileNames, readRunText } from "./run_text.ts";
import type { Experiment } from "./schema.ts";

/** What is to be said of a run folder. */
export interface RunAudit {
  readonly path: string;
  readonly experiment?: string;
  readonly runId?: string;
  /** Cells of the plan; of a published folder, its records. */
  readonly planned: number;
  /** Of these, how many are recorded. */
  readonly recorded: number;
  /** Recorded cells that are no result: failed, out of memory, timed out, skipped. */
  readonly failed: number;
  /** Names of the models, without repetition. */
  readonly models: readonly string[];
  /** Engine, provider and number type, without repetition. */
  readonly engines: readonly string[];
  /** When its last cell was begun, ISO 8601; absent where none is recorded. */
  readonly lastStartedAt?: string;
  /** What is wrong, one line each, with its file. */
  readonly problems: readonly string[];
}

const planSchema = z.array(z.looseObject({ cell: z.string() }));

/** What is looked at; the rest is for readers. */
const environmentSchema = z.looseObject({
  model: z.looseObject({ sha256: z.string().optional() }).optional(),
  texts: z.array(
    z.looseObject({
      name: z.string().optional(),
      sha256: z.string().optional(),
    }),
  ).optional(),
});

/** A run's records, and what is wrong with them. */
interface Records {
  readonly cells: ReadonlyMap<string, CellRecord>;
  readonly lines: readonly CellRecord[];
  readonly plan: readonly string[] | undefined;
  readonly problems: string[];
}

/**
 * Checks a run folder or a published one.
 *
 * @param path The folder.
 * @throws {InputError} If it holds neither cells nor results.jsonl.
 */
export async function auditRun(path: string): Promise<RunAudit> {
  const records = await readRecords(path);
  const { cells, lines, plan, problems } = records;
  const all = cells.size > 0 ? cells : new Map(lines.map((r) => [r.cell, r]));
  if (all.size === 0 && plan === undefined) {
    throw new InputError(
      problems[0] ??
        `Cannot check ${path} as a run folder must hold plan.json, cells/*.json or results.jsonl: none found`,
    );
  }
  const planned = plan ?? [...all.keys()];
  const own = planned.flatMap((id) => all.get(id) ?? []);
  if (plan !== undefined && own.length < plan.length) {
    problems.push(
      `${join(path, "plan.json")}: ${
        plan.length - own.length
      } of ${plan.length} cells are not measured`,
    );
  }
  for (const record of own) {
    const where = cells.has(record.cell)
      ? join(path, "cells", `${record.cell}.json`)
      : `${join(path, "results.jsonl")}, cell ${record.cell}`;
    problems.push(...auditRecord(record).map((line) => `${where}: ${line}`));
  }
  if (cells.size > 0) auditLines(path, own, lines, problems);
  // A partial publication keeps its plan.
  const isPublished = cells.size === 0 && lines.length > 0;
  const { experiment, runId } = await auditExperiment(
    path,
    own,
    isPublished,
    problems,
  );
  await auditEnvironment(path, own, problems);
  const lastStartedAt = own.map(({ startedAt }) => startedAt).sort().at(-1);
  return {
    path,
    ...(experiment === undefined ? {} : { experiment }),
    ...(runId === undefined ? {} : { runId }),
    planned: planned.length,
    recorded: own.length,
    failed: own.filter((record) => !isResult(record)).length,
    models: [...new Set(own.map(({ model }) => model.id))],
    engines: [
      ...new Set(
        own.map(({ engine: { name, provider, dtype } }) =>
          [name, provider, dtype].filter((part) => part !== undefined).join(" ")
        ),
      ),
    ],
    ...(lastStartedAt === undefined ? {} : { lastStartedAt }),
    problems,
  };
}

async function readRecords(path: string): Promise<Records> {
  const problems: string[] = [];
  const cells = new Map<string, CellRecord>();
  for (const name of await cellFileNames(path) ?? []) {
    const file = join(path, "cells", name);
    const record = parsed(await Deno.readTextFile(file), file, problems);
    if (record === undefined) continue;
    if (`${record.cell}.json` !== name) {
      problems.push(`${file}: holds cell ${record.cell}`);
    }
    cells.set(record.cell, record);
  }
  const file = join(path, "results.jsonl");
  const lines: CellRecord[] = [];
  const lineOf = new Map<string, number>();
  const texts = (await readRunText(file) ?? "").split("\n");
  for (const [i, line] of texts.entries()) {
    if (line.trim() === "") continue;
    const where = `${file}:${i + 1}`;
    const record = parsed(line, where, problems);
    if (record === undefined) continue;
    const first = lineOf.get(record.cell);
    if (first !== undefined) {
      problems.push(
        `${where}: holds cell ${record.cell}, which line ${first} holds`,
      );
    }
    lineOf.set(record.cell, first ?? i + 1);
    lines.push(record);
  }
  const planFile = join(path, "plan.json");
  const planText = await readRunText(planFile);
  let plan: string[] | undefined;
  if (planText !== undefined) {
    plan = parsedAs(planSchema, planText, planFile, problems)
      ?.map(({ cell }) => cell);
  }
  return { cells, lines, plan, problems };
}

function parsed(
  text: string,
  where: string,
  problems: string[],
): CellRecord | undefined {
  try {
    return parseCellText(text, where);
  } catch (error) {
    problems.push((error as Error).message);
    return undefined;
  }
}

function parsedAs<T>(
  schema: z.ZodType<T>,
  text: string,
  where: string,
  problems: string[],
): T | undefined {
  try {
    return parseAs(schema, JSON.parse(text), where);
  } catch (error) {
    const { message } = error as Error;
    problems.push(
      error instanceof InputError
        ? message
        : `Cannot read ${where}: ${oneLine(message)}`,
    );
    return undefined;
  }
}

/** results.jsonl is rebuilt from cells; paired differences are added to it. */
function auditLines(
  path: string,
  cells: readonly CellRecord[],
  lines: readonly CellRecord[],
  problems: string[],
): void {
  const file = join(path, "results.jsonl");
  const text = (record: CellRecord) =>
    JSON.stringify(
      record,
      (key, value) =>
        key === "deltaNll" || key === "deltaNllCi95" ? undefined : value,
    );
  const known = new Map(lines.map((line) => [line.cell, text(line)]));
  const other = cells.filter((cell) => known.get(cell.cell) !== text(cell));
  if (other.length > 0 || lines.length !== cells.length) {
    const count = Math.max(other.length, Math.abs(lines.length - cells.length));
    problems.push(
      `${file}: ${count} of ${cells.length} cells are not those of cells/: deno task experiment writes it again`,
    );
  }
}

async function auditExperiment(
  path: string,
  cells: readonly CellRecord[],
  isPublished: boolean,
  problems: string[],
): Promise<{ experiment?: string; runId?: string }> {
  const file = join(path, "experiment.yaml");
  const text = await readRunText(file);
  if (text === undefined) {
    problems.push(`${file}: not there`);
    return {};
  }
  try {
    const { name, ...experiment } = parseExperiment(text, file);
    // A publication keeps no folders of paths: what is left has another hash.
    if (isPublished && namesPaths(experiment)) return { experiment: name };
    // As written, not as parsed: a field that a later version adds is no other run.
    const runId = writtenIdentity(text)!;
    // Ids were once of the whole file.
    const ids = [runId, shortHash(parseYaml(text))];
    const others = cells.filter((cell) => !ids.includes(cell.runId));
    if (others.length > 0) {
      problems.push(
        `${file}: is of run ${runId}: ${others.length} of ${cells.length} cells are of ${
          [...new Set(others.map((cell) => cell.runId))].join(", ")
        }`,
      );
    }
    return { experiment: name, runId };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    problems.push(...error.message.split("\n"));
    return {};
  }
}

/** Whether a model or a text is named by its place. */
function namesPaths(
  { model, calibration, measure }: Omit<Experiment, "name">,
): boolean {
  const isPath = (name: string) =>
    !name.startsWith("synthetic:") && !Object.hasOwn(MODEL_ALIASES, name) &&
    !/^[\w.-]+\/[\w.-]+(@.*)?$/.test(name);
  return [model].flat().some(isPath) ||
    [calibration?.text, measure.perplexity?.text, measure.divergence?.text]
      .some((text) => text?.startsWith("file:"));
}

/** Weights and texts of every record are those that the environment names. */
async function auditEnvironment(
  path: string,
  cells: readonly CellRecord[],
  problems: string[],
): Promise<void> {
  const file = join(path, "environment.json");
  const text = await readRunText(file);
  if (text === undefined) {
    problems.push(`${file}: not there`);
    return;
  }
  const environment = parsedAs(environmentSchema, text, file, problems);
  if (environment === undefined) return;
  const texts = new Map(
    environment.texts?.map(({ name, sha256 }) => [name, sha256]),
  );
  const said = new Set<string>();
  for (const { model, metrics } of cells) {
    const weights = environment.model?.sha256;
    if (weights !== undefined && weights !== model.sha256) {
      said.add(
        `${file}: model has sha256 ${weights}: cells have ${model.sha256}`,
      );
    }
    if (metrics === undefined || !("textSha256" in metrics)) continue;
    const recorded = texts.get(metrics.text);
    if (recorded !== undefined && recorded !== metrics.textSha256) {
      said.add(
        `${file}: text ${metrics.text} has sha256 ${recorded}: cells have ${metrics.textSha256}`,
      );
    }
  }
  problems.push(...said);
}
