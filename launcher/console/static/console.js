// What the pages do in the browser beyond htmx: the form's fields that show others, pickers,
// charts, copying, the theme. Everything that is shown comes from the server as text or numbers.
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- the launch form ---------------------------------------------------------------------------

const form = one("#launch");

const readField = (id) => {
  const inputs = all(`[data-field="${id}"]`, form);
  const input = inputs.find((each) => each.type !== "radio" || each.checked);
  return input ? input.value : "";
};

// A child is there only while its parent has one of its values; without any, any value will do.
// What is not there is not sent.
function showChildren() {
  for (const field of all(".field[data-parent]", form)) {
    const parent = one(`#${field.dataset.parent}-field`, form);
    const triggers = JSON.parse(field.dataset.triggers);
    const value = readField(field.dataset.parent);
    const shown = !parent.hidden && (triggers.length ? triggers.includes(value) : value !== "");
    field.hidden = !shown;
    for (const input of all("input, select, textarea, button", field)) input.disabled = !shown;
  }
}

function describeChoice(select) {
  const text = one(`[data-description-of="${select.id}"]`, form);
  if (text) text.textContent = select.selectedOptions[0]?.dataset.description ?? "";
}

function touch(id) {
  const touched = form.elements.touched;
  const ids = new Set(touched.value.split(" ").filter(Boolean));
  touched.value = [...ids.add(id)].join(" ");
}

function markProblems() {
  for (const problem of all(".problem[id$='-problem']", form)) {
    const id = problem.id.replace(/-problem$/, "");
    const isWrong = problem.textContent.trim() !== "";
    const inputs = all(`[data-field="${CSS.escape(id)}"], #${CSS.escape(id)}`, form);
    for (const input of inputs) {
      if (isWrong) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  }
}

if (form) {
  // Before htmx sends the form: what is hidden now must not go with it.
  form.addEventListener("input", (event) => {
    if (event.target.dataset.field) touch(event.target.dataset.field);
    if (event.target.matches("select")) describeChoice(event.target);
    showChildren();
  }, true);
  form.addEventListener("focusout", (event) => {
    const { field } = event.target.dataset;
    if (field && !event.relatedTarget?.closest("dialog")) touch(field);
  });
  form.addEventListener("submit", () => { form.elements.touched.value = "all"; }, true);
  new MutationObserver(markProblems).observe(form, { childList: true, subtree: true });
  showChildren();
  all("select", form).forEach(describeChoice);
}

document.addEventListener("htmx:response:error", (event) => {
  const { status } = event.detail.ctx.response;
  if (status === 422 && form) {
    const wrong = one("[aria-invalid]", form) ?? one("#other-problem", form);
    requestAnimationFrame(() => (one("[aria-invalid]", form) ?? wrong).focus());
  } else {
    notify(`The console answered ${status}. Reload the page to see why.`);
  }
});

// --- pickers -----------------------------------------------------------------------------------

const dialog = one("#picker");

async function openPicker(address) {
  const answer = await fetch(address, { headers: { "HX-Request": "true" } });
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  one("#picker-content").replaceChildren(...parsed.body.childNodes);
  if (!dialog.open) dialog.showModal();
  (one(".entry", dialog) ?? one("[data-close]", dialog))?.focus();
}

function choose(value) {
  const input = one(`#${one("[data-picker]", dialog).dataset.picker}`);
  input.value = value;
  dialog.close();
  input.focus();
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

// --- charts ------------------------------------------------------------------------------------

const plots = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(figure, times, values) {
  figure.hidden = false;
  const unit = figure.dataset.unit;
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  const format = (value) => value?.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
  one("output", figure).textContent = last === undefined ? "" : `${format(last)} ${unit}`.trim();
  const plot = one(".plot", figure);
  const start = times[0];
  const data = [times.map((time) => time - start), values];
  const known_plot = plots.get(figure);
  if (known_plot) {
    known_plot.setData(data);
    return;
  }
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui", size: 44 };
  const clock = (seconds) => seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  const chart = new uPlot({
    width: Math.max(240, plot.clientWidth),
    height: 120,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: false }, y: { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 26, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400], values: (_, splits) => splits.map(clock) },
      { ...axis, values: (_, splits) => splits.map(format) },
    ],
    series: [{}, { stroke: colour("--accent"), width: 1.6, fill: colour("--accent-soft"), spanGaps: true, points: { show: (self) => self.data[1].filter((value) => value !== null).length < 4 } }],
    hooks: {
      setCursor: [(self) => {
        const value = self.cursor.idx === null || self.cursor.idx === undefined ? last : values[self.cursor.idx];
        if (value !== null && value !== undefined) one("output", figure).textContent = `${format(value)} ${unit}`.trim();
      }],
    },
  }, data, plot);
  plots.set(figure, chart);
}

async function drawCharts() {
  const charts = one("#charts");
  if (!charts) return;
  const answer = await fetch(charts.dataset.history);
  if (!answer.ok) return;
  const lines = await answer.json();
  for (const figure of all("[data-line]", charts)) {
    const values = lines[figure.dataset.line];
    if (values && lines.time.length > 1) draw(figure, lines.time, values);
  }
  one("[data-no-charts]", charts).hidden = lines.time.length > 1;
}

new ResizeObserver(() => {
  for (const [figure, chart] of plots) {
    chart.setSize({ width: Math.max(240, one(".plot", figure).clientWidth), height: 120 });
  }
}).observe(document.body);

function forgetCharts() {
  for (const [figure, chart] of plots) {
    chart.destroy();
    plots.delete(figure);
  }
}

document.addEventListener("htmx:after:swap", () => {
  notify("");
  for (const figure of plots.keys()) {
    if (!figure.isConnected) plots.delete(figure);
  }
  drawCharts();
});

// --- everything else ---------------------------------------------------------------------------

function notify(text) {
  const notice = one("#notice");
  if (notice && notice.textContent !== text) notice.textContent = text;
}

document.addEventListener("htmx:error", () => {
  notify("The local Dataflow does not answer; what is shown may be old.");
});

async function copy(button) {
  await navigator.clipboard.writeText(one("code", button.parentElement).textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function switchTheme() {
  const isDark = colour("--scheme") === "dark";
  const theme = isDark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  forgetCharts();
  drawCharts();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { pick, open, value } = button.dataset;
  if (pick || open) {
    const typed = pick && one(`#${button.dataset.pickField}`).value;
    openPicker(typed?.startsWith("gs://") ? `${pick}&at=${encodeURIComponent(typed)}` : pick ?? open);
  }
  else if (value !== undefined) choose(value);
  else if ("close" in button.dataset) dialog.close();
  else if ("copy" in button.dataset) copy(button);
  else if ("themeSwitch" in button.dataset) switchTheme();
});

document.addEventListener("change", (event) => {
  if ("go" in event.target.dataset) location.assign(event.target.value);
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
  const { busy } = event.target.dataset;
  if (busy) {
    const button = one("button", event.target);
    setTimeout(() => { button.disabled = true; });
    button.textContent = busy;
  }
});

drawCharts();
