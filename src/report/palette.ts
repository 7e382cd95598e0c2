// Colors by role. The seven series colors are Okabe and Ito's, which readers
// with any common color vision tell apart, darkened for a light page and
// lightened for a dark one to keep a contrast of at least 3 : 1.

/** The values of every color role in one theme. */
export type Palette = Readonly<Record<string, string>>;

/** Colors of both themes by role. */
export const PALETTES: Readonly<Record<"light" | "dark", Palette>> = {
  light: {
    page: "#fdfcfa",
    ink: "#1f2328",
    muted: "#626870",
    rule: "#d9d6cf",
    grid: "#ebe8e2",
    c0: "#0068ab",
    c1: "#c94f00",
    c2: "#00825f",
    c3: "#a4478a",
    c4: "#b07800",
    c5: "#2f93d1",
    c6: "#6d7420",
    bad: "#b3261e",
  },
  dark: {
    page: "#15181c",
    ink: "#e6e4df",
    muted: "#9aa1a9",
    rule: "#353a41",
    grid: "#262b31",
    c0: "#5fa8e8",
    c1: "#f0803c",
    c2: "#3fc49a",
    c3: "#dc90c4",
    c4: "#e6b043",
    c5: "#98d3f7",
    c6: "#b8c160",
    bad: "#ff8a80",
  },
};
