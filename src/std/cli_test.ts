import { assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli";

Deno.test("parseArgs() reads values behind = and behind a space", () => {
  assertEquals(parseArgs(["--out=a=b", "--limit", "3", "file"]), {
    out: "a=b",
    limit: 3,
    _: ["file"],
  });
});

Deno.test("parseArgs() takes an option without a value as true", () => {
  assertEquals(parseArgs(["--resume", "--force"]), {
    resume: true,
    force: true,
    _: [],
  });
});

Deno.test("parseArgs() keeps string options as strings", () => {
  const args = parseArgs(["--id", "007", "--name"], { string: ["id", "name"] });
  assertEquals(args, { id: "007", name: "", _: [] });
  const id: string | undefined = args.id;
  assertEquals(id, "007");
});

Deno.test("parseArgs() leaves a string option that is not given undefined", () => {
  const args = parseArgs([], { string: "out" });
  assertEquals(args.out, undefined);
  assertEquals("out" in args, false);
});

Deno.test("parseArgs() does not take a boolean's next argument as its value", () => {
  assertEquals(
    parseArgs(["-v", "file", "--dry-run=false"], {
      boolean: ["v", "dry-run"],
    }),
    { v: true, "dry-run": false, _: ["file"] },
  );
});

Deno.test("parseArgs() takes true and false behind a boolean as its value", () => {
  assertEquals(parseArgs(["--color", "false", "x"], { boolean: "color" }), {
    color: false,
    _: ["x"],
  });
});

Deno.test("parseArgs() sets booleans that are not given to false", () => {
  assertEquals(parseArgs([], { boolean: ["quiet"] }), { quiet: false, _: [] });
});

Deno.test("parseArgs() negates only what is negatable", () => {
  const options = {
    boolean: ["color", "no-emoji"],
    negatable: ["color"],
    default: { color: true },
  } as const;
  assertEquals(parseArgs(["--no-color", "--no-emoji"], options), {
    color: false,
    "no-emoji": true,
    _: [],
  });
  assertEquals(parseArgs([], options).color, true);
});

Deno.test("parseArgs() collects repeated options, and else keeps the last", () => {
  const args = ["--set", "a=1", "--set", "b=2", "--out", "x", "--out", "y"];
  const options = { string: ["set", "out"], collect: ["set"] } as const;
  assertEquals(parseArgs(args, options), {
    set: ["a=1", "b=2"],
    out: "y",
    _: [],
  });
  assertEquals(parseArgs([], options).set, []);
});

Deno.test("parseArgs() sets all aliases of an option", () => {
  const alias = { help: ["h", "?"] };
  const expected = { help: true, h: true, "?": true, _: [] };
  assertEquals(parseArgs(["-h"], { boolean: "help", alias }), expected);
  assertEquals(parseArgs(["--help"], { boolean: "help", alias }), expected);
});

Deno.test("parseArgs() prefers a given alias to the default", () => {
  const options = { string: "out", alias: { out: "o" }, default: { out: "a" } };
  assertEquals(parseArgs(["-o", "b"], options).out, "b");
  assertEquals(parseArgs([], options), { out: "a", o: "a", _: [] });
});

Deno.test("parseArgs() reads grouped letters and a number glued to a letter", () => {
  assertEquals(parseArgs(["-abc", "-n5", "-o=file"]), {
    a: true,
    b: true,
    c: true,
    n: 5,
    o: "file",
    _: [],
  });
});

Deno.test("parseArgs() puts what follows -- in _, or in -- where asked", () => {
  assertEquals(parseArgs(["--a", "1", "--", "--b", "2"]), {
    a: 1,
    _: ["--b", "2"],
  });
  assertEquals(parseArgs(["x", "--", "--b"], { "--": true }), {
    _: ["x"],
    "--": ["--b"],
  });
});

Deno.test("parseArgs() stops at the first positional argument with stopEarly", () => {
  assertEquals(parseArgs(["--a", "--", "--c"], { stopEarly: true }), {
    a: true,
    _: ["--c"],
  });
  assertEquals(
    parseArgs(["-v", "run", "-v", "--x"], { stopEarly: true, boolean: "v" }),
    { v: true, _: ["run", "-v", "--x"] },
  );
});

Deno.test("parseArgs() asks unknown() about what no option names", () => {
  const seen: unknown[] = [];
  const args = parseArgs(["--typo=1", "--out", "x", "file"], {
    string: "out",
    unknown: (arg, key, value) => {
      seen.push([arg, key, value]);
      return key === undefined;
    },
  });
  assertEquals(seen, [["--typo=1", "typo", "1"], [
    "file",
    undefined,
    undefined,
  ]]);
  assertEquals(args, { out: "x", _: ["file"] });
});

Deno.test("parseArgs() takes a value that begins with - behind = only", () => {
  assertEquals(parseArgs(["--shift=-2", "--by", "-3"]), {
    shift: -2,
    by: true,
    3: true,
    _: [],
  });
});

Deno.test("parseArgs() keeps positional numbers as strings where _ is a string", () => {
  assertEquals(parseArgs(["1", "0x10"], { string: "_" }), { _: ["1", "0x10"] });
  assertEquals(parseArgs(["1", "0x10"]), { _: [1, 16] });
});

Deno.test("parseArgs() cannot reach a prototype", () => {
  const args = parseArgs(["--__proto__", "x", "--constructor=y"]);
  assertEquals(Object.getPrototypeOf(args), Object.prototype);
  assertEquals(({} as Record<string, unknown>)["x"], undefined);
  assertEquals(args.constructor as unknown, "y");
});
