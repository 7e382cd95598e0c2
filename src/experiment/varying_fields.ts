// What two runs of one cell may differ in: time, memory as the system counted
// it, and where and when it was measured. Everything else must be equal.

/** Names of fields that vary by nature; `*` stands for any beginning. */
export const VARYING_FIELDS: readonly string[] = [
  "*Seconds",
  "*PerSecond",
  "*Ms",
  "startedAt",
  "runId",
  "commit",
  // As the system counts it, with all that the process did before.
  "peakMemoryBytes",
  "peakMemoryScope",
  "memoryGrowthBytes",
  "memoryGrowthRatio",
  "memoryNote",
  // Whether another cell, or another run, has left moments in the cache.
  "calibrationRuns",
  "calibrationCached",
];

/**
 * Whether two runs of one cell may differ in a field.
 *
 * @param path Its name, or the path to it: "metrics.calibrationWallSeconds", "stageSeconds.opening".
 */
export function isVarying(path: string): boolean {
  return path.split(".").some((name) =>
    VARYING_FIELDS.some((field) =>
      field.startsWith("*") ? name.endsWith(field.slice(1)) : name === field
    )
  );
}

/**
 * A value without the fields that vary, at any depth.
 *
 * @param value A record, or any JSON value.
 * @returns A copy; a record that holds no other field than such is {}.
 */
export function withoutVarying<T>(value: T): Partial<T> {
  return stripped(value) as Partial<T>;
}

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !isVarying(name))
      .map(([name, inner]) => [name, stripped(inner)]),
  );
}
