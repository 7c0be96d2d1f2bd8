"use strict";
// What is shown: a variable of a sweep against one of its dimensions (or the error against D, G or R of the same run),
// at one value of each other dimension; every seed is a point, and a line goes through the means of each net.
const data = JSON.parse(document.getElementById("data").textContent);
const GROUPED = ["dataset", "net", "seed"], COMPARED = ["R", "D", "G"];
const $ = id => document.getElementById(id);
const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const sweep = () => data.sweeps.find(s => s.name === state.sweep);

function numbers(variable) {  // decoded when first looked at
  if (!variable.values) {
    const bytes = Uint8Array.from(atob(variable.data), c => c.charCodeAt(0)), view = new DataView(bytes.buffer);
    variable.values = Float32Array.from({length: bytes.length / 4}, (_, i) => view.getFloat32(4 * i, true));
  }
  return variable.values;
}

function value(variable, at) {
  let place = 0;
  for (const dim of variable.dims) place = place * sweep().dims[dim].length + (at[dim] || 0);
  return numbers(variable)[place];
}

function keep(key, allowed, otherwise) {  // what was chosen, as long as there is such a choice
  if (!allowed.includes(state[key])) state[key] = otherwise === undefined ? allowed[0] : otherwise;
}

function axes(variable) {  // what may stand at the horizontal axis
  const dims = variable.dims.filter(dim => !GROUPED.includes(dim) && typeof sweep().dims[dim][0] === "number");
  return dims.concat(state.y === "test_error" ? COMPARED.filter(name => name in sweep().variables) : []);
}

function rest(variable) {  // dimensions that need a value chosen
  const other = COMPARED.includes(state.x) ? sweep().variables[state.x].dims : [];
  const dims = [...new Set(variable.dims.concat(other))].filter(dim => !GROUPED.includes(dim) && dim !== state.x);
  return COMPARED.includes(state.x) ? dims.filter(dim => dim !== "P") : dims;
}

function shortened(number) { return Number.isFinite(number) ? String(+number.toPrecision(4)) : "none"; }

function choose(parent, key, words, options, texts) {
  const label = document.createElement("label"), select = document.createElement("select");
  label.append(words, select);
  options.forEach((option, i) => select.add(new Option(texts ? texts[i] : option, option)));
  select.value = state[key];
  select.id = "choice-" + key;
  select.onchange = () => { state[key] = select.value; update(); };
  parent.append(label);
}

function controls(variable) {
  const s = sweep(), parent = $("choices"), focused = document.activeElement && document.activeElement.id;
  parent.replaceChildren();
  choose(parent, "sweep", "sweep", data.sweeps.map(one => one.name));
  choose(parent, "dataset", "dataset", s.dims.dataset);
  choose(parent, "y", "observable", Object.keys(s.variables));
  choose(parent, "x", "against", axes(variable), axes(variable).map(dim => s.along[dim] ? s.along[dim].name : dim));
  for (const dim of rest(variable)) {
    const labels = s.dims[dim], indices = labels.map((_, i) => String(i));
    keep(dim, indices, String(dim in s.first ? s.first[dim] : 0));
    if (labels.length > 1) choose(parent, dim, dim, indices, labels.map(String));
  }
  const label = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, {type: "checkbox", id: "linear", checked: state.linear === "1"});
  box.onchange = () => { state.linear = box.checked ? "1" : "0"; update(); };
  label.className = "check";
  label.append(box, "linear axes");
  parent.append(label);
  if (focused && $(focused)) $(focused).focus();
}

function points(variable, net, chosen) {  // every seed of a net, with where it stands and what is known of it
  const s = sweep(), compared = COMPARED.includes(state.x), found = [], along = s.along[state.x];
  const places = compared ? s.dims.P.map((_, i) => ["P", i]) : s.dims[state.x].map((_, i) => [state.x, i]);
  for (const [dim, i] of places) s.dims.seed.forEach((seed, k) => {
    const at = {...chosen, net, seed: k, [dim]: i};
    const x = compared ? value(s.variables[state.x], at) : along ? value(along, at) : s.dims[dim][i];
    const y = value(variable, at);
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const words = [`${state.dataset}, ${s.dims.net[net]}, P = ${s.dims.P[at.P]}, seed ${seed}`];
    if (dim !== "P") words.push(`${along ? along.name : dim} = ${shortened(x)}`);
    words.push(`<b>${state.y} = ${shortened(y)}</b>`);
    const end = {...at, state: s.dims.state ? s.dims.state.indexOf("trained") : 0};
    for (const name of ["test_error", ...COMPARED]) {
      if (name !== state.y && name in s.variables) words.push(`${name} after training = ${shortened(value(s.variables[name], end))}`);
    }
    for (const name of Object.keys(s.failed)) if (value(s.failed[name], at)) words.push(name);
    found.push({x, y, i, text: words.join("<br>")});
  });
  return found;
}

function means(found) {  // geometric where all numbers are positive
  const groups = new Map();
  for (const point of found) groups.set(point.i, (groups.get(point.i) || []).concat(point));
  return [...groups.values()].map(group => {
    const logs = group.every(point => point.y > 0), mean = list => list.reduce((a, b) => a + b, 0) / list.length;
    return {x: group[0].x, y: logs ? Math.exp(mean(group.map(p => Math.log(p.y)))) : mean(group.map(p => p.y))};
  }).sort((a, b) => a.x - b.x);
}

function failures(chosen) {
  const s = sweep(), said = [];
  for (const [name, variable] of Object.entries(s.failed)) {
    const alphas = s.dims.alpha && variable.dims.includes("alpha") ? s.dims.alpha : [null];
    s.dims.net.forEach((net, n) => s.dims.P.forEach((P, p) => s.dims.seed.forEach((seed, k) => alphas.forEach((alpha, a) => {
      if (value(variable, {...chosen, net: n, P: p, seed: k, alpha: a})) {
        said.push(`${net}, P = ${P}, seed ${seed}${alpha === null ? "" : `, alpha ${alpha}`} ${name}`);
      }
    }))));
  }
  const large = s.too_large.length ? ` Too large for this page: ${s.too_large.join(", ")}.` : "";
  const gaps = s.left_out.missing ? `${s.left_out.missing} of ${s.left_out.planned} nets are not there yet. ` : "";
  return gaps + (said.length ? `Not drawn where they failed: ${said.join("; ")}.` : "No run of this dataset diverged or collapsed.") + large;
}

function update() {
  keep("sweep", data.sweeps.map(one => one.name));
  const s = sweep(), names = Object.keys(s.variables);
  keep("dataset", s.dims.dataset);
  keep("y", names, names.includes("R") ? "R" : names[0]);
  const variable = s.variables[state.y];
  keep("x", axes(variable));
  controls(variable);
  const chosen = {dataset: s.dims.dataset.indexOf(state.dataset)};
  for (const dim of rest(variable)) chosen[dim] = Number(state[dim]);
  if (!("P" in chosen)) chosen.P = s.first.P;
  const traces = [], compared = COMPARED.includes(state.x);
  s.dims.net.forEach((name, net) => {
    const found = points(variable, net, chosen), style = s.styles[name];
    if (!found.length) return;
    const shared = {name, legendgroup: name}, line = compared ? [] : means(found);
    if (!compared) traces.push({...shared, x: line.map(p => p.x), y: line.map(p => p.y), mode: "lines", hoverinfo: "skip",
      showlegend: false, line: {color: style.color, dash: style.dash, width: 2}});
    traces.push({...shared, x: found.map(p => p.x), y: found.map(p => p.y), text: found.map(p => p.text), mode: "markers",
      hovertemplate: "%{text}<extra></extra>", marker: {color: style.color, symbol: style.symbol, size: 9, line: {color: "#fff", width: 1}}});
  });
  // A logarithmic axis has no place for the 0 of the initialisation; the sentence below the plot says so.
  const all = key => traces.every(trace => trace[key].every(number => number > 0 || (key === "x" && number === 0)));
  const zero = state.linear !== "1" && all("x") && traces.some(trace => trace.x.includes(0));
  const axis = (key, title) => ({title: {text: title, font: {size: 14}}, type: state.linear === "1" || !all(key) ? "linear" : "log",
    automargin: true, showline: true, ticks: "outside", gridcolor: "#eee", zeroline: false, exponentformat: "power", nticks: 7});
  const along = s.along[state.x], text = compared ? s.variables[state.x].title : along ? along.title : s.titles[state.x];
  Plotly.react("plot", traces, {
    xaxis: axis("x", wrapped(text, window.innerWidth / 12)), yaxis: axis("y", wrapped(variable.title, 40)), hovermode: "closest", showlegend: true,
    legend: {orientation: "h", y: 1.02, yanchor: "bottom"}, margin: {t: 40, r: 15, l: 60, b: 50}, font: {family: "system-ui, sans-serif"},
    annotations: traces.length ? [] : [{text: "no run to draw", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5}],
  }, {responsive: true, displaylogo: false, displayModeBar: false});
  $("failed").textContent = failures(chosen) + (zero ? " What is at 0 is drawn with linear axes alone." : "");
  pictures();
  history.replaceState(null, "", "#" + new URLSearchParams(state));
}

function wrapped(text, length) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if ((lines.at(-1) + word).length > length && lines.at(-1)) lines.push("");
    lines[lines.length - 1] += word + " ";
  }
  return lines.map(line => line.trim().replaceAll("&", "&amp;").replaceAll("<", "&lt;")).join("<br>");
}

let pictured = null;  // the dataset whose choices stand there
function pictures() {
  const found = data.pictures[state.dataset], there = Boolean(found && found.cuts);
  $("deformation").hidden = !there;
  $("nothing").textContent = there ? "" : `The data of ${state.dataset} are no pictures.`;
  if (!there) return;
  if (pictured !== state.dataset) {
    $("sample").replaceChildren(...found.samples.map((name, i) => new Option(name, i)));
    $("cut").replaceChildren(...found.cuts.map((one, i) => new Option(one.cut, i)));
    $("displacement").max = found.cuts[0].displacements.length - 1;
    $("displacement").value = Math.floor(found.cuts[0].displacements.length / 2);
    pictured = state.dataset;
  }
  const cut = Number($("cut").value), step = Number($("displacement").value);
  $("deformed").src = found.frames[cut][step][Number($("sample").value)];
  $("pixels").textContent = `${found.cuts[cut].displacements[step].toFixed(2)} pixel`;
}
for (const id of ["sample", "cut", "displacement"]) $(id).addEventListener("input", pictures);
window.addEventListener("hashchange", () => { Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1)))); update(); });
update();
