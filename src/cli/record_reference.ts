// Fields of records as tables, from the types that the code uses: `deno doc`
// reads their declarations and what is said of each field.

import { fileURLToPath } from "node:url";
import { escapeMarkdown } from "../report/format.ts";
import { codeSpan } from "../report/summary.ts";
import { type DocCell, docTable } from "./doc_table.ts";

/** A type as `deno doc --json` has it; only what records use. */
interface DocType {
  readonly repr?: string;
  readonly kind: string;
  readonly value?: unknown;
}

interface DocField {
  readonly name: string;
  readonly optional?: boolean;
  readonly jsDoc?: { readonly doc?: string };
  readonly tsType: DocType;
}

interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: { readonly doc?: string };
    readonly def: {
      readonly properties?: readonly DocField[];
      /** Of an alias. */
      readonly tsType?: DocType;
    };
  }[];
}

/** A field of a record. */
export interface RecordField {
  /** Dotted: "model.id", "continuations[].prompt". */
  readonly name: string;
  readonly type: string;
  readonly isOptional: boolean;
  readonly meaning: string;
}

/** Where an interface is declared. */
export interface Declared {
  /** Relative to src/. */
  readonly file: string;
  readonly name: string;
}

/**
 * A headed table for each interface.
 *
 * @param interfaces In order; `title` is Markdown.
 * @returns Markdown.
 */
export async function recordTables(
  interfaces: readonly (Declared & { readonly title: string })[],
): Promise<string> {
  const sections = [];
  for (const { title, ...declared } of interfaces) {
    const { about, fields } = await fieldsOf(declared);
    sections.push(
      `### ${title}`,
      ...about === "" ? [] : [escapeMarkdown(about)],
      docTable(
        ["Field", "Type", "Meaning"],
        fields.map(({ name, type, isOptional, meaning }): DocCell[] => [
          { markdown: `${codeSpan(name)}${isOptional ? " (optional)" : ""}` },
          { code: type },
          meaning,
        ]),
      ),
    );
  }
  return sections.join("\n\n");
}

/**
 * The fields of an interface, those of objects within it too.
 *
 * @param declared The interface.
 * @throws {Error} If there is none of that name.
 */
export async function fieldsOf(
  { file, name }: Declared,
): Promise<{ readonly about: string; readonly fields: RecordField[] }> {
  const symbols = await symbolsOf(file);
  const declaration = symbols.find((one) => one.name === name)
    ?.declarations[0];
  if (declaration?.def.properties === undefined) {
    throw new Error(`Cannot document ${name} as src/${file} declares none`);
  }
  return {
    about: oneLine(declaration.jsDoc?.doc),
    fields: declaration.def.properties.flatMap((field) =>
      flat("", field, symbols)
    ),
  };
}

const documented = new Map<string, Promise<DocSymbol[]>>();

function symbolsOf(file: string): Promise<DocSymbol[]> {
  const known = documented.get(file) ?? readSymbols(file);
  documented.set(file, known);
  return known;
}

async function readSymbols(file: string): Promise<DocSymbol[]> {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--quiet", "--json", "--private", path],
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(
      `Cannot document src/${file}: ${new TextDecoder().decode(stderr).trim()}`,
    );
  }
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: DocSymbol[] }>;
  };
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

function flat(
  path: string,
  field: DocField,
  symbols: readonly DocSymbol[],
): RecordField[] {
  const { type, inner, isList } = shapeOf(field.tsType, symbols);
  const name = `${path}${field.name}`;
  const own: RecordField = {
    name,
    type: inner === undefined ? type : isList ? "object[]" : "object",
    isOptional: field.optional === true,
    meaning: oneLine(field.jsDoc?.doc),
  };
  const prefix = `${name}${isList ? "[]" : ""}.`;
  return [own, ...(inner ?? []).flatMap((one) => flat(prefix, one, symbols))];
}

/** A type in words, and the fields of an object that is written out within it. */
function shapeOf(
  type: DocType,
  symbols: readonly DocSymbol[],
): { type: string; inner?: readonly DocField[]; isList?: boolean } {
  const { kind, value, repr = "" } = type;
  switch (kind) {
    case "literal":
      return {
        type: (value as { kind: string }).kind === "string"
          ? JSON.stringify(repr)
          : repr,
      };
    case "typeOperator":
      return shapeOf((value as { tsType: DocType }).tsType, symbols);
    case "array": {
      const element = shapeOf(value as DocType, symbols);
      return { ...element, type: `${element.type}[]`, isList: true };
    }
    case "tuple":
      return {
        type: `[${
          (value as DocType[]).map((one) => shapeOf(one, symbols).type).join(
            ", ",
          )
        }]`,
      };
    case "union":
      return {
        type: (value as DocType[]).map((one) => shapeOf(one, symbols).type)
          .join(" | "),
      };
    case "typeLiteral":
      return {
        type: "object",
        inner: (value as { properties: readonly DocField[] }).properties,
      };
    case "typeRef": {
      const { typeParams } = value as { typeParams?: readonly DocType[] };
      return repr === "Readonly" && typeParams?.[0] !== undefined
        ? shapeOf(typeParams[0], symbols)
        : shapeOfName(repr, symbols);
    }
    case "indexedAccess":
      return { type: "string" };
    case "typeQuery":
      return { type: "number" };
    default:
      return { type: repr };
  }
}

/** Of a type that is named: an alias of literals is what it stands for, anything else an object. */
function shapeOfName(
  name: string,
  symbols: readonly DocSymbol[],
): { type: string } {
  const alias = symbols.find((one) => one.name === name)?.declarations[0];
  const { tsType } = alias?.def ?? {};
  return tsType?.kind === "union" || tsType?.kind === "indexedAccess"
    ? shapeOf(tsType, symbols)
    : { type: "object" };
}

function oneLine(text = ""): string {
  return text.trim().replace(/\s+/g, " ");
}
