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
  // Values under the pointer: of charts a row of the table behind, of matrices a cell, of rasters step and neuron.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const guide = document.createElementNS("http://www.w3.org/2000/svg", "path");
  guide.setAttribute("class", "guide");
  const ROWS = 30;
  let confusion;

  function hide() {
    tip.hidden = true;
    guide.remove();
  }

  function row(svg, at) {
    const places = svg.dataset.at.split(" ").map(Number);
    const near = places.reduce((best, place, index) => (Math.abs(place - at.x) < Math.abs(places[best] - at.x) ? index : best), 0);
    const table = svg.closest("figure").querySelector("table");
    const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent);
    const cells = [...table.querySelectorAll("tbody tr")[near].children].map((cell) => cell.textContent);
    const lines = cells.map((text, index) => `${names[index]}${index ? ":" : ""} ${text}`);
    guide.setAttribute("d", `M${places[near]} ${svg.dataset.from}V${svg.dataset.to}`);
    svg.append(guide);
    return lines.length > ROWS ? [...lines.slice(0, ROWS), `and ${lines.length - ROWS} more, in the table`] : lines;
  }

  function cell(svg, at) {
    confusion ??= JSON.parse(document.getElementById("report").textContent).confusion;
    const { matrix, classes } = confusion;
    const [truth, predicted] = [at.y, at.x - svg.dataset.left].map((place) => Math.floor(place / svg.dataset.cell));
    const called = (label) => (classes[label].name === String(label) ? label : `${label} ${classes[label].name}`);
    if (!classes[truth] || !classes[predicted]) return null;
    const count = matrix[truth][predicted];
    const share = ((100 * count) / (classes[truth].samples || 1)).toFixed(2);
    return [`true ${called(truth)}`, `predicted ${called(predicted)}`, `${count} samples, ${share} % of the class`];
  }

  function spike(svg, at) {
    const inside = (own) => at.y >= own.dataset.top && at.y < own.dataset.bottom;
    const band = [...svg.querySelectorAll("g[data-layer]")].find(inside);
    const step = Math.floor((at.x - svg.dataset.left) / svg.dataset.step);
    if (!band || step < 0 || at.x > svg.dataset.right) return null;
    const neurons = band.dataset.neurons.split(" ");
    const place = (band.dataset.bottom - at.y) / (band.dataset.bottom - band.dataset.top);
    const neuron = neurons[Math.min(Math.floor(place * neurons.length), neurons.length - 1)];
    return [band.dataset.layer, `neuron ${neuron}`, `step ${Number(svg.dataset.first) + step}`];
  }

  const told = { rows: row, matrix: cell, raster: spike };
  for (const svg of document.querySelectorAll("svg[data-hover]")) {
    for (const title of svg.querySelectorAll("title")) title.remove(); // the browser would show it over these
    svg.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const lines = told[svg.dataset.hover](svg, at);
      if (!lines) return hide();
      tip.textContent = lines.join("\n");
      tip.hidden = false;
      const aside = event.clientX + 16 + tip.offsetWidth > document.documentElement.clientWidth;
      tip.style.left = `${Math.max(0, event.pageX + (aside ? -16 - tip.offsetWidth : 16))}px`;
      tip.style.top = `${event.pageY + 12}px`;
    });
    svg.addEventListener("pointerleave", hide);
  }

  // Paper has no place to click: the configuration is printed, and of the tables those that are open.
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("#repeat details")) part.open = true;
  });
}
