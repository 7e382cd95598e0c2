// Every key of an experiment file as tables, from the schema that checks it.

import { METHODS } from "../conversion/methods/mod.ts";
import { experimentJsonSchema, VARIANT_KEYS } from "../experiment/schema.ts";
import { escapeMarkdown } from "../report/format.ts";
import { codeSpan } from "../report/summary.ts";
import { type DocCell, docTable } from "./doc_table.ts";
import {
  allowedText,
  methodOptions,
  type ValueSchema,
} from "./method_options.ts";

/** What of JSON Schema an experiment file uses. */
interface KeySchema extends ValueSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, KeySchema>>;
  readonly required?: readonly string[];
  readonly items?: KeySchema;
  readonly anyOf?: readonly KeySchema[];
  readonly oneOf?: readonly KeySchema[];
}

/** Longer lists of values stand below their table. */
const VALUES_IN_A_CELL = 4;

/**
 * A headed table for each object of an experiment file.
 *
 * @returns Markdown.
 */
export function experimentKeys(): string {
  const schema = experimentJsonSchema(METHODS) as KeySchema;
  return sectionsOf("", schema).join("\n\n");
}

/**
 * A headed table of options for each method.
 *
 * @returns Markdown.
 */
export function methodReference(): string {
  return METHODS.map((method) => {
    const options = methodOptions(method);
    const head = [
      `### \`method: ${method.name}\``,
      escapeMarkdown(`${method.summary} (${method.source}).`),
    ];
    if (options.length === 0) return [...head, "No options."].join("\n\n");
    return [
      ...head,
      docTable(
        ["Option", "Allowed", "Default", "Meaning"],
        options.map(({ name, allowed, fallback, meaning }) => [
          { code: name },
          allowed,
          fallback === undefined ? "required" : { code: String(fallback) },
          meaning,
        ]),
      ),
    ].join("\n\n");
  }).join("\n\n");
}

function sectionsOf(path: string, schema: KeySchema): string[] {
  const properties = Object.entries(schema.properties ?? {});
  const inner = properties.flatMap(([key, property]) => {
    const found = objectOf(property);
    if (found === undefined) return [];
    const name = `${path === "" ? "" : `${path}.`}${key}${
      found.isList ? "[]" : ""
    }`;
    return [{ key, name, schema: found.schema }];
  });
  const rows = properties.map(([key, property]): DocCell[] => {
    const below = inner.find((one) => one.key === key);
    return [
      { code: key },
      below === undefined ? allowed(property) : {
        markdown: `${objectOf(property)!.others}[${codeSpan(below.name)}](#${
          anchorOf(below.name)
        })`,
      },
      fallback(key, property, schema),
      property.description ?? "",
    ];
  });
  return [
    `### ${path === "" ? "Top level" : codeSpan(path)}`,
    docTable(["Key", "Allowed", "Default", "Meaning"], rows),
    ...properties.flatMap(([key, property]) => longList(key, property)),
    ...path === "variants[]"
      ? ["Beside these, the options of its [method](#methods)."]
      : [],
    ...inner.flatMap(({ name, schema }) => sectionsOf(name, schema)),
  ];
}

/** The object that a value is, a list is of, or one alternative is. */
function objectOf(
  { properties, items, anyOf, ...schema }: KeySchema,
): { schema: KeySchema; isList: boolean; others: string } | undefined {
  if (properties !== undefined) {
    return Object.keys(properties).length === 0
      ? undefined
      : { schema: { ...schema, properties }, isList: false, others: "" };
  }
  const object = anyOf?.find((one) => one.properties !== undefined);
  if (object !== undefined) {
    const others = anyOf!.filter((one) => one !== object)
      .map((one) => codeSpan(allowedText(one))).join(", ");
    return { schema: object, isList: false, others: `${others}, or ` };
  }
  const variants = items?.oneOf;
  if (variants !== undefined) {
    return { schema: commonOf(variants), isList: true, others: "list of " };
  }
  return items?.properties === undefined
    ? undefined
    : { schema: items, isList: true, others: "list of " };
}

/** What variants of all methods may have; matrix, include and exclude hold a method's options. */
function commonOf(variants: readonly KeySchema[]): KeySchema {
  const widest = variants.at(-1)!;
  const names = variants.map((one) => one.properties!["method"]!.const);
  return {
    required: ["method"],
    properties: Object.fromEntries(
      VARIANT_KEYS.map((key) => {
        const { description } = widest.properties![key]!;
        const about: Partial<Record<string, KeySchema>> = {
          method: { enum: names, description: "How the model is converted" },
          matrix: {
            type: "lists of options' values",
            description: description!,
          },
          include: { type: "list of options", description: description! },
          exclude: { type: "list of options", description: description! },
        };
        return [key, about[key] ?? widest.properties![key]!];
      }),
    ),
  };
}

function allowed(property: KeySchema): DocCell {
  const values = valuesOf(property);
  if (values === undefined) return allowedText(property);
  const list = property.items === undefined ? "" : "list of ";
  return values.length > VALUES_IN_A_CELL
    ? `${list}names, see below`
    : { markdown: list + values.map(codeSpan).join(", ") };
}

function longList(key: string, property: KeySchema): string[] {
  const values = valuesOf(property) ?? [];
  return values.length <= VALUES_IN_A_CELL
    ? []
    : [`Names of ${codeSpan(key)}: ${values.map(codeSpan).join(", ")}.`];
}

function valuesOf({ enum: own, items }: KeySchema): string[] | undefined {
  const values = own ?? items?.enum;
  return Array.isArray(values) ? values.map(String) : undefined;
}

function fallback(
  key: string,
  property: KeySchema,
  { required = [] }: KeySchema,
): DocCell {
  const { default: value } = property;
  if (Array.isArray(value)) {
    return value.length === 0 ? "none" : { code: `[${value.join(", ")}]` };
  }
  if (value !== undefined && typeof value !== "object") {
    return { code: String(value) };
  }
  return required.includes(key) ? "required" : "–";
}

/** As GitHub makes it of a heading: letters, digits and hyphens stay. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}
