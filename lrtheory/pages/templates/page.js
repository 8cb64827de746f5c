"use strict";
// Draws the pictures that are in sight, and says on the page where one could not be drawn.
(() => {
  const root = document.documentElement;
  const { specs, panels } = JSON.parse(document.getElementById("charts").textContent);
  const views = new Map();
  const problems = [];

  function report(problem) {
    problems.push(String(problem));
    root.dataset.problems = JSON.stringify(problems);
  }
  window.addEventListener("error", (event) => report(event.message || "an element could not be loaded"), true);
  window.addEventListener("unhandledrejection", (event) => report(event.reason));
  document.addEventListener("securitypolicyviolation", (event) =>
    report(`blocked by the page's policy: ${event.violatedDirective} ${event.blockedURI}`));

  // "@name" in a specification is the colour variable --name of the theme in force.
  function themed(value, styles) {
    if (Array.isArray(value)) return value.map((entry) => themed(entry, styles));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, themed(entry, styles)]));
    }
    if (typeof value === "string" && /^@[a-z0-9]+$/.test(value)) {
      return styles.getPropertyValue(`--${value.slice(1)}`).trim();
    }
    return value;
  }

  // Columns to rows; a column that is no list is constant.
  function rows(blocks) {
    return blocks.flatMap((block) => {
      const columns = Object.entries(block);
      const length = Math.max(0, ...columns.filter(([, v]) => Array.isArray(v)).map(([, v]) => v.length));
      return Array.from({ length }, (_, i) =>
        Object.fromEntries(columns.map(([key, v]) => [key, Array.isArray(v) ? v[i] : v])));
    });
  }

  const config = {
    background: "transparent",
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: {
      labelColor: "@muted", titleColor: "@muted", gridColor: "@grid", domainColor: "@line", tickColor: "@line",
      labelFontSize: 11, titleFontSize: 11, titleFontWeight: 500, titlePadding: 6,
    },
    legend: { labelColor: "@muted", titleColor: "@muted", labelFontSize: 11, titleFontSize: 11, titleFontWeight: 500 },
  };

  async function draw(node) {
    const panel = panels[node.dataset.panel];
    const styles = getComputedStyle(root);
    const spec = themed(specs[panel.chart], styles);
    spec.params = (spec.params || []).map((p) => (p.name in panel.params ? { ...p, value: panel.params[p.name] } : p));
    spec.datasets = { ...spec.datasets, rows: rows(panel.blocks) };
    spec.height = panel.height;
    spec.description = node.getAttribute("aria-label");
    views.get(node)?.finalize();
    try {
      // The syntax tree is interpreted: the page's policy forbids code made from strings.
      const view = await vegaEmbed(node, spec, {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: themed(config, styles),
        tooltip: { theme: dark.matches ? "dark" : "light" },
      });
      views.set(node, view);
    } catch (error) {
      report(`${node.dataset.panel}: ${error}`);
      node.className = "failed";
      node.textContent = `This picture could not be drawn: ${error.message}`;
    }
  }

  const started = new Set();
  let drawing = 0;

  async function drawVisible() {
    delete root.dataset.settled;
    drawing += 1;
    const nodes = [...document.querySelectorAll(".plot")].filter((n) =>
      n.offsetParent && !started.has(n) && panels[n.dataset.panel].blocks.length);
    for (const node of nodes) started.add(node);
    await Promise.all(nodes.map(draw));
    drawing -= 1;
    if (drawing === 0) root.dataset.settled = "true";
  }

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => {
    started.clear();
    return drawVisible();
  });

  // What a script of the page brings: { id, blocks, … } of a panel.
  document.addEventListener("picture", ({ detail: { id, ...panel } }) => {
    Object.assign(panels[id], panel);
    for (const node of document.querySelectorAll(`[data-panel="${id}"]`)) started.delete(node);
  });
  document.addEventListener("pictures", drawVisible);

  function choose(select, attribute) {
    if (!select) return;
    const show = () => {
      for (const node of document.querySelectorAll(`[data-${attribute}]`)) {
        node.hidden = node.dataset[attribute] !== select.value;
      }
    };
    select.addEventListener("change", () => {
      show();
      return drawVisible();
    });
    show(); // a browser may bring back an earlier choice
  }

  choose(document.getElementById("run"), "run");
  drawVisible();
})();
