// Reads what `deno test` says: its summary line, and the JUnit report that it
// writes. The report lacks errors outside of tests, so the counts come from the
// summary; the summary lacks names, so these come from the report.

/** An ignored test. */
export interface SkippedTest {
  /** Relative to the project. */
  readonly file: string;
  readonly name: string;
  readonly reason: string;
}

/**
 * Reads the counts of the last summary line, `ok | 3 passed (2 steps) | 0 failed | 1 ignored (4ms)`.
 *
 * @param output All that `deno test` printed on stdout.
 * @returns The counts, or undefined where there is no such line.
 */
export function readSummary(
  output: string,
): { passed: number; failed: number } | undefined {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const lines = plain.matchAll(
    /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/gm,
  );
  const last = [...lines].at(-1);
  return last && { passed: Number(last[1]), failed: Number(last[2]) };
}

/**
 * Lists the ignored tests of a JUnit report with the reasons that their files gave.
 *
 * @param report The XML that `deno test --junit-path` wrote.
 * @param missing Lines `{"file": URL, "reason": string}` as requirement() writes them.
 * @returns One entry an ignored test or step, in the report's order.
 */
export function readSkipped(report: string, missing: string): SkippedTest[] {
  const reasons = readReasons(missing);
  const cases = report.matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]*>\s*<skipped\/>/g,
  );
  return [...cases].map(([, name, classname]) => {
    const file = unescapeXml(classname!).replace(/^\.\//, "");
    return {
      file,
      name: unescapeXml(name!),
      reason: reasons(file) || "ignored by the test itself",
    };
  });
}

function readReasons(missing: string): (file: string) => string {
  const entries = missing.split("\n").filter((line) => line !== "").map((
    line,
  ) => JSON.parse(line) as { file: string; reason: string });
  return (file) => {
    const own = entries.filter((entry) =>
      decodeURI(entry.file).endsWith(`/${file}`)
    );
    return [...new Set(own.map((entry) => entry.reason))].join("; ");
  };
}

function unescapeXml(text: string): string {
  const names: Record<string, string> = {
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    amp: "&",
  };
  return text.replace(
    /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi,
    (whole, decimal, hex, name) => {
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
      return names[name] ?? whole;
    },
  );
}
