// The list of the atlas: find, choose a verdict, order, and open what a link names.
document.addEventListener("DOMContentLoaded", () => {
  const list = document.getElementById("atlas");
  if (!list) return;
  const rows = [...list.children], by = (id) => document.getElementById(id);
  const find = by("atlas-find"), status = by("atlas-status"), kind = by("atlas-kind"), order = by("atlas-order"), checks = by("atlas-checks"), shown = by("atlas-shown");
  const outcome = ({ checks }) => (checks === "" ? "none" : checks === "0" ? "pass" : "fail");
  const chosen = (row) => (!status.value || row.dataset.status === status.value) && (!kind.value || row.dataset.kind === kind.value)
    && (!checks.value || outcome(row.dataset) === checks.value);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/);
    let count = 0;
    rows.forEach((row, i) => {
      const fits = words.every((w) => texts[i].includes(w)) && chosen(row);
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = `${count} of ${rows.length}`;
  };
  const first = (row) => (order.value === "checks" ? String(999 - Number(row.dataset.checks || -1)) : row.dataset[order.value]);
  const key = (row) => `${first(row)} ${row.dataset.name} ${row.dataset.package}`;
  order.addEventListener("change", () => list.append(...[...rows].sort((a, b) => key(a).localeCompare(key(b), "en", { numeric: true }))));
  find.addEventListener("input", filter);
  status.addEventListener("change", filter);
  kind.addEventListener("change", filter);
  checks.addEventListener("change", filter);
  find.form.addEventListener("submit", (event) => event.preventDefault());
  const named = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (row && row.parentNode === list) { row.open = true; row.hidden = false; row.scrollIntoView(); }
  };
  addEventListener("hashchange", named);
  filter();
  named();
});
