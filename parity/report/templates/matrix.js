"use strict";
// The parity matrix: one tab stop, arrow keys inside it; a cell under the pointer is told in a sentence, a chosen one in full.
(() => {
  const cells = JSON.parse(document.getElementById("cells").textContent);
  const detail = document.getElementById("detail");
  const drill = document.getElementById("drill");
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const node = name === "svg" || attributes.svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (key !== "svg") node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // The largest error over the steps, on a log axis from 1e-18 to 10, with the bound as a dashed line.
  function growth(cell) {
    const [width, height, left, low, high] = [520, 130, 52, -18, 1];
    const y = (value) => 8 + (height - 28) * (high - Math.min(Math.max(Math.log10(value), low), high)) / (high - low);
    const x = (i) => left + (width - left - 8) * (i + 0.5) / cell.curve.length;
    const picture = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "growth",
      "aria-label": `Largest error over ${cell.steps} steps` });
    const text = (x, y, anchor, words) => picture.append(
      element("text", { svg: 1, x, y, "text-anchor": anchor }, words));
    const rule = (value, kind) => picture.append(
      element("line", { svg: 1, x1: left, x2: width - 8, y1: y(value), y2: y(value), class: kind }));
    for (const exponent of [-16, -12, -8, -4, 0]) {
      rule(10 ** exponent, "guide");
      text(left - 6, y(10 ** exponent) + 4, "end", exponent ? `1e${exponent}` : "1");
    }
    if (cell.bound) rule(cell.bound, "bound");
    cell.curve.forEach((value, i) => {
      if (value > 0) picture.append(element("circle", { svg: 1, cx: x(i), cy: y(value), r: 2.5 }));
    });
    text(left, height - 4, "start", "step 1");
    text(width - 8, height - 4, "end", `step ${cell.steps}`);
    return picture;
  }

  function show(cell) {
    const facts = element("dl");
    for (const [label, value] of cell.facts) facts.append(element("dt", {}, label), element("dd", {}, value));
    const values = element("table", { class: "values" });
    for (const row of cell.values) {
      const [label, ...rest] = row;
      values.append(element("tr", {}, element("th", { scope: "row" }, label), ...rest.map((v) => element("td", {}, v))));
    }
    drill.replaceChildren(
      element("h4", {}, cell.title), facts, ...(cell.values.length ? [values] : []),
      ...(cell.curve.some((v) => v > 0) ? [element("p", { class: "note" }, cell.caption), growth(cell)] : []));
    drill.hidden = false;
  }

  for (const matrix of document.querySelectorAll(".matrix")) {
    const grid = [...matrix.rows].map((row) => [...row.querySelectorAll("td")]).filter((row) => row.length);
    if (grid.length) grid[0][0].tabIndex = 0;
    const tell = (event) => {
      const cell = event.target.closest("td");
      if (!cell) return;
      detail.textContent = cell.dataset.detail;
      matrix.querySelector(".chosen")?.classList.remove("chosen");
      cell.classList.add("chosen");
    };
    const open = (cell) => cell?.dataset.cell && show(cells[cell.dataset.cell]);
    matrix.addEventListener("pointerover", tell);
    matrix.addEventListener("click", (event) => {
      const cell = event.target.closest("td");
      cell?.focus();
      open(cell);
    });
    matrix.addEventListener("focusin", (event) => {
      tell(event);
      for (const stop of matrix.querySelectorAll('td[tabindex="0"]')) stop.tabIndex = -1;
      event.target.tabIndex = 0;
    });
    matrix.addEventListener("keydown", (event) => {
      if (event.key === "Enter") open(event.target.closest("td"));
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      const y = grid.findIndex((row) => row.includes(event.target));
      if (y < 0) return;
      const target = grid[y + move[0]]?.[grid[y].indexOf(event.target) + move[1]];
      event.preventDefault();
      target?.focus();
    });
  }

  const precision = document.getElementById("view");
  if (precision) {
    const choose = () => {
      for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== precision.value;
    };
    precision.addEventListener("change", choose);
    choose(); // a browser may bring back an earlier choice
  }
  if (!document.getElementById("charts")) document.documentElement.dataset.settled = "true"; // nothing else is drawn
})();
