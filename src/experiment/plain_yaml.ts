// YAML 1.2 of values alone. What experiment files never need is refused before it
// costs anything or changes a meaning in silence: tags, other versions of YAML
// (1.1 has merge keys, and reads `no` as false), keys that are not text, deep
// nesting, control characters, more text than the largest matrix written out.

import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from "yaml";
import { excerpt, oneLine } from "../base/excerpt.ts";

/** 2,000 variants written out take 300 KB. */
const MAX_CHARACTERS = 2 ** 20;

/** An experiment nests 6 deep. The parser takes more than linear time by depth. */
const MAX_DEPTH = 24;

/** Scalars, brackets, indicators, line ends; 2,000 variants written out take 60,000. */
const MAX_TOKENS = 100_000;

/** Indentation and indicators before a line's first scalar. */
const MAX_INDENT = 80;

/** Of aliases: what an anchor costs when it is written out. */
const MAX_ALIASES = 100;

/** YAML's own limit of characters, less the marks of C1. */
// deno-lint-ignore no-control-regex -- these are what a text does not hold
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\p{Cs}/u;

/** A thing that is wrong, by its place in the text. */
export interface YamlProblem {
  readonly offset: number;
  readonly message: string;
}

/** A parsed text, or what is wrong with it. */
export interface PlainYaml {
  readonly document: Document;
  readonly lines: LineCounter;
  /** Absent where there are problems. */
  readonly value?: unknown;
  readonly problems: readonly YamlProblem[];
}

/**
 * Parses YAML that holds nothing but values.
 *
 * @param text The YAML.
 * @returns The document and its value, or all problems that were found.
 */
export function parsePlainYaml(text: string): PlainYaml {
  const lines = new LineCounter();
  const early = costProblem(text);
  if (early !== undefined) {
    return {
      document: parseDocument("", { lineCounter: new LineCounter() }),
      lines: lineStarts(lines, text, early.offset),
      problems: [early],
    };
  }
  const document = parseDocument(text, {
    version: "1.2",
    lineCounter: lines,
    prettyErrors: false,
    // Its own check compares every pair of keys.
    uniqueKeys: false,
    logLevel: "error",
  });
  const problems = [
    ...document.errors.map(({ pos, message }) => ({
      offset: pos[0],
      message: oneLine(message),
    })),
    ...foreignParts(document),
  ];
  if (problems.length > 0) return { document, lines, problems };
  try {
    const value = document.toJS({ maxAliasCount: MAX_ALIASES });
    return { document, lines, value, problems };
  } catch (error) {
    const message = oneLine((error as Error).message);
    return { document, lines, problems: [{ offset: 0, message }] };
  }
}

/** What would cost time or memory before it is understood. */
function costProblem(text: string): YamlProblem | undefined {
  if (text.length > MAX_CHARACTERS) {
    return {
      offset: 0,
      message:
        `the file has ${text.length} characters; allowed: at most ${MAX_CHARACTERS}`,
    };
  }
  const control = CONTROL.exec(text);
  if (control !== null) {
    return {
      offset: control.index,
      message: controlMessage(control[0]),
    };
  }
  const line = LONG_INDENT.exec(text);
  if (line !== null) {
    return {
      offset: line.index,
      message:
        `found more than ${MAX_INDENT} columns of indentation; allowed: at most ${MAX_INDENT}`,
    };
  }
  return sizeProblem(text);
}

function controlMessage(character: string): string {
  return `found the control character ${excerpt(character)}; allowed: text`;
}

const LONG_INDENT = new RegExp(`^[-?: \\t]{${MAX_INDENT}}`, "m");

/** Counts tokens, open brackets, and indicators of block collections in one line. */
function sizeProblem(text: string): YamlProblem | undefined {
  let offset = 0;
  let tokens = 0;
  let brackets = 0;
  let indicators = 0;
  for (const token of new Lexer().lex(text)) {
    // Marks of the lexer that stand for no character: document, flow error, scalar.
    if (token === "\x02" || token === "\x18" || token === "\x1f") continue;
    if (token === "[" || token === "{") brackets++;
    if (token === "]" || token === "}") brackets = Math.max(0, brackets - 1);
    // Inside brackets indicators do not nest.
    if (brackets === 0 && /^[-?:]$/.test(token)) indicators++;
    if (token.startsWith("\n") || token.startsWith("\r")) indicators = 0;
    if (!/^[ \t]/.test(token) && ++tokens > MAX_TOKENS) {
      return {
        offset,
        message:
          `found more than ${MAX_TOKENS} scalars, signs and line ends; allowed: at most ${MAX_TOKENS}`,
      };
    }
    if (brackets > MAX_DEPTH || indicators > MAX_DEPTH) {
      return {
        offset,
        message:
          `found more than ${MAX_DEPTH} levels of nesting; allowed: at most ${MAX_DEPTH}`,
      };
    }
    offset += token.length;
  }
  return undefined;
}

/** What the parser accepts and an experiment does not need. */
function foreignParts(document: Document): YamlProblem[] {
  const problems: YamlProblem[] = [];
  const say = (node: unknown, message: string) =>
    problems.push({ offset: (node as Node)?.range?.[0] ?? 0, message });
  const version = document.directives?.yaml;
  if (version?.explicit === true && version.version !== "1.2") {
    say(
      undefined,
      `found the directive %YAML ${version.version}; allowed: 1.2`,
    );
  }
  const anchors = new Set<string>();
  // One visitor of all nodes: one of a kind of its own would take its nodes from it.
  visit(document, {
    Node(_, node, path) {
      if (node.tag !== undefined) {
        const tag = excerpt(node.tag);
        say(node, `found the tag ${tag}; allowed: values without tags`);
      }
      if ("anchor" in node && node.anchor !== undefined) {
        anchors.add(node.anchor);
      }
      if (isAlias(node)) {
        if (!anchors.has(node.source)) {
          say(node, `*${node.source} stands for nothing before it`);
        }
        const open = path.some((parent) =>
          isCollection(parent) && parent.anchor === node.source
        );
        if (open) say(node, `*${node.source} is inside of what it stands for`);
      } else if (isScalar(node) && typeof node.value === "string") {
        const control = CONTROL.exec(node.value);
        // An escape makes what the text itself may not hold.
        if (control !== null) say(node, controlMessage(control[0]));
      } else if (isMap(node)) checkKeys(node, say);
    },
  });
  return problems;
}

/** Keys are text, and none is there twice, as a number and as text either. */
function checkKeys(
  map: YAMLMap,
  say: (node: unknown, message: string) => void,
): void {
  const seen = new Set<string>();
  for (const { key } of map.items) {
    if (!isScalar(key) || key.value === null) {
      say(key ?? map, "a key must be text");
      continue;
    }
    const name = String(key.value);
    if (seen.has(name)) {
      say(key, `Map keys must be unique: found ${excerpt(name)} again`);
    }
    seen.add(name);
  }
}

/** Line starts up to an offset, for a text that was not parsed. */
function lineStarts(
  lines: LineCounter,
  text: string,
  offset: number,
): LineCounter {
  lines.addNewLine(0);
  for (let at = text.indexOf("\n"); at >= 0 && at < offset;) {
    lines.addNewLine(at + 1);
    at = text.indexOf("\n", at + 1);
  }
  return lines;
}
