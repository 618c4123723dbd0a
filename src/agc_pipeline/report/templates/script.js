"use strict";

// The page is complete without this: the section that is being read is marked in the contents,
// values of bins show at once instead of after a while, and distributions can be drawn anew.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, text = null, space = null) {
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

function followReading() {
  const links = [...document.querySelectorAll('nav a[href^="#"]')];
  const targets = links.map((link) => document.getElementById(link.hash.slice(1)));
  let current = null;
  function mark() {
    const line = window.innerHeight / 4;
    let place = 0;
    targets.forEach((target, number) => {
      if (target && target.getBoundingClientRect().top <= line) place = number;
    });
    const end = document.documentElement.scrollHeight - window.scrollY - window.innerHeight;
    if (end < 2 && window.scrollY > 0) place = links.length - 1;
    if (links[place] === current) return;
    if (current) current.removeAttribute("aria-current");
    current = links[place];
    current.setAttribute("aria-current", "true");
    // Sideways only: the page itself must not move.
    const list = current.closest("ol");
    list.scrollLeft = current.offsetLeft - list.offsetLeft - list.clientWidth / 3;
  }
  if (!links.length) return;
  document.addEventListener("scroll", mark, { passive: true });
  window.addEventListener("resize", mark);
  mark();
}

function showValues() {
  const tip = element("div", { class: "tip", hidden: "" });
  document.querySelector("main").append(tip);
  document.addEventListener("pointermove", (event) => {
    const spot = event.target.closest ? event.target.closest(".spots rect, .chart .spot") : null;
    tip.hidden = !spot;
    if (!spot) return;
    const title = spot.querySelector("title");
    if (title) {
      spot.dataset.text = title.textContent;
      title.remove();
    }
    tip.textContent = spot.dataset.text;
    const { clientWidth, clientHeight } = document.documentElement;
    const left = Math.min(event.clientX + 14, clientWidth - tip.offsetWidth - 4);
    const below = event.clientY + 18;
    const fits = below + tip.offsetHeight < clientHeight;
    tip.style.left = `${Math.max(left, 4)}px`;
    tip.style.top = `${fits ? below : Math.max(event.clientY - tip.offsetHeight - 12, 4)}px`;
  });
}

// Ticks of an axis at 1, 2 or 5 times a power of ten.
function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const places = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-9); n += 1) places.push(n * step);
  return places;
}

function decades(low, high) {
  const places = [];
  for (let n = Math.ceil(Math.log10(low)); 10 ** n <= high; n += 1) places.push(10 ** n);
  return places;
}

const shown = (value) => Number(value.toPrecision(4)).toLocaleString("en").replaceAll(",", "\u2009");

function drawChart(svg, chart, chosen, logarithmic) {
  const [width, height, left, right, top, bottom] = [560, 360, 64, 12, 12, 46];
  const { edges, data } = chart;
  const bins = edges.length - 1;
  const processes = chart.processes.filter((_, number) => chosen[number]);
  const all = processes.length === chart.processes.length;
  const sums = Array.from({ length: bins }, (_, bin) =>
    processes.reduce((sum, process) => sum + process.events[bin], 0));
  const highest = Math.max(
    ...sums.map((sum, bin) => sum + (all ? chart.uncertainty[bin] : 0)),
    ...data.map((entry) => (entry ? entry.high : 0)),
    Number.MIN_VALUE);
  const positive = [...sums, ...data.map((entry) => (entry ? entry.events : 0))].filter((v) => v > 0);
  const lowest = logarithmic
    ? Math.min(...processes.flatMap((p) => p.events).filter((v) => v > 0), ...positive, highest / 10)
    : 0;
  const floor = logarithmic ? Math.max(lowest / 2, highest * 1e-6) : 0;
  const ceiling = logarithmic ? highest * 3 : highest * 1.1;
  const x = (value) =>
    left + ((value - edges[0]) / (edges[bins] - edges[0])) * (width - left - right);
  const place = (value) => (logarithmic
    ? Math.log(Math.max(value, floor) / floor) / Math.log(ceiling / floor)
    : value / ceiling);
  const y = (value) => height - bottom - place(value) * (height - top - bottom);
  const add = (name, attributes, text = null) => {
    const made = element(name, attributes, text, SVG);
    svg.append(made);
    return made;
  };
  const area = (lower, upper) => {
    const there = upper.flatMap((v, bin) => [`${x(edges[bin])},${y(v)}`, `${x(edges[bin + 1])},${y(v)}`]);
    const back = lower.flatMap((v, bin) => [`${x(edges[bin])},${y(v)}`, `${x(edges[bin + 1])},${y(v)}`]);
    return [...there, ...back.reverse()].join(" ");
  };
  svg.replaceChildren();
  let base = new Array(bins).fill(0);
  for (const process of processes) {
    const next = base.map((sum, bin) => sum + process.events[bin]);
    add("polygon", { points: area(base, next), fill: process.colour });
    base = next;
  }
  if (all) {
    add("polygon", {
      class: "band",
      points: area(
        sums.map((sum, bin) => Math.max(sum - chart.uncertainty[bin], 0)),
        sums.map((sum, bin) => sum + chart.uncertainty[bin])),
    });
  }
  data.forEach((entry, bin) => {
    if (!entry || !entry.events) return;
    const middle = x((edges[bin] + edges[bin + 1]) / 2);
    add("line", { class: "data", x1: middle, x2: middle, y1: y(entry.low), y2: y(entry.high) });
    add("circle", { class: "data", cx: middle, cy: y(entry.events), r: 3 });
  });
  add("rect", {
    class: "axis", x: left, y: top, width: width - left - right, height: height - top - bottom,
  });
  for (const value of ticks(edges[0], edges[bins], 8)) {
    add("line", { class: "axis", x1: x(value), x2: x(value), y1: height - bottom, y2: height - bottom - 5 });
    add("text", { x: x(value), y: height - bottom + 17, "text-anchor": "middle" }, shown(value));
  }
  for (const value of logarithmic ? decades(floor, ceiling) : ticks(0, ceiling, 6)) {
    add("line", { class: "axis", x1: left, x2: left + 5, y1: y(value), y2: y(value) });
    add("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value));
  }
  add("text", { x: width - right, y: height - 8, "text-anchor": "end" }, chart.label);
  for (let bin = 0; bin < bins; bin += 1) {
    const spot = add("rect", {
      class: "spot",
      x: x(edges[bin]),
      y: top,
      width: x(edges[bin + 1]) - x(edges[bin]),
      height: height - top - bottom,
    });
    const lines = [`${shown(edges[bin])} to ${shown(edges[bin + 1])}`];
    if (data[bin]) lines.push(`${chart.data_label}: ${shown(data[bin].events)}`);
    lines.push(`sum: ${shown(sums[bin])}${all ? ` \u00b1 ${shown(chart.uncertainty[bin])}` : ""}`);
    for (const process of [...processes].reverse()) {
      lines.push(`${process.title}: ${shown(process.events[bin])}`);
    }
    spot.append(element("title", {}, lines.join("\n"), SVG));
  }
}

function openChart(button, chart, name) {
  const panel = element("div", { class: "chart" });
  const svg = element("svg", { viewBox: "0 0 560 360", role: "img", "aria-label": name }, null, SVG);
  const choice = element("fieldset");
  const chosen = chart.processes.map(() => true);
  let logarithmic = false;
  const draw = () => drawChart(svg, chart, chosen, logarithmic);
  const box = (title, checked, change, colour = null) => {
    const label = element("label");
    const input = element("input", { type: "checkbox" });
    input.checked = checked;
    input.addEventListener("change", () => { change(input.checked); draw(); });
    label.append(input);
    if (colour) {
      const swatch = element("svg", { class: "swatch", viewBox: "0 0 1 1", "aria-hidden": "true" }, null, SVG);
      swatch.append(element("rect", { width: 1, height: 1, fill: colour }, null, SVG));
      label.append(swatch);
    }
    label.append(title);
    choice.append(label);
  };
  choice.append(element("legend", {}, "Shown"));
  chart.processes.forEach((process, number) =>
    box(process.title, true, (on) => { chosen[number] = on; }, process.colour));
  box("logarithmic scale", false, (on) => { logarithmic = on; });
  panel.append(choice, svg);
  button.after(panel);
  draw();
}

function offerCharts() {
  for (const source of document.querySelectorAll("script.chart")) {
    const figure = source.closest("figure");
    const name = figure.querySelector("figcaption").textContent;
    const button = element("button", { type: "button", class: "explore", "aria-expanded": "false" },
      "Choose processes and scale");
    button.addEventListener("click", () => {
      const panel = figure.querySelector("div.chart");
      button.setAttribute("aria-expanded", String(!panel));
      if (panel) panel.remove();
      else openChart(button, JSON.parse(source.textContent), name);
    });
    source.before(button);
  }
}

followReading();
showValues();
offerCharts();
