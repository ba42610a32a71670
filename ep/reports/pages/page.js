"use strict";
// Computes the energies again, from the counts beside each, when the reader changes what an operation costs.
{
  const form = document.getElementById("energy-form");
  const published = JSON.parse(document.getElementById("assumptions").textContent);
  const prices = ["accumulate", "multiply_accumulate", "fetch", "state", "update"];
  const field = (name) => document.getElementById(name);

  // As spikesim/runtime/text.py does it.
  function si(value) {
    if (value === 0 || !Number.isFinite(value)) return `${value} `;
    let power = Math.min(Math.max(Math.floor(Math.log10(Math.abs(value)) / 3), -5), 5);
    let scaled = value / 1000 ** power;
    const rounded = Math.abs(scaled) >= 100 ? Math.round(Math.abs(scaled)) : Math.round(Math.abs(scaled) * 10) / 10;
    if (rounded >= 1000 && power < 5) { power += 1; scaled /= 1000; }
    return `${scaled.toPrecision(3)} ${"fpnum kMGTP"[power + 5].trim()}`;
  }

  function price(name) {
    const input = field(name);
    // A field that was not touched means the number with all its digits.
    return Number(input.value === input.defaultValue ? input.dataset.run : input.value) * 1e-12;
  }

  function compute() {
    const [accumulate, multiply, fetch, state, update] = prices.map(price);
    // Runs may be charged differently until the reader chooses one price for all.
    const given = prices.every((name) => field(name).value === field(name).defaultValue);
    for (const cell of document.querySelectorAll("data.joule")) {
      const [accumulates, macs, updates] = ["accumulates", "macs", "updates"].map((name) => Number(cell.dataset[name]));
      const joule = given ? Number(cell.dataset.given) : accumulates * (accumulate + fetch + 2 * state)
        + macs * (multiply + fetch) + updates * (update + 2 * state);
      cell.value = String(joule);
      cell.textContent = `${si(joule)}J`;
    }
    bars();
    summary();
  }

  function bars() {
    const rows = [...document.querySelectorAll("#energy-table tbody tr")].filter((row) => row.querySelector(".bar"));
    const values = rows.map((row) => Number([...row.querySelectorAll("data.joule")].at(-1)?.value ?? 0));
    const total = values.reduce((sum, value) => sum + value, 0);
    rows.forEach((row, index) => {
      const share = total > 0 ? (100 * values[index]) / total : 0;
      row.querySelector("rect").setAttribute("width", share.toFixed(1));
      row.querySelector(".percent").textContent = ` ${share.toFixed(1)} %`;
    });
  }

  function summary() {
    const last = document.querySelector("#energy-table tbody tr:last-child");
    if (!last) return;
    const cells = [...last.querySelectorAll("data.joule")];
    const headings = [...document.querySelectorAll("#energy-table thead th")].map((cell) => cell.textContent);
    const test = headings.indexOf("test");
    const parts = [`a training sample ${cells.at(-1).textContent}`];
    if (test > 0) parts.push(`a test sample ${cells[test - 1].textContent}`);
    field("energy-summary").value = `With these prices: ${parts.join(", ")}`;
  }

  function choose() {
    const node = field("node").value;
    field("format").disabled = node === "run" || node === "own";
    if (node === "run") {
      for (const name of prices) field(name).value = field(name).defaultValue;
    } else if (node !== "own") {
      const row = published.find((own) => own.node === node && own.format === field("format").value);
      for (const name of prices.slice(0, 2)) field(name).value = row[name];
    }
    compute();
  }

  if (form) {
    for (const name of ["node", "format"]) field(name).addEventListener("change", choose);
    for (const name of prices) {
      field(name).addEventListener("input", () => {
        if (prices.indexOf(name) < 2) { field("node").value = "own"; field("format").disabled = true; }
        if (field(name).checkValidity()) compute();
      });
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(choose));
    field("format").value = "fp32";
    form.hidden = false;
    choose();
  }
  // Paper has no place to click: the configuration is printed, and of the tables those that are open.
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("#repeat details")) part.open = true;
  });
}
