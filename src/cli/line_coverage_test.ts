import { assertEquals } from "@std/assert";
import { lineShare, readLcov } from "./line_coverage.ts";

const LCOV = `SF:/repo/src/b.ts
FN:1,f
FNDA:0,f
DA:1,5
DA:2,0
DA:3,0
LH:1
LF:3
end_of_record
SF:/repo/src/types.ts
LH:0
LF:0
end_of_record
SF:/repo/src/a.ts
DA:1,1
end_of_record
SF:/repo/src/b.ts
DA:2,3
DA:1,0
end_of_record
`;

Deno.test("readLcov() counts each line of a file once, whoever has run it", () => {
  const files = readLcov(LCOV, "/repo/");
  assertEquals(files, [
    { path: "src/a.ts", lines: 1, covered: 1 },
    { path: "src/b.ts", lines: 3, covered: 2 },
  ]);
  assertEquals(lineShare(files), 3 / 4);
});

Deno.test("lineShare() of nothing is whole", () => {
  assertEquals(lineShare(readLcov("", "/repo/")), 1);
});
