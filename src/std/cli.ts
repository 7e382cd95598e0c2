// parseArgs() of @std/cli with its documented behavior. deno.json maps
// "@std/cli" here. Keys with dots are plain keys: nothing here nests them.

/** Options of parseArgs(). */
export interface ParseOptions<
  S extends string = string,
  B extends string = string,
  C extends string = string,
> {
  /** Whether arguments after "--" go to the result's "--" instead of `_`. @default false */
  readonly "--"?: boolean;
  /** Names of each option's aliases, both ways. */
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Options that are true or false; false where not given. */
  readonly boolean?: B | readonly B[];
  /** Options whose values stay strings. */
  readonly string?: S | readonly S[];
  /** Options that may be given several times; always arrays, [] where not given. */
  readonly collect?: C | readonly C[];
  /** Booleans that `--no-NAME` sets to false. */
  readonly negatable?: string | readonly string[];
  /** Values of options that are not given. */
  readonly default?: Readonly<Record<string, unknown>>;
  /** Whether everything from the first positional argument on goes to `_`. @default false */
  readonly stopEarly?: boolean;
  /** Called with what no option names; false leaves it out of the result. */
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

// Names that the compiler knows: not "_", and nothing if they are only `string`.
type Known<K extends string> = string extends K ? never : Exclude<K, "_">;

/** Result of parseArgs(). */
export type Args<
  S extends string = never,
  B extends string = never,
  C extends string = never,
> =
  & { [K in Known<S>]: K extends C ? string[] : string | undefined }
  & { [K in Known<B>]: K extends C ? boolean[] : boolean }
  & { _: (string | number)[]; "--"?: string[] }
  & Record<string, unknown>;

/**
 * Parses command line arguments. `--key=value`, `--key value`, `--flag`,
 * `-k value`, `-n5`, `-abc` and `--no-flag` are understood; what looks like a number is
 * one unless its option is a string; the last of several values wins unless
 * the option is collected.
 *
 * @param args The arguments, for instance Deno.args.
 * @param options Which options there are.
 * @returns One property an option and alias, positional arguments in `_`.
 */
export function parseArgs<
  const S extends string = never,
  const B extends string = never,
  const C extends string = never,
>(
  args: readonly string[],
  options: ParseOptions<S, B, C> = {},
): Args<S, B, C> {
  const parser = new Parser(options);
  parser.parse(args);
  return parser.result() as Args<S, B, C>;
}

class Parser {
  readonly #options: ParseOptions;
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #collected: Set<string>;
  readonly #negatable: Set<string>;
  /** Every name to all names of the same option, itself included. */
  readonly #names = new Map<string, readonly string[]>();
  readonly #values = new Map<string, unknown>();
  readonly #positional: (string | number)[] = [];
  readonly #rest: string[] = [];

  constructor(options: ParseOptions) {
    this.#options = options;
    for (const [name, aliases] of Object.entries(options.alias ?? {})) {
      const names = [name, ...list(aliases)];
      for (const each of names) this.#names.set(each, names);
    }
    this.#booleans = this.#widen(options.boolean);
    this.#strings = this.#widen(options.string);
    this.#collected = this.#widen(options.collect);
    this.#negatable = this.#widen(options.negatable);
  }

  parse(args: readonly string[]): void {
    let end = args.indexOf("--");
    if (end < 0) end = args.length;
    const flags = args.slice(0, end);
    const rest = args.slice(end + 1);
    for (let i = 0; i < flags.length; i++) {
      const arg = flags[i]!;
      if (/^--./.test(arg)) i += this.#long(arg, flags[i + 1]);
      else if (/^-[^-]/.test(arg)) i += this.#short(arg, flags[i + 1]);
      else {
        if (this.#options.unknown?.(arg) !== false) {
          this.#positional.push(
            this.#strings.has("_") || !isNumber(arg) ? arg : Number(arg),
          );
        }
        if (this.#options.stopEarly) {
          this.#positional.push(...flags.slice(i + 1));
          break;
        }
      }
    }
    if (this.#options["--"]) this.#rest.push(...rest);
    else this.#positional.push(...rest);
  }

  result(): Record<string, unknown> {
    const defaults = Object.entries(this.#options.default ?? {});
    for (const [name, value] of defaults) {
      if (!this.#values.has(name)) this.#put(name, value);
    }
    for (const name of this.#collected) {
      if (!this.#values.has(name)) this.#values.set(name, []);
    }
    for (const name of this.#booleans) {
      if (!this.#values.has(name)) this.#values.set(name, false);
    }
    return {
      ...Object.fromEntries(this.#values),
      _: this.#positional,
      ...(this.#options["--"] ? { "--": this.#rest } : {}),
    };
  }

  /** Returns how many further arguments it used. */
  #long(arg: string, next: string | undefined): number {
    const [, key, value] = arg.match(/^--([^=]+)(?:=([\s\S]*))?$/) ?? [];
    if (key === undefined) return 0;
    if (value !== undefined) {
      this.#set(key, this.#booleans.has(key) ? value !== "false" : value, arg);
      return 0;
    }
    const negated = key.startsWith("no-") ? key.slice(3) : undefined;
    if (negated !== undefined && this.#negatable.has(negated)) {
      this.#set(negated, false, arg);
      return 0;
    }
    return this.#setWithNext(key, next, arg);
  }

  #short(arg: string, next: string | undefined): number {
    const letters = [...arg.slice(1)];
    for (let i = 0; i < letters.length - 1; i++) {
      const letter = letters[i]!;
      const tail = letters.slice(i + 1).join("");
      if (tail.startsWith("=")) {
        this.#set(letter, tail.slice(1), arg);
        return 0;
      }
      if (isNumber(tail)) {
        this.#set(letter, tail, arg);
        return 0;
      }
      this.#set(letter, this.#strings.has(letter) ? "" : true, arg);
    }
    return this.#setWithNext(letters.at(-1)!, next, arg);
  }

  #setWithNext(key: string, next: string | undefined, arg: string): number {
    if (this.#booleans.has(key)) {
      const isValue = next === "true" || next === "false";
      this.#set(key, next !== "false", arg);
      return isValue ? 1 : 0;
    }
    if (next !== undefined && !next.startsWith("-")) {
      this.#set(key, next, arg);
      return 1;
    }
    this.#set(key, this.#strings.has(key) ? "" : true, arg);
    return 0;
  }

  #set(key: string, raw: string | boolean, arg: string): void {
    const known = this.#booleans.has(key) || this.#strings.has(key) ||
      this.#names.has(key);
    if (!known && this.#options.unknown?.(arg, key, raw) === false) return;
    const value = typeof raw === "string" && !this.#strings.has(key) &&
        isNumber(raw)
      ? Number(raw)
      : raw;
    if (!this.#collected.has(key)) return this.#put(key, value);
    const before = this.#values.get(key) as unknown[] | undefined;
    this.#put(key, [...before ?? [], value]);
  }

  #put(key: string, value: unknown): void {
    for (const name of this.#names.get(key) ?? [key]) {
      this.#values.set(name, value);
    }
  }

  #widen(names: string | readonly string[] | undefined): Set<string> {
    return new Set(
      list(names).flatMap((name) => this.#names.get(name) ?? [name]),
    );
  }
}

function list(names: string | readonly string[] | undefined): string[] {
  return names === undefined ? [] : [names].flat() as string[];
}

function isNumber(text: string): boolean {
  return /^0x[0-9a-f]+$/i.test(text) ||
    /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?$/i.test(text);
}
