// The steps of a tokenizer.json around its model: normalizer, pre-tokenizer,
// decoder. The library takes a field of a wrong type for another value, and a
// pattern that it does not know for none, in silence: both are refused here.

import { excerpt } from "../base/excerpt.ts";

type Json = Readonly<Record<string, unknown>>;

const BOOLEANS = new Set([
  "add_prefix_space",
  "trim_offsets",
  "use_regex",
  "individual_digits",
  "invert",
  "lowercase",
  "strip_accents",
  "clean_text",
  "handle_chinese_chars",
  "strip_left",
  "strip_right",
  "split",
  "cleanup",
]);

const TEXTS = new Set([
  "type",
  "content",
  "prepend",
  "replacement",
  "prefix",
  "suffix",
  "pad_token",
  "word_delimiter_token",
  "precompiled_charsmap",
]);

const COUNTS = new Set(["start", "stop"]);

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  behavior: [
    "Removed",
    "Isolated",
    "MergedWithPrevious",
    "MergedWithNext",
    "Contiguous",
  ],
  prepend_scheme: ["always", "first", "never"],
};

/** Lists of further steps. */
const SEQUENCES = new Set(["normalizers", "pretokenizers", "decoders"]);

/**
 * What is wrong with a step, or with one inside of it.
 *
 * @param step Of a tokenizer.json; null or absent where there is none.
 * @param where Its path, for the message.
 * @returns The item, what was found and what is allowed; undefined if nothing is wrong.
 */
export function stepProblem(step: unknown, where: string): string | undefined {
  if (step === null || step === undefined) return undefined;
  if (typeof step !== "object" || Array.isArray(step)) {
    return `${where} must be an object: current value is ${excerpt(step)}`;
  }
  if (typeof (step as Json).type !== "string") {
    return `${where}.type must be text: current value is ${
      excerpt((step as Json).type)
    }`;
  }
  const { type, pattern } = step as Json;
  if (pattern === undefined && (type === "Split" || type === "Replace")) {
    return patternProblem(pattern, `${where}.pattern`);
  }
  for (const [field, value] of Object.entries(step)) {
    const at = `${where}.${field}`;
    const problem = SEQUENCES.has(field)
      ? sequenceProblem(value, at)
      : field === "pattern"
      ? patternProblem(value, at)
      : value === null
      ? undefined
      : fieldProblem(field, value, at);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function fieldProblem(
  field: string,
  value: unknown,
  where: string,
): string | undefined {
  const allowed = BOOLEANS.has(field)
    ? typeof value === "boolean" ? undefined : "true or false"
    : TEXTS.has(field)
    ? typeof value === "string" ? undefined : "text"
    : COUNTS.has(field)
    ? Number.isInteger(value) && (value as number) >= 0
      ? undefined
      : "a whole number"
    : Object.hasOwn(CHOICES, field) &&
        !CHOICES[field]!.includes(value as string)
    ? `one of ${CHOICES[field]!.join(", ")}`
    : undefined;
  return allowed === undefined
    ? undefined
    : `${where} must be ${allowed}: current value is ${excerpt(value)}`;
}

function sequenceProblem(value: unknown, where: string): string | undefined {
  if (!Array.isArray(value)) {
    return `${where} must be an array: current value is ${excerpt(value)}`;
  }
  for (const [i, step] of value.entries()) {
    const problem = step === null
      ? `${where}[${i}] must be an object: current value is null`
      : stepProblem(step, `${where}[${i}]`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** A pattern is { String: text } or { Regex: text }; the library compiles it. */
function patternProblem(value: unknown, where: string): string | undefined {
  const { String: text, Regex: regex } = (value ?? {}) as Json;
  const pattern = text ?? regex;
  return typeof pattern === "string" && pattern !== "" &&
      (text === undefined || regex === undefined)
    ? undefined
    : `${where} must have a text, either String or Regex: current value is ${
      excerpt(value)
    }`;
}
