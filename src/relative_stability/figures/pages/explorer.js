"use strict";
// What is shown: a variable of a sweep against one of its dimensions (or the error against D, G or R of the same run),
// at one value of each other dimension; every seed is a point, and a line goes through the means of each net.
const data = JSON.parse(document.getElementById("data").textContent);
const GROUPED = ["dataset", "net", "seed"], COMPARED = ["R", "D", "G"], INNER = ["layer", "snapshot", "time", "record"];
const STATES = {init: "at initialisation", trained: "after training", fitted: "at t*"}, BOTH = "both", ROWS = 500;
const $ = id => document.getElementById(id);
const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const sweep = () => data.sweeps.find(s => s.name === state.sweep);
let drawn = [];  // every point that is seen, as a row of the table

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

function axes(variable) {  // what may stand at the horizontal axis, and first what a variable is recorded along
  const dims = variable.dims.filter(dim => !GROUPED.includes(dim) && typeof sweep().dims[dim][0] === "number");
  dims.sort((a, b) => INNER.includes(b) - INNER.includes(a));
  return dims.concat(state.y === "test_error" ? COMPARED.filter(name => name in sweep().variables) : []);
}

function rest(variable) {  // dimensions that need a value chosen
  const other = COMPARED.includes(state.x) ? sweep().variables[state.x].dims : [];
  const dims = [...new Set(variable.dims.concat(other))].filter(dim => !GROUPED.includes(dim) && dim !== state.x);
  return COMPARED.includes(state.x) ? dims.filter(dim => dim !== "P") : dims;
}

function words(name) {  // a variable, or what stands at an axis
  const s = sweep();
  if (name in s.variables) return s.variables[name].title;
  return s.along[name] ? s.along[name].title : name === "layer" ? "layer, in the order of execution" : s.titles[name] || name;
}

function label(dim, i) {
  const one = sweep().dims[dim][i];
  return dim === "layer" ? `${i + 1}` : dim === "state" ? STATES[one] || one : String(one);
}

function shortened(number) { return Number.isFinite(number) ? String(+number.toPrecision(4)) : "none"; }

function choose(parent, key, text, options, texts) {
  const box = document.createElement("label"), select = document.createElement("select");
  box.append(text, select);
  options.forEach((option, i) => select.add(new Option(texts ? texts[i] : option, option)));
  select.value = state[key];
  select.id = "choice-" + key;
  select.onchange = () => {
    state[key] = select.value;
    if (key === "y" || key === "sweep") delete state.x;
    update();
  };
  parent.append(box);
}

function controls(variable) {
  const s = sweep(), parent = $("choices"), focused = document.activeElement && document.activeElement.id;
  const names = Object.keys(s.variables);
  parent.replaceChildren();
  choose(parent, "sweep", "sweep", data.sweeps.map(one => one.name));
  choose(parent, "dataset", "dataset", s.dims.dataset);
  choose(parent, "y", "what", names, names.map(words));
  choose(parent, "x", "against", axes(variable), axes(variable).map(words));
  for (const dim of rest(variable)) {
    const indices = s.dims[dim].map((_, i) => String(i)), texts = indices.map(i => label(dim, Number(i)));
    if (dim === "state" && !COMPARED.includes(state.x) && s.dims.state.includes("init") && s.dims.state.includes("trained")) {
      indices.unshift(BOTH);
      texts.unshift("both");
    }
    keep(dim, indices, indices[0] === BOTH ? BOTH : String(dim in s.first ? s.first[dim] : 0));
    if (s.dims[dim].length > 1) choose(parent, dim, s.titles[dim] || dim, indices, texts);
  }
  const box = document.createElement("label"), input = document.createElement("input");
  Object.assign(input, {type: "checkbox", id: "linear", checked: state.linear === "1"});
  input.onchange = () => { state.linear = input.checked ? "1" : "0"; update(); };
  box.className = "check";
  box.append(input, "linear axes");
  parent.append(box);
  if (focused && $(focused)) $(focused).focus();
}

function points(variable, net, chosen) {  // every seed of a net, with where it stands and what is known of it
  const s = sweep(), compared = COMPARED.includes(state.x), found = [], along = s.along[state.x];
  const places = compared ? s.dims.P.map((_, i) => ["P", i]) : s.dims[state.x].map((_, i) => [state.x, i]);
  for (const [dim, i] of places) s.dims.seed.forEach((seed, k) => {
    const at = {...chosen, net, seed: k, [dim]: i};
    const counted = dim === "layer" ? i + 1 : s.dims[dim][i];
    const x = compared ? value(s.variables[state.x], at) : along ? value(along, at) : counted;
    const y = value(variable, at);
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const when = variable.dims.includes("state") ? label("state", at.state) : "";
    const text = [`${state.dataset}, ${s.dims.net[net]}, P = ${s.dims.P[at.P]}, seed ${seed}${when && `, ${when}`}`];
    const layer = dim === "layer" && s.layer_names ? s.layer_names[net][i] : "";
    if (dim !== "P") text.push(`${along ? along.name.replaceAll("_", " ") : dim} ${shortened(x)}${layer && `: ${escaped(layer)}`}`);
    text.push(`<b>${state.y.replaceAll("_", " ")} = ${shortened(y)}</b>`);
    const end = {...at, state: s.dims.state ? s.dims.state.indexOf("trained") : 0};
    for (const name of ["test_error", ...COMPARED]) {
      if (name !== state.y && name in s.variables) text.push(`${name.replaceAll("_", " ")} after training = ${shortened(value(s.variables[name], end))}`);
    }
    for (const name of Object.keys(s.failed)) if (value(s.failed[name], at)) text.push(name);
    found.push({x, y, i, text: text.join("<br>")});
    drawn.push([state.dataset, s.dims.net[net], s.dims.P[at.P], seed, when, layer || "", x, y]);
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
  const chosen = {dataset: s.dims.dataset.indexOf(state.dataset)}, compared = COMPARED.includes(state.x);
  for (const dim of rest(variable)) chosen[dim] = Number(state[dim]);
  if (!("P" in chosen)) chosen.P = s.first.P;
  const both = "state" in chosen && state.state === BOTH, traces = [];
  const states = both ? ["trained", "init"].map(name => s.dims.state.indexOf(name)) : [chosen.state];
  drawn = [];
  for (const at of states) s.dims.net.forEach((name, net) => {
    const found = points(variable, net, {...chosen, state: at}), style = s.styles[name];
    if (!found.length) return;
    const initial = both && s.dims.state[at] === "init", line = compared ? [] : means(found);
    const shared = {name: escaped(name), legendgroup: name, showlegend: false};
    if (!compared) traces.push({...shared, x: line.map(p => p.x), y: line.map(p => p.y), mode: "lines", hoverinfo: "skip",
      line: {color: style.color, dash: initial ? "dot" : style.dash, width: 2}});
    traces.push({...shared, x: found.map(p => p.x), y: found.map(p => p.y), text: found.map(p => p.text), mode: "markers",
      showlegend: !initial, hovertemplate: "%{text}<extra></extra>",
      marker: {color: style.color, symbol: style.symbol + (initial ? "-open" : ""), size: 9, line: {color: initial ? style.color : "#fff", width: 1}}});
  });
  // A logarithmic axis has no place for the 0 of the initialisation: a dotted line stands for it.
  const all = key => traces.every(trace => trace[key].every(number => number > 0 || (key === "x" && number === 0)));
  const straight = key => state.linear === "1" || !all(key) || (key === "x" && state.x === "layer");
  const axis = (key, title) => ({title: {text: title, font: {size: 14}}, type: straight(key) ? "linear" : "log", automargin: true, showline: true,
    ticks: "outside", gridcolor: "#eee", zeroline: false, exponentformat: "power", nticks: 7, tickformat: key === "x" && state.x === "layer" ? "d" : ""});
  const across = (y, line) => ({type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line, layer: "between"}), shapes = [];
  let zero = false;
  for (const trace of traces) {
    const k = trace.mode === "lines" && !straight("x") ? trace.x.indexOf(0) : -1;
    if (k < 0) continue;
    zero = true;
    shapes.push(across(trace.y[k], {color: trace.line.color, width: 1.5, dash: "dot"}));
  }
  const line = {color: "#555", width: 1.5};
  if (/^R(_|$)/.test(state.y)) shapes.push(across(1, line));
  if (state.x === "R") shapes.push({type: "line", yref: "paper", y0: 0, y1: 1, x0: 1, x1: 1, line, layer: "between"});
  Plotly.react("plot", traces, {
    xaxis: axis("x", wrapped(words(state.x), window.innerWidth / 12)), yaxis: axis("y", wrapped(variable.title, 40)), hovermode: "closest", showlegend: true,
    legend: {orientation: "h", y: 1.02, yanchor: "bottom"}, margin: {t: 40, r: 15, l: 60, b: 50}, font: {family: "system-ui, sans-serif"}, shapes,
    annotations: traces.length ? [] : [{text: "no run to draw", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5}],
  }, {responsive: true, displaylogo: false, displayModeBar: false});
  const said = [both ? "Dotted, with open markers: at initialisation. " : "", zero ? "Dotted across: where the horizontal axis is 0, at initialisation. " : ""];
  $("failed").textContent = said.join("") + failures(chosen);
  table();
  pictures();
  history.replaceState(null, "", "#" + new URLSearchParams(state));
}

function columns() {
  const s = sweep(), x = s.along[state.x] ? s.along[state.x].name : state.x;
  return ["dataset", "net", "P", "seed", "state", "layer name", x === "P" ? "at P" : x, state.y];
}

function table() {  // what is drawn, for those who do not point with a mouse
  const used = columns().map((_, i) => drawn.some(row => row[i] !== ""));
  const line = (tag, cells) => {
    const row = document.createElement("tr");
    cells.forEach((cell, i) => {
      if (!used[i]) return;
      const one = document.createElement(tag);
      if (tag === "th") one.scope = "col";
      one.textContent = typeof cell === "number" ? shortened(cell) : String(cell).replaceAll("_", " ");
      row.append(one);
    });
    return row;
  };
  $("head").replaceChildren(line("th", columns()));
  $("rows").replaceChildren(...drawn.slice(0, ROWS).map(row => line("td", row)));
  $("more").textContent = drawn.length > ROWS ? `The first ${ROWS} of ${drawn.length} points; all are in the file of numbers.` : "";
}

function save() {
  const quoted = cell => /[",\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell;
  const text = [columns(), ...drawn].map(row => row.map(quoted).join(",")).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  link.download = `${state.sweep}_${state.y}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function escaped(text) { return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); }

function wrapped(text, length) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if ((lines.at(-1) + word).length > length && lines.at(-1)) lines.push("");
    lines[lines.length - 1] += word + " ";
  }
  return lines.map(line => escaped(line.trim())).join("<br>");
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
  const cut = Number($("cut").value), step = Number($("displacement").value), sample = Number($("sample").value);
  $("original").src = found.frames[cut][0][sample];
  $("deformed").src = found.frames[cut][step][sample];
  $("pixels").textContent = `${found.cuts[cut].displacements[step].toFixed(2)} pixel`;
}
for (const id of ["sample", "cut", "displacement"]) $(id).addEventListener("input", pictures);
$("save").onclick = save;
$("picture").onclick = () => Plotly.downloadImage("plot", {format: "svg", filename: `${state.sweep}_${state.y}`, width: 800, height: 550});
window.addEventListener("hashchange", () => { Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1)))); update(); });
update();
