// What two runs of one cell may differ in: time, memory as the system counted
// it, and where and when it was measured. Everything else must be equal.

/** Names of fields that vary by nature; `*` stands for any beginning. */
export const VARYING_FIELDS: readonly string[] = [
  "*Seconds",
  "*PerSecond",
  "*Ms",
  // Of a kernel, of all requests, of a sampled step, of the roofline.
  "seconds",
  "ms",
  "fraction",
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
