// Draws figures with plotly; runs in the page and, for SVG export, in a headless
// browser. Labels are placed here since only here the width is known.
// deno-lint-ignore-file no-unused-vars

/** Below this width labels do not fit and the key under the figure stands in. */
const NARROW = 600;
const LABEL_SIZE = 12;
const FONT =
  "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const measuring = document.createElement("canvas").getContext("2d");

function textWidth(text) {
  measuring.font = `${LABEL_SIZE}px ${FONT}`;
  const plain = text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(
    /&amp;/g,
    "&",
  );
  return measuring.measureText(plain).width;
}

/** Replaces color roles by a palette's values, in fields whose name ends in "color". */
function paint(value, palette) {
  if (Array.isArray(value)) return value.map((item) => paint(item, palette));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      /color$/.test(key) && Object.hasOwn(palette, item)
        ? palette[item]
        : paint(item, palette),
    ]),
  );
}

/**
 * A figure's plotly data and layout at a width.
 *
 * @param figure A Figure of figure.ts.
 * @param palette Colors by role.
 * @param width Pixels.
 * @returns data, layout, and whether the figure needs its key.
 */
function layOut(figure, palette, width) {
  const isNarrow = width < NARROW;
  const height = isNarrow ? Math.min(340, figure.height) : figure.height;
  const labels = isNarrow ? [] : figure.labels;
  const ends = labels.filter((label) => label.kind === "end");
  const categories = (figure.layout.yaxis.ticktext ?? []).map(textWidth);
  const longest = Math.max(0, ...categories);
  // Names of rows that would take half the width are set smaller instead.
  const isNamed = figure.layout.yaxis.title === undefined;
  const namesWidth = Math.min(longest + 14, width * 0.48);
  const namesSize = LABEL_SIZE * Math.min(1, (namesWidth - 14) / longest);
  const margin = {
    t: 12,
    b: 52,
    l: isNamed ? namesWidth : isNarrow ? 58 : 68,
    r: ends.length > 0
      ? Math.max(...ends.map((label) => textWidth(label.text))) + 24
      : 16,
  };
  const plot = {
    width: width - margin.l - margin.r,
    height: height - margin.t - margin.b,
  };
  const x = scale(figure.layout.xaxis, 0, plot.width);
  const y = scale(figure.layout.yaxis, plot.height, 0);
  const placed = [
    ...placeEnds(ends, y, plot),
    ...placePoints(
      labels.filter((label) => label.kind === "point"),
      markers(figure),
      x,
      y,
      plot,
    ),
  ];
  const base = {
    gridcolor: "grid",
    linecolor: "rule",
    zerolinecolor: "rule",
    tickcolor: "rule",
    ticks: "outside",
    ticklen: 4,
    showline: true,
    zeroline: false,
    fixedrange: true,
    automargin: false,
  };
  const dressed = (axis, standoff) => ({
    ...base,
    ...axis,
    ...(axis.title === undefined
      ? {}
      : { title: { ...axis.title, standoff, font: { size: 12.5 } } }),
  });
  const xaxis = dressed(thinTicks(figure.layout.xaxis, x), 10);
  xaxis.showgrid = false;
  const layout = {
    ...figure.layout,
    xaxis,
    yaxis: {
      ...dressed(figure.layout.yaxis, 8),
      showline: false,
      ticks: "",
      ...(isNamed ? { tickfont: { size: namesSize } } : {}),
    },
    width,
    height,
    margin,
    showlegend: false,
    hovermode: "closest",
    dragmode: false,
    paper_bgcolor: "page",
    plot_bgcolor: "page",
    font: { family: FONT, size: LABEL_SIZE, color: "muted" },
    hoverlabel: {
      bgcolor: "page",
      bordercolor: "rule",
      font: { family: FONT, size: LABEL_SIZE, color: "ink" },
    },
    annotations: placed.map((label) => ({
      xref: "paper",
      yref: "paper",
      xanchor: label.anchor,
      yanchor: "middle",
      x: label.left / plot.width,
      y: 1 - label.middle / plot.height,
      text: label.text,
      showarrow: false,
      align: "left",
      font: { size: LABEL_SIZE, color: label.color },
      // A point's name stands on the lines that pass behind it.
      ...(label.kind === "point" ? { bgcolor: "page", borderpad: 1 } : {}),
    })),
  };
  return {
    data: paint(figure.data, palette),
    layout: paint(layout, palette),
    needsKey: placed.length < figure.labels.length || figure.keyNeeded,
  };
}

/** Puts a key below a figure that stands alone, without the page's. */
function addKey(data, layout) {
  for (const trace of data) trace.showlegend = trace.name !== undefined;
  const named = data.filter((trace) => trace.showlegend);
  const column = Math.max(...named.map((trace) => textWidth(trace.name))) + 46;
  const columns = Math.max(
    1,
    Math.floor((layout.width - layout.margin.l - layout.margin.r) / column),
  );
  const extra = Math.ceil(named.length / columns) * 19 + 16;
  const plotHeight = layout.height - layout.margin.t - layout.margin.b;
  layout.showlegend = true;
  layout.legend = {
    orientation: "h",
    x: 0,
    xanchor: "left",
    y: -layout.margin.b / plotHeight,
    yanchor: "top",
    bgcolor: "rgba(0,0,0,0)",
    itemwidth: 30,
  };
  layout.height += extra;
  layout.margin = {
    ...layout.margin,
    b: layout.margin.b + extra,
    autoexpand: false,
  };
}

/** A function from data to pixels along one axis. */
function scale(axis, from, to) {
  const [low, high] = axis.range;
  return (value) =>
    from +
    (to - from) * ((axis.type === "log" ? Math.log10(value) : value) - low) /
      (high - low);
}

/** Leaves out the text of ticks that would run into the one before. */
function thinTicks(axis, x) {
  if (axis.tickvals === undefined) return axis;
  let edge = -Infinity;
  const ticktext = axis.tickvals.map((value, index) => {
    const text = axis.ticktext[index];
    const half = textWidth(text) / 2;
    if (x(value) - half < edge + 8) return "";
    edge = x(value) + half;
    return text;
  });
  return { ...axis, ticktext };
}

/** Right of the plot, pushed apart as little as needed. */
function placeEnds(labels, y, plot) {
  const line = LABEL_SIZE + 4;
  const sorted = labels.map((label) => ({
    ...label,
    middle: y(label.y),
    anchor: "left",
    left: plot.width + 10,
  }))
    .sort((a, b) => a.middle - b.middle);
  // Blocks of touching labels settle at the mean of where their members want to be.
  const blocks = [];
  for (const label of sorted) {
    blocks.push({ members: [label], wish: label.middle });
    for (;;) {
      const [above, below] = blocks.slice(-2);
      if (below === undefined) break;
      const gap = (above.members.length + below.members.length) / 2 * line;
      if (below.wish - above.wish >= gap) break;
      const members = [...above.members, ...below.members];
      const wish = members.reduce(
        (sum, member, index) =>
          sum + member.middle - (index - (members.length - 1) / 2) * line,
        0,
      ) / members.length;
      blocks.splice(-2, 2, { members, wish });
    }
  }
  const places = blocks.flatMap(({ members, wish }) =>
    members.map((member, index) => ({
      ...member,
      middle: wish + (index - (members.length - 1) / 2) * line,
    }))
  );
  // Then into the plot's height, from below and from above.
  let limit = plot.height + line / 2;
  for (const place of places.toReversed()) {
    place.middle = Math.min(place.middle, limit - line / 2);
    limit = place.middle - line / 2;
  }
  limit = -line / 2;
  for (const place of places) {
    place.middle = Math.max(place.middle, limit + line / 2);
    limit = place.middle + line / 2;
  }
  return places;
}

/** Where the marks of a figure are, labeled or not. */
function markers(figure) {
  return figure.data.filter((trace) => trace.mode === "markers").flatMap((
    trace,
  ) => trace.x.map((x, index) => ({ x, y: trace.y[index] })));
}

/** Beside its marker, at the first place that is free of other marks and names. */
function placePoints(labels, marks, x, y, plot) {
  const marker = 9;
  const taken = marks.map((mark) => ({
    ...box(x(mark.x) - marker, y(mark.y) - marker, 2 * marker, 2 * marker),
    mark,
  }));
  const placed = [];
  for (const label of labels) {
    const width = textWidth(label.text);
    const [cx, cy] = [x(label.x), y(label.y)];
    const away = marker + 3;
    const choices = [
      [cx + away, cy],
      [cx - away - width, cy],
      [cx - width / 2, cy - 18],
      [cx - width / 2, cy + 18],
      [cx + away - 2, cy - 12],
      [cx - away + 2 - width, cy - 12],
      [cx + away - 2, cy + 12],
      [cx - away + 2 - width, cy + 12],
    ];
    for (const [left, middle] of choices) {
      const wanted = box(left - 2, middle - 7, width + 4, 14);
      if (
        wanted.left < -4 || wanted.right > plot.width + 12 || wanted.top < 0 ||
        wanted.bottom > plot.height
      ) continue;
      const isOwn = ({ mark }) => mark?.x === label.x && mark?.y === label.y;
      if (taken.some((other) => !isOwn(other) && overlap(wanted, other))) {
        continue;
      }
      taken.push(wanted);
      placed.push({ ...label, left, middle, anchor: "left" });
      break;
    }
  }
  return placed;
}

function box(left, top, width, height) {
  return { left, top, right: left + width, bottom: top + height };
}

function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom &&
    b.top < a.bottom;
}
