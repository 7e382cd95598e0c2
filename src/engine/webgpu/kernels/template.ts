// WGSL with constants, conditions and unrolled loops, filled in before it is
// compiled: naga adds a counter and an exit test to every loop and unrolls none,
// so the inner loops of fast kernels are written out here.
//
//   $NAME, $(NAME * 4 + 1)     a constant, or integer arithmetic on constants
//   #if NAME / #if !NAME / #if A == B  ...  #else  ...  #end
//   #for i in 0..N  ...  #end  N and the bounds may be $(...)-like expressions

/** What a template is filled in with. Booleans are for conditions. */
export type Constants = Readonly<Record<string, number | string | boolean>>;

/** A line that opens a block, and where it stands. */
interface Block {
  readonly kind: "if" | "for";
  readonly line: number;
}

/** What each template was filled in to, by constants: plans ask for the same again and again. */
const filled = new Map<string, Map<string, string>>();

/**
 * Fills in a template.
 *
 * @param source The template.
 * @param constants Its constants.
 * @returns WGSL.
 * @throws {SyntaxError} If a name is unknown, a block does not end or an expression cannot be read; the line is named.
 */
export function fillTemplate(source: string, constants: Constants): string {
  let known = filled.get(source);
  if (known === undefined) filled.set(source, known = new Map());
  const key = JSON.stringify(constants);
  let text = known.get(key);
  if (text === undefined) {
    const lines = source.split("\n");
    text = fill(lines, 0, lines.length, constants).join("\n");
    known.set(key, text);
  }
  return text;
}

function fill(
  lines: readonly string[],
  start: number,
  end: number,
  constants: Constants,
): string[] {
  const out: string[] = [];
  for (let i = start; i < end; i++) {
    const line = lines[i]!;
    const [, keyword, rest = ""] = /^\s*#(if|for|else|end)\b\s*(.*?)\s*$/
      .exec(line) ?? [];
    if (keyword === undefined) {
      out.push(substitute(line, constants, i));
      continue;
    }
    if (keyword !== "if" && keyword !== "for") {
      throw fault(i, `#${keyword} without a block`);
    }
    const { middle, last } = blockEnd(lines, { kind: keyword, line: i }, end);
    if (keyword === "if") {
      const [from, to] = condition(rest, constants, i)
        ? [i + 1, middle ?? last]
        : [(middle ?? last) + 1, last];
      if (from < to) out.push(...fill(lines, from, to, constants));
    } else {
      const [, name, low, high] = /^(\w+) in (.+?)\.\.(.+)$/.exec(rest) ?? [];
      if (name === undefined || low === undefined || high === undefined) {
        throw fault(i, "#for must read `#for NAME in LOW..HIGH`");
      }
      const stop = evaluate(high, constants, i);
      for (let n = evaluate(low, constants, i); n < stop; n++) {
        out.push(...fill(lines, i + 1, last, { ...constants, [name]: n }));
      }
    }
    i = last;
  }
  return out;
}

function blockEnd(
  lines: readonly string[],
  block: Block,
  end: number,
): { middle: number | undefined; last: number } {
  let depth = 0;
  let middle: number | undefined;
  for (let i = block.line + 1; i < end; i++) {
    const keyword = /^\s*#(if|for|else|end)\b/.exec(lines[i]!)?.[1];
    if (keyword === "if" || keyword === "for") depth++;
    if (keyword === "else" && depth === 0 && block.kind === "if") middle = i;
    if (keyword === "end" && depth-- === 0) return { middle, last: i };
  }
  throw fault(block.line, `#${block.kind} without #end`);
}

function substitute(line: string, constants: Constants, at: number): string {
  return line.replace(
    /\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)|\$(\w+)/g,
    (_, expression: string | undefined, name: string | undefined) =>
      expression === undefined
        ? String(lookUp(name!, constants, at))
        : String(evaluate(expression, constants, at)),
  );
}

function lookUp(
  name: string,
  constants: Constants,
  at: number,
): number | string | boolean {
  const value = Object.hasOwn(constants, name) ? constants[name] : undefined;
  if (value === undefined) throw fault(at, `${name} is not a constant`);
  return value;
}

function condition(text: string, constants: Constants, at: number): boolean {
  const [, left, operator, right] = /^(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)$/
    .exec(text) ?? [];
  if (left === undefined || right === undefined) {
    const negated = text.startsWith("!");
    const value = lookUp(negated ? text.slice(1).trim() : text, constants, at);
    return Boolean(value) !== negated;
  }
  const word = Object.hasOwn(constants, left) ? constants[left] : undefined;
  if (typeof word === "string") {
    return (word === right) === (operator === "==");
  }
  const a = evaluate(left, constants, at);
  const b = evaluate(right, constants, at);
  switch (operator) {
    case "==":
      return a === b;
    case "!=":
      return a !== b;
    case "<=":
      return a <= b;
    case ">=":
      return a >= b;
    case "<":
      return a < b;
    default:
      return a > b;
  }
}

/** Integer arithmetic: + - * / % and parentheses; / rounds down. */
function evaluate(text: string, constants: Constants, at: number): number {
  const tokens = text.match(/\w+|[-+*/%()]/g) ?? [];
  let next = 0;
  const factor = (): number => {
    const token = tokens[next++];
    if (token === "(") {
      const value = sum();
      if (tokens[next++] !== ")") throw fault(at, `missing ) in ${text}`);
      return value;
    }
    if (token === "-") return -factor();
    if (token === undefined) throw fault(at, `${text} ends too early`);
    if (/^\d+$/.test(token)) return Number(token);
    const value = Number(lookUp(token, constants, at));
    if (Number.isInteger(value)) return value;
    throw fault(at, `${token} must be an integer: current value is ${value}`);
  };
  const product = (): number => {
    let value = factor();
    for (;;) {
      const operator = tokens[next];
      if (operator === "*") next++, value *= factor();
      else if (operator === "/") next++, value = Math.floor(value / factor());
      else if (operator === "%") next++, value %= factor();
      else return value;
    }
  };
  const sum = (): number => {
    let value = product();
    for (;;) {
      const operator = tokens[next];
      if (operator === "+") next++, value += product();
      else if (operator === "-") next++, value -= product();
      else return value;
    }
  };
  const value = sum();
  if (next !== tokens.length) throw fault(at, `cannot read ${text}`);
  return value;
}

function fault(line: number, message: string): SyntaxError {
  return new SyntaxError(
    `Cannot fill in line ${line + 1} of a kernel as ${message}`,
  );
}
