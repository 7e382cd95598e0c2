// The functions of @std/assert that this suite calls, with their documented
// behavior. deno.json maps "@std/assert" here.

import { diff, show } from "./diff.ts";
import { equal } from "./equal.ts";

export { equal };

// deno-lint-ignore no-explicit-any
type Constructor<T> = abstract new (...args: any[]) => T;

/** Thrown when an assertion fails. */
export class AssertionError extends Error {
  /**
   * @param message What failed.
   * @param options As of Error: a cause.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

/**
 * Asserts that a value is truthy.
 *
 * @throws {AssertionError} If it is falsy.
 */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/**
 * Asserts that a value is falsy.
 *
 * @throws {AssertionError} If it is truthy.
 */
export function assertFalse(expr: unknown, msg = ""): void {
  if (expr) throw new AssertionError(msg);
}

/**
 * Asserts deep equality.
 *
 * @throws {AssertionError} With a diff, if the values are not equal.
 */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) {
    fail("Values are not equal", msg, `\n\n${diff(actual, expected)}`);
  }
}

/**
 * Asserts that two values are not deeply equal.
 *
 * @throws {AssertionError} If they are.
 */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) {
    fail(`Expected actual: ${show(actual)} not to be: ${show(expected)}`, msg);
  }
}

/**
 * Asserts that two numbers are equal within a tolerance.
 *
 * @param tolerance Largest absolute difference. @default 1e-7 of |expected|
 * @throws {AssertionError} If they differ by more, or one of them is NaN.
 */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const delta = Math.abs(expected - actual);
  const allowed = tolerance ??
    (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  // Negated, so that NaN fails.
  if (!(delta <= allowed)) {
    fail(
      `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${allowed}"`,
      msg,
    );
  }
}

/**
 * Asserts `actual > expected`.
 *
 * @throws {AssertionError} Otherwise.
 */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) {
    fail(`Expect ${show(actual)} > ${show(expected)}`, msg);
  }
}

/**
 * Asserts `actual < expected`.
 *
 * @throws {AssertionError} Otherwise.
 */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) {
    fail(`Expect ${show(actual)} < ${show(expected)}`, msg);
  }
}

/**
 * Asserts that a value is neither null nor undefined.
 *
 * @throws {AssertionError} If it is.
 */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    fail(`Expected actual: "${actual}" to not be null or undefined`, msg);
  }
}

/**
 * Asserts that a string contains another.
 *
 * @throws {AssertionError} If it does not.
 */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (!actual.includes(expected)) {
    fail(`Expected actual: "${actual}" to contain: "${expected}"`, msg);
  }
}

/**
 * Asserts that a string matches a regular expression.
 *
 * @throws {AssertionError} If it does not.
 */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (!new RegExp(expected.source, expected.flags).test(actual)) {
    fail(`Expected actual: "${actual}" to match: "${expected}"`, msg);
  }
}

/**
 * Asserts that a value is an instance of a class.
 *
 * @throws {AssertionError} If it is not.
 */
export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Constructor<T>,
  msg?: string,
): asserts actual is T {
  if (actual instanceof expectedType) return;
  fail(
    `Expected object to be an instance of "${expectedType.name}" but was ${
      typeName(actual)
    }`,
    msg,
  );
}

/**
 * Asserts that a function throws.
 *
 * @param fn What to call.
 * @param ErrorClass The class that the thrown error must be of.
 * @param msgIncludes What its message must contain.
 * @param msg What the assertion is about.
 * @returns What was thrown.
 * @throws {AssertionError} If nothing, or something else, is thrown.
 */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const about = typeof classOrMsg === "string" ? classOrMsg : msg;
  const ErrorClass = typeof classOrMsg === "string" ? undefined : classOrMsg;
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
    return checkThrown(thrown, ErrorClass, msgIncludes, about);
  }
  fail("Expected function to throw", about);
}

/**
 * Asserts that a function's promise rejects.
 *
 * @param fn What to call; it has to return a promise.
 * @param ErrorClass The class that the error must be of.
 * @param msgIncludes What its message must contain.
 * @param msg What the assertion is about.
 * @returns The reason of the rejection.
 * @throws {AssertionError} If it resolves, throws synchronously or rejects with something else.
 */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
export function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: Constructor<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const about = typeof classOrMsg === "string" ? classOrMsg : msg;
  const ErrorClass = typeof classOrMsg === "string" ? undefined : classOrMsg;
  let pending: PromiseLike<unknown>;
  try {
    pending = fn();
  } catch (error) {
    fail("Function throws when expected to reject", about, "", error);
  }
  if (typeof pending?.then !== "function") {
    fail("Function did not return a promise when expected to reject", about);
  }
  try {
    await pending;
  } catch (error) {
    return checkThrown(error, ErrorClass, msgIncludes, about);
  }
  fail("Expected function to reject", about);
}

function checkThrown(
  thrown: unknown,
  ErrorClass: Constructor<Error> | undefined,
  msgIncludes: string | undefined,
  about: string | undefined,
): unknown {
  if (ErrorClass === undefined) return thrown;
  if (!(thrown instanceof Error)) {
    fail("A non-Error object was thrown or rejected", about);
  }
  if (!(thrown instanceof ErrorClass)) {
    fail(
      `Expected error to be instance of "${ErrorClass.name}", but was ${
        typeName(thrown)
      }`,
      about,
      "",
      thrown,
    );
  }
  if (msgIncludes !== undefined && !thrown.message.includes(msgIncludes)) {
    fail(
      `Expected error message to include ${
        JSON.stringify(msgIncludes)
      }, but got ${JSON.stringify(thrown.message)}`,
      about,
      "",
      thrown,
    );
  }
  return thrown;
}

function typeName(value: unknown): string {
  if (value === null) return '"null"';
  if (typeof value !== "object") return `"${typeof value}"`;
  const name = value.constructor?.name;
  return name ? `"${name}"` : '"Object"';
}

function fail(
  what: string,
  about: string | undefined,
  details = "",
  cause?: unknown,
): never {
  const suffix = about ? `: ${about}` : details && ".";
  throw new AssertionError(
    `${what}${suffix}${details}`,
    cause === undefined ? {} : { cause },
  );
}
