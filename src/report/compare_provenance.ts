// What two runs were made with, field by field, where it differs.

import type { CellRecord } from "../experiment/record.ts";
import { isObject } from "./load.ts";

/** A field that two runs have with other values, or that one lacks. */
export interface FieldDifference {
  /** "git.commit" */
  readonly field: string;
  readonly a: string;
  readonly b: string;
}

interface RunWithEnvironment {
  readonly cells: readonly CellRecord[];
  readonly environment?: Readonly<Record<string, unknown>>;
  readonly experiment?: Readonly<Record<string, unknown>>;
}

/** Parts of experiment.yaml that say how something was measured; variants are what is compared. */
const SETTINGS = ["calibration", "measure"] as const;

/** Fields of environment.json that say which run this is, or what a clock said. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  "experiment",
  "runId",
  "recordedAt",
  "argv",
  "cpu.gemmGflopsF32",
  "model.requested",
]);

const ABSENT = "–";

/**
 * Compares the environments of two runs; of a run without one, what its cells say.
 *
 * @param a One run.
 * @param b The other.
 * @returns In the order of environment.json.
 */
export function provenanceOf(
  a: RunWithEnvironment,
  b: RunWithEnvironment,
): FieldDifference[] {
  const both = a.environment !== undefined && b.environment !== undefined;
  const left = both ? leaves(a.environment) : cellFields(a.cells);
  const right = both ? leaves(b.environment) : cellFields(b.cells);
  if (a.experiment !== undefined && b.experiment !== undefined) {
    for (const part of SETTINGS) {
      leaves(a.experiment[part], part, left);
      leaves(b.experiment[part], part, right);
    }
  }
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((field) => {
    const [valueA, valueB] = [left.get(field), right.get(field)];
    return valueA === valueB
      ? []
      : [{ field, a: valueA ?? ABSENT, b: valueB ?? ABSENT }];
  });
}

function leaves(
  value: unknown,
  path = "",
  found = new Map<string, string>(),
): Map<string, string> {
  if (OWN_FIELDS.has(path)) return found;
  if (isObject(value)) {
    for (const [key, inner] of Object.entries(value)) {
      leaves(inner, path === "" ? key : `${path}.${key}`, found);
    }
  } else if (Array.isArray(value) && value.every(isObject)) {
    // Files and texts: by name, so that an added one does not shift the others.
    value.forEach((item, i) =>
      leaves(item, `${path}.${item["name"] ?? i}`, found)
    );
  } else if (value !== null && value !== undefined) {
    found.set(path, typeof value === "string" ? value : JSON.stringify(value));
  }
  return found;
}

/** Commits, engines and models of the cells; several values of a field are all said. */
function cellFields(cells: readonly CellRecord[]): Map<string, string> {
  const values = new Map<string, Set<string>>();
  const add = (field: string, value: string | undefined) => {
    if (value === undefined) return;
    values.set(field, (values.get(field) ?? new Set()).add(value));
  };
  for (const { commit, engine, model } of cells) {
    add("git.commit", commit);
    for (const [name, value] of Object.entries(engine)) {
      add(`engine.${name}`, String(value));
    }
    add("model.name", model.id);
    add("model.sha256", model.sha256);
  }
  return new Map(
    [...values].map(([field, set]) => [field, [...set].sort().join(", ")]),
  );
}
