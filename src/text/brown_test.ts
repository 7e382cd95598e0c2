import { assert, assertEquals } from "@std/assert";
import { brownFiles, detokenizeBrown, openBrown } from "./brown.ts";
import { assertDisjoint } from "./splits.ts";

Deno.test("brownFiles() splits all 500 files, every fifth of a genre to test", () => {
  const test = brownFiles("test");
  const calibration = brownFiles("calibration");
  assertEquals(new Set([...test, ...calibration]).size, 500);
  assertEquals(test.length + calibration.length, 500);
  assertEquals(test.slice(0, 2), ["ca05", "ca10"]);
  assert(test.every((file) => Number(file.slice(2)) % 5 === 0));
  const genres = new Set(calibration.map((file) => file[1]));
  assertEquals(new Set(test.map((file) => file[1])), genres);
});

function sentence(words: string): string {
  const tagged = words.split(" ").map((word) => `${word}/x`).join(" ");
  return detokenizeBrown(tagged).join("|");
}

Deno.test("detokenizeBrown() sets spaces as print does", () => {
  const cases: [string, string][] = [
    ["He said , yes .", "He said, yes."],
    ["It is ( so it seems ) true .", "It is (so it seems) true."],
    ["Come ; ; go : : stay ! !", "Come; go: stay!"],
    ["Why ? ? Because .", "Why? Because."],
    ["type 1 ( ( fig. 3 ) )", "type 1 (fig. 3)"],
    ["in World War 2 , , the", "in World War 2, the"],
    ["by Ivan Allen Jr. .", "by Ivan Allen Jr."],
    ["one -- two", "one -- two"],
    ["C. & O. - B. & O.", "C. & O. - B. & O."],
    ["for 30 - 40 minutes", "for 30-40 minutes"],
    ["10 mg. / l. of it", "10 mg./l. of it"],
    ["you don't get 'em", "you don't get 'em"],
  ];
  for (const [words, expected] of cases) {
    assertEquals(sentence(words), expected);
  }
});

Deno.test("detokenizeBrown() turns quotes around and takes stops in", () => {
  const cases: [string, string][] = [
    ["produced `` no evidence '' that", 'produced "no evidence" that'],
    ["`` Yes '' , he said .", '"Yes," he said.'],
    ["He said `` go '' .", 'He said "go."'],
    ["`` Why '' ? ? He sat .", '"Why?" He sat.'],
    ["`` Why ? ? '' He sat .", '"Why?" He sat.'],
    ["`` He died . '' .", '"He died."'],
    ["`` one '' ; ; two", '"one"; two'],
    ["asked if ' pro ' wins", "asked if 'pro' wins"],
    // A single quote just before the double one: the stop goes between.
    ["`` I said : ' Go ' '' .", "\"I said: 'Go'.\""],
    ["is 10'' '' tall", 'is 10" tall'],
  ];
  for (const [words, expected] of cases) {
    assertEquals(sentence(words), expected);
  }
});

Deno.test("detokenizeBrown() cuts the tag at the last slash and reads codes", () => {
  assertEquals(detokenizeBrown("and/or/cc 1/2/cd f{t}/nn at/in 43*0C./nn"), [
    "and/or 1/2 f(t) at 43°C.",
  ]);
  assertEquals(detokenizeBrown("secants/nns of/in **zg/nn"), [
    "secants of Af",
  ]);
});

Deno.test("detokenizeBrown() makes rows of paragraphs and headings", () => {
  const tagged = "\n\n\tOne/at ./.\nTwo/at ./.\n\n\n" +
    "Merger/nn-hl proposed/vbn-hl \nHowever/wrb ,/, yes/rb ./.\n\n";
  assertEquals(detokenizeBrown(tagged), [
    "One. Two.",
    "Merger proposed",
    "However, yes.",
  ]);
});

Deno.test("openBrown() gives two disjoint texts free of tags and quirks", async () => {
  const calibration = await openBrown("calibration");
  const test = await openBrown("test");
  assertDisjoint(calibration, test);
  const characters = calibration.text.length + test.text.length;
  assert(characters > 5.9e6 && characters < 6.1e6, `${characters} characters`);
  for (const text of [calibration, test]) {
    const odd = text.rows.find((row) =>
      /``|''|;;|!!|\?\?|\/(nn|at|jj|vb)\b|[{}]|^\s|\s$| {2}/.test(row)
    );
    assertEquals(odd, undefined);
    assert(text.rows.every((row) => row.length > 0));
  }
});
