/* The explorer: what was computed beforehand (explorer-data.js) is looked up and drawn. Nothing is computed but places on a picture. */
"use strict";
(() => {
  const data = EXPLORER, form = document.getElementById("explorer-form"), shown = document.getElementById("explorer-shown");
  const command = document.getElementById("explorer-command");

  /* An element with attributes and children; text stays text. */
  const make = (tag, given = {}, ...children) => {
    const svg = ["svg", "line", "polyline", "circle", "text", "title"].includes(tag);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const chooser = (name, label, options, chosen, groups) => {
    const select = make("select", { name, id: `explorer-${name}` });
    options.forEach((option, at) => {
      const item = make("option", { value: option }, option);
      item.selected = option === chosen;
      let parent = select;
      if (groups) {
        parent = [...select.children].find((group) => group.label === groups[at]);
        if (!parent) select.append((parent = make("optgroup", { label: groups[at] })));
      }
      parent.append(item);
    });
    return make("label", { for: select.id }, make("span", {}, label), select);
  };
  const table = (label, heads, rows) => make("table", { class: "table", "aria-label": label },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map(([first, ...rest]) =>
      make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell))))));

  /* Curve on two logarithmic axes; what is 0 is a gap. */
  const picture = (title, texts) => {
    const width = 420, height = 230, left = 58, right = 20, top = 12, bottom = 34;
    const points = texts.map((text, at) => [data.steps[at], Math.abs(Number(text)), text]).filter(([, y]) => y > 0);
    const logs = points.map(([, y]) => Math.log10(y));
    let low = Math.floor(Math.min(...logs)), high = Math.ceil(Math.max(...logs));
    if (low === high) [low, high] = [low - 1, high + 1];
    const last = Math.log10(data.steps[data.steps.length - 1]);
    const x = (t) => left + (Math.log10(t) / last) * (width - left - right);
    const y = (v) => top + ((high - Math.log10(v)) / (high - low)) * (height - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}; the table below has its numbers` });
    const power = (n) => (n > -4 && n < 4 ? String(Number(`1e${n}`)) : `1e${n}`);
    for (let n = low; n <= high; n += Math.ceil((high - low) / 6)) {
      const at = y(Number(`1e${n}`));
      svg.append(make("line", { x1: left, x2: width - right, y1: at, y2: at, class: "grid" }),
        make("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, power(n)));
    }
    for (const t of [1, 10, 100, 1000])
      svg.append(make("text", { x: x(t), y: height - 16, "text-anchor": "middle" }, String(t)));
    svg.append(make("text", { x: (left + width - right) / 2, y: height - 2, "text-anchor": "middle" }, "step"));
    svg.append(make("polyline", { points: points.map(([t, v]) => `${x(t)},${y(v)}`).join(" "), class: "curve" }));
    for (const [t, v, text] of points)
      svg.append(make("circle", { cx: x(t), cy: y(v), r: 3.5 }, make("title", {}, `step ${t}: ${text}`)));
    return make("figure", {}, make("figcaption", {}, title), points.length ? svg : make("p", {}, "0 at every step"));
  };

  const law = (name) => name in data.laws ? make("a", { href: `laws.html#${data.laws[name]}` }, name) : name;
  const named = (rule) => rule.spec.replace("()", "");

  /* The form for a rule; what was chosen before and can be chosen still stays. */
  const ask = (chosen) => {
    const rule = data.rules.find((one) => [named(one), one.title].includes(chosen.get("rule"))) || data.rules[0];
    const pick = (name, options, other) => options.includes(chosen.get(name)) ? chosen.get(name) : other;
    const asked = data.changes.map(([, said]) => said), none = "nothing";
    form.replaceChildren(
      chooser("rule", "rule", data.rules.map(named), named(rule)),
      ...rule.axes.map(([name, values]) => chooser(name, name, values, pick(name, values, values[rule.start[name]]))),
      chooser("pattern", "the gradient", data.patterns, pick("pattern", data.patterns, data.patterns[0])),
      chooser("size", "its size", data.sizes, pick("size", data.sizes, data.sizes[1])),
      chooser("change", "what changes", [none, ...asked], pick("change", asked, none), ["", ...data.changes.map(([group]) => group)]),
    );
    return rule;
  };

  const show = (rule) => {
    const chosen = new FormData(form), of = (name) => chosen.get(name);
    const at = rule.axes.reduce((sum, [name, values]) => sum * values.length + values.indexOf(of(name)), 0);
    const [facts, curves, answers] = rule.cells[at];
    const numbers = rule.axes.map(([name]) => `${name}=${of(name)}`).join(", ");
    const spec = rule.spec.replace(/\)$/, rule.spec.endsWith("()") ? `${numbers})` : `, ${numbers})`);
    const change = data.changes.findIndex(([, said]) => said === of("change"));
    command.textContent = `lrtheory explain "${spec}"${change < 0 ? "" : ` ${data.changes[change][2]}`}`;

    const [lr, step] = data.curves[curves[data.patterns.indexOf(of("pattern")) * data.sizes.length + data.sizes.indexOf(of("size"))]]
      .map((text) => text.split(" "));
    const parts = [];
    if (change >= 0) {
      const [becomes, exactness, notes] = data.answers[answers[change]];
      parts.push(make("h2", {}, `What becomes of it: ${of("change")}`));
      if (exactness) {
        const rows = Object.entries(becomes).map(([name, value]) => [name, of(name) ?? "its default", make("strong", {}, value)]);
        const stay = rule.axes.map(([name]) => name).filter((name) => !(name in becomes));
        if (rows.length) parts.push(table("Set instead", ["hyperparameter", "is", "becomes"], rows));
        if (stay.length) parts.push(make("p", {}, `${stay.join(", ")}: unchanged.`));
        parts.push(make("p", {}, make("strong", {}, exactness), `: ${data.exactness[exactness]}.`));
        parts.push(make("ul", {}, ...notes.map((note) => make("li", {}, data.notes[note]))));
      } else parts.push(make("p", {}, make("strong", {}, "No answer. "), data.notes[becomes]));
    }
    parts.push(make("h2", {}, "What it trains with"),
      make("p", {}, `A parameter of one entry whose gradient has the size ${of("size")} and ${of("pattern")}.`),
      make("div", { class: "explorer-pictures" }, picture("effective lr E", lr), picture("size of the step, |E · direction|, without decay", step)),
      make("details", {}, make("summary", {}, "Numbers"),
        table("The curves", ["step", "effective lr", "E · direction"], data.steps.map((t, i) => [String(t), lr[i], step[i]]))),
      make("h2", {}, "What is known of it"),
      table("Thresholds, bounds, memories", ["what", "value", "law"],
        facts.map((fact) => data.facts[fact]).map(([what, said, from]) => [what, said, law(from)])),
      make("pre", {}, rule.formula));
    shown.replaceChildren(...parts);
    const place = `#${new URLSearchParams(chosen)}`;
    if (place !== location.hash) history.replaceState(null, "", place);
  };

  const begin = () => show(ask(new URLSearchParams(location.hash.slice(1))));
  form.addEventListener("change", (event) => {
    const held = event.target.name, rule = ask(new URLSearchParams(new FormData(form)));
    form.elements[held]?.focus();
    show(rule);
  });
  window.addEventListener("hashchange", begin);
  begin();
})();
