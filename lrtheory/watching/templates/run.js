"use strict";
// Chooses the layers that are drawn: by name and group, in an order, some at a time.
(() => {
  const { layers, groups, size, rows } = JSON.parse(document.getElementById("layer-data").textContent);
  const field = Object.fromEntries(["search", "group", "order", "back", "on", "shown"].map((id) => [id, document.getElementById(id)]));
  let from = 0;

  const middle = (layer) => {
    const values = (Array.isArray(layer.update) ? layer.update : [layer.update]).filter((v) => v > 0).sort((a, b) => a - b);
    return values.length ? values[values.length >> 1] : NaN;
  };
  const update = new Map(layers.map((layer) => [layer, middle(layer)]));
  const known = (layer, other) => (Number.isFinite(update.get(layer)) ? update.get(layer) : other);
  const orders = {
    worst: () => 0,
    place: (a, b) => a.group - b.group || a.place - b.place,
    small: (a, b) => known(a, Infinity) - known(b, Infinity),
    large: (a, b) => known(b, 0) - known(a, 0),
  };

  // Rows of the heat map go without what all names begin with.
  const common = layers.reduce((prefix, { name }) => {
    while (!name.startsWith(prefix)) prefix = prefix.slice(0, prefix.lastIndexOf(".", prefix.length - 2) + 1);
    return prefix;
  }, layers.length > 1 ? layers[0].name.slice(0, layers[0].name.lastIndexOf(".") + 1) : "");

  function chosen() {
    const text = field.search.value.trim().toLowerCase();
    const group = field.group.value;
    return layers
      .filter((layer) => layer.name.toLowerCase().includes(text) && (group === "" || layer.group === Number(group)))
      .sort(orders[field.order.value]);
  }

  function picture(id, blocks, more = {}) {
    const node = document.querySelector(`[data-panel="${id}"]`);
    node.hidden = !blocks.length;
    document.dispatchEvent(new CustomEvent("picture", { detail: { id, blocks, ...more } }));
    return node.closest(".panel");
  }

  // One legend for all pictures of a figure.
  function legend(figure, names) {
    const list = document.createElement("ul");
    list.className = "legend layers";
    list.setAttribute("aria-label", "Legend");
    names.forEach((name, slot) => {
      const entry = document.createElement("li");
      const key = document.createElement("span");
      key.className = `key ${slot < 7 ? "solid" : "dashed"}`;
      key.style.setProperty("--key", `var(--c${slot % 7})`);
      key.setAttribute("aria-hidden", "true");
      entry.append(key, name);
      list.append(entry);
    });
    figure.querySelector(".legend.layers")?.remove();
    figure.querySelector(".reading").after(list);
  }

  const panels = JSON.parse(document.getElementById("charts").textContent).panels;
  const ids = (figure) => Object.keys(panels).filter((id) => id.startsWith(`${figure}/`));
  const steps = (layer) => groups[layer.group].step;

  function lines(id, some, value) {
    const panel = picture(id, some.map((layer, slot) => ({ step: steps(layer), value: layer[value], layer: layer.name, slot })));
    legend(panel.closest("figure"), some.map((layer) => layer.name));
  }

  function show() {
    const all = chosen();
    from = Math.max(0, Math.min(from, all.length - 1 - ((all.length - 1) % size)));
    const some = all.slice(from, from + size);
    ids("effective-lr").forEach((id, i) => {
      const layer = some[i];
      const bands = layer ? { nominal: groups[layer.group].nominal, q05: layer.q05, q50: layer.q50, q95: layer.q95 } : {};
      const panel = picture(id, layer ? [{ step: steps(layer), ...bands }] : []);
      panel.hidden = !layer;
      if (!layer) return;
      panel.querySelector("h4").textContent = layer.name;
      panel.querySelector(".plot").setAttribute("aria-label", `Effective learning rate: ${layer.name}`);
    });
    const mapped = all.slice(from, from + rows);
    for (const id of ids("heat-map")) {
      const panel = picture(id, mapped.map((layer) => ({
        step: steps(layer), since: [0, ...steps(layer).slice(0, -1)], layer: layer.name.slice(common.length), ratio: layer.ratio,
      })), { height: Math.max(40, 20 * mapped.length) });
      panel.querySelector("h4").textContent = `${mapped.length} of ${all.length} layers${common ? `, each ${common}…` : ""}`;
    }
    for (const id of ids("relative-update")) lines(id, some, "update");
    for (const id of ids("shares")) if (panels[id].params.share) lines(id, some, panels[id].params.share);
    const names = new Set(all.map((layer) => layer.name));
    for (const row of document.querySelectorAll("#tensors tbody tr")) {
      row.hidden = !names.has(row.dataset.name) && names.size < layers.length;
    }
    field.shown.textContent = all.length ? `${from + 1}–${from + some.length} of ${all.length}` : "none";
    field.back.disabled = from === 0;
    field.on.disabled = from + size >= all.length;
    document.dispatchEvent(new Event("pictures"));
  }

  document.getElementById("choice").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["search", "group", "order"]) {
    field[id].addEventListener("input", () => {
      from = 0;
      show();
    });
  }
  for (const [id, by] of [["back", -size], ["on", size]]) {
    field[id].addEventListener("click", () => {
      from += by;
      show();
    });
  }
  show();
})();
