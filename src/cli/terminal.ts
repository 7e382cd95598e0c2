// How every verb meets its user: data on standard output, everything else on
// standard error, exit codes, errors without stack traces.

import { parseArgs } from "@std/cli";
import {
  CheckpointError,
  InputError,
  ShapeError,
  UnavailableError,
  UnsupportedModelError,
} from "../base/errors.ts";

/** Exit codes of all verbs. */
export const EXIT = {
  ok: 0,
  /** Some cell failed, some check did not hold. */
  failed: 1,
  /** What was asked for cannot be done as asked. */
  badInput: 2,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** Writes a line of data to standard output. */
export function print(text = ""): void {
  writeAll(Deno.stdout, `${text}\n`);
}

/** Writes text to standard output as it is. */
export function printRaw(text: string): void {
  writeAll(Deno.stdout, text);
}

/** Writes a line to standard error: progress, notes, errors. */
export function note(text: string): void {
  writeAll(Deno.stderr, `${text}\n`);
}

/** Writes text to standard error as it is. */
export function noteRaw(text: string): void {
  writeAll(Deno.stderr, text);
}

function writeAll(
  stream: { writeSync(bytes: Uint8Array): number },
  text: string,
): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      // `... | head` closes the pipe: nothing more to say.
      if (error instanceof Deno.errors.BrokenPipe) return;
      throw error;
    }
  }
}

/** Whether standard error is a terminal on which a bar can be drawn. */
export function isInteractive(): boolean {
  return Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb";
}

const COLORS = { red: 31, green: 32, yellow: 33, gray: 90, bold: 1 } as const;

/**
 * Colors text where the stream is a terminal and NO_COLOR is not set.
 *
 * @param text What to color.
 * @param color Of the 16 that every terminal has.
 * @param stream Where it goes. @default Deno.stderr
 */
export function paint(
  text: string,
  color: keyof typeof COLORS,
  stream: { isTerminal(): boolean } = Deno.stderr,
): string {
  return Deno.noColor || !stream.isTerminal()
    ? text
    : `\x1b[${COLORS[color]}m${text}\x1b[0m`;
}

/**
 * Runs a verb and ends the process with its exit code. An error that a user can
 * mend is one line; others ask for -v, with which the stack is shown.
 *
 * @param verb Gives the exit code.
 */
export async function runVerb(
  verb: (args: string[]) => Promise<number>,
): Promise<never> {
  const args = [...Deno.args];
  let code: number;
  try {
    code = await verb(args);
  } catch (error) {
    code = reportError(error, isVerbose(args));
  }
  Deno.exit(code);
}

/** Whether -v or --verbose is among the arguments. */
export function isVerbose(args: readonly string[]): boolean {
  return args.includes("-v") || args.includes("--verbose");
}

/**
 * Says what went wrong.
 *
 * @param error What was thrown.
 * @param verbose Whether to show the stack.
 * @returns The exit code that belongs to it.
 */
export function reportError(error: unknown, verbose: boolean): number {
  const mendable = isMendable(error);
  const message = error instanceof Error ? error.message : String(error);
  for (const line of message.split("\n")) {
    note(`${paint("error", "red")}: ${line}`);
  }
  if (verbose && error instanceof Error && error.stack !== undefined) {
    note(error.stack);
  } else if (!mendable) {
    note("(-v shows where)");
  }
  return mendable ? EXIT.badInput : EXIT.failed;
}

/** Whether the user's input is at fault, not the suite. */
function isMendable(error: unknown): boolean {
  return [
    InputError,
    UnavailableError,
    UnsupportedModelError,
    CheckpointError,
    ShapeError,
    Deno.errors.NotFound,
    Deno.errors.PermissionDenied,
    Deno.errors.NotCapable,
  ].some((type) => error instanceof type);
}

/** The options that a verb has, for parseFlags(). */
export interface FlagSpec {
  readonly string?: readonly string[];
  readonly boolean?: readonly string[];
  readonly collect?: readonly string[];
  readonly alias?: Readonly<Record<string, string>>;
}

/** Parsed arguments: options by name, the rest in `_`. */
export interface Flags {
  readonly _: readonly string[];
  readonly [name: string]: unknown;
}

/**
 * Parses arguments and refuses what the verb does not know.
 *
 * @param args The arguments.
 * @param spec The verb's options; `help` and `verbose` (-h, -v) are added.
 * @throws {InputError} If there is an unknown option, one without its value, or one with a value that takes none.
 */
export function parseFlags(args: readonly string[], spec: FlagSpec): Flags {
  const strings = [...(spec.string ?? []), ...(spec.collect ?? [])];
  const booleans = [...(spec.boolean ?? []), "help", "verbose"];
  refuseValues(args, booleans);
  const unknown: string[] = [];
  const parsed = parseArgs(args, {
    string: [...strings, "_"],
    boolean: booleans,
    collect: [...(spec.collect ?? [])],
    alias: { ...spec.alias, help: "h", verbose: "v" },
    unknown(arg, key) {
      if (key === undefined) return true;
      unknown.push(arg);
      return false;
    },
  }) as Record<string, unknown> & { _: (string | number)[] };
  if (unknown.length > 0) {
    throw new InputError(
      `unknown option ${unknown.join(", ")}; allowed: ${
        [...strings, ...booleans].map((name) => `--${name}`).join(", ")
      }`,
    );
  }
  for (const name of strings) {
    const values = [parsed[name]].flat();
    if (values.includes("")) {
      throw new InputError(`option --${name} needs a value`);
    }
  }
  return { ...parsed, _: parsed._.map(String) };
}

/** `--json=file` would be taken as `--json`, and the file never written. */
function refuseValues(args: readonly string[], booleans: readonly string[]) {
  for (const arg of args) {
    if (arg === "--") return;
    const [, name, value] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (name !== undefined && booleans.includes(name)) {
      throw new InputError(`option --${name} takes no value: found ${value}`);
    }
  }
}

/**
 * Reads an option that is a whole number.
 *
 * @param flags Of parseFlags().
 * @param name The option.
 * @param minimum Smallest allowed.
 * @throws {InputError} If it is not one.
 */
export function integerFlag(
  flags: Flags,
  name: string,
  minimum: number,
): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < minimum) {
    throw new InputError(
      `option --${name}: found ${text}; allowed: a whole number >= ${minimum}`,
    );
  }
  return value;
}

/**
 * A table of text: columns aligned, numbers to the right.
 *
 * @param header One a column.
 * @param rows Cells, as text.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0))
  );
  const numeric = header.map((_, i) =>
    rows.length > 0 &&
    rows.every((row) => /^$|^[-–]$|^[-−+~<]?[\d.,]/.test(row[i] ?? ""))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) =>
      numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
    ).join("  ").trimEnd();
  return [line(header), ...rows.map(line)].join("\n");
}

/**
 * Breaks text at spaces.
 *
 * @param text What stands in the last column of a line of help.
 * @param indent Columns before it, with which further lines begin.
 * @param width Of a line.
 */
export function wrapText(text: string, indent: number, width = 80): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && indent + last.length + word.length < width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}

/** Seconds as people say them: "6.2 s", "4 min 10 s", "2 h 5 min". */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}
