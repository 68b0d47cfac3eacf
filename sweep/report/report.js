// Figures that answer the pointer. The page is whole without this: it takes the place of pictures that are there.
(() => {
  "use strict";
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const holders = [...document.querySelectorAll("[data-live]")];
  if (typeof DecompressionStream === "undefined" || typeof IntersectionObserver === "undefined") return;

  let loading = null;
  const plotly = () => (loading ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly-source").textContent), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  })());

  const color = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const shade = (name, alpha) => {
    const n = parseInt(color(name).slice(1), 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
  };
  const safe = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const figures = value => Number(value.toPrecision(4)).toString().replace("-", "\u2212");
  const run = trial => (report.runs && report.runs[trial] ? report.run_page.join(report.runs[trial]) : null);
  // Long lines of hyperparameters would run over the edge of a small screen.
  const folded = text => text.split(" \u00b7 ").reduce((lines, part) => {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + part.length < 42) lines[last] += " \u00b7 " + part;
    else lines.push(part);
    return lines;
  }, []);

  const SYMBOLS = {"o": "circle", "^": "triangle-up", "s": "square", "D": "diamond", "v": "triangle-down", "P": "cross"};
  const font = size => ({family: getComputedStyle(document.body).fontFamily, size, color: color("ink")});
  const base = () => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: font(12), showlegend: false,
    hoverlabel: {bgcolor: color("raised"), bordercolor: color("muted"), font: font(12), align: "left"},
  });

  function scatter(data) {
    const traces = [];
    for (const t of data.traces) {
      const line = t.line;
      if (!line.x.length) continue;
      traces.push({x: [...line.x, ...line.x.slice().reverse()], y: [...line.high, ...line.low.slice().reverse()],
        fill: "toself", fillcolor: shade(t.color, 0.16), line: {width: 0}, mode: "lines", hoverinfo: "skip"});
    }
    for (const t of data.traces) {
      traces.push({x: t.x, y: t.y, mode: "markers", name: t.name, customdata: t.trial,
        text: t.trial.map((trial, i) => [`<b>${safe(t.name)}</b>`, ...folded(report.trials[trial]).map(safe),
          `${safe(data.x.name)} ${figures(t.x[i])}, ${safe(data.y.name.toLowerCase())} ${figures(t.y[i])}`].join("<br>")),
        hovertemplate: "%{text}<extra></extra>",
        marker: {symbol: SYMBOLS[t.marker], size: 8, color: shade(t.color, 0.75), line: {color: color("surface"), width: 0.7}}});
    }
    for (const t of data.traces) {
      if (t.line.x.length) traces.push({x: t.line.x, y: t.line.fit, mode: "lines", hoverinfo: "skip", line: {color: color(t.color), width: 2}});
    }
    const axis = title => ({title: {text: safe(title), standoff: 8}, gridcolor: color("grid"), zeroline: false, linecolor: color("muted"),
      ticks: "outside", tickcolor: color("muted"), ticklen: 4, automargin: true});
    return [traces, {...base(), margin: {l: 8, r: 8, t: 8, b: 8}, hovermode: "closest", dragmode: false,
      xaxis: axis(data.x.title), yaxis: {...axis(data.y.title), range: data.y.range}}];
  }

  function parallel(data) {
    const scale = Array.from({length: 8}, (_, n) => [n / 7, color("step-" + n)]);
    const plain = font(11);
    const widest = c => 6.5 * Math.max(0, ...c.ticks.map(words => words.length));
    return [[{type: "parcoords",
      dimensions: data.coordinates.map(c => ({label: safe(c.label), values: c.values, range: c.range, tickvals: c.at, ticktext: c.ticks.map(safe)})),
      line: {color: data.color, colorscale: scale, cmin: 0, cmax: 1}, unselected: {line: {color: color("muted"), opacity: 0.08}},
      labelfont: plain, tickfont: plain, rangefont: {...plain, color: "rgba(0,0,0,0)"}}],
      {...base(), margin: {l: Math.max(48, 12 + widest(data.coordinates[0])), r: 56, t: 44, b: 12}}];
  }

  const FORMS = {scatter, parallel};
  const HINT = "Point at a trial to see what it is";

  function told(note, trial, values) {
    const words = document.createElement("span");
    words.textContent = [report.trials[trial], ...values].join(" \u00b7 ");
    const link = run(trial);
    note.replaceChildren(words);
    if (link) {
      const a = document.createElement("a");
      a.href = link; a.target = "_blank"; a.rel = "noopener"; a.textContent = "its MLflow run";
      note.append(" ", a);
    }
  }

  async function show(holder) {
    const data = report.figures[holder.dataset.live];
    const Plotly = await plotly();
    const frame = document.createElement("div");
    frame.className = "frame " + data.form;
    const canvas = document.createElement("div");
    canvas.className = "canvas";
    if (data.form === "parallel") canvas.style.minWidth = 105 * data.coordinates.length + "px";
    const note = document.createElement("p");
    note.className = "trial";
    note.textContent = HINT + (report.runs ? "; a click opens its MLflow run." : ".");
    frame.append(canvas);
    holder.append(frame, note);
    const drawing = holder.closest(".drawing");
    drawing.classList.add("alive");
    let under = null, touched = false;
    canvas.addEventListener("pointerdown", event => { touched = event.pointerType === "touch"; });
    // A finger has no hovering: its first touch says what the trial is, and the link below opens the run.
    const open = () => { if (under !== null && !touched && run(under)) window.open(run(under), "_blank", "noopener"); };
    const draw = () => {
      const [traces, layout] = FORMS[data.form](data);
      return Plotly.react(canvas, traces, layout, {displayModeBar: false, responsive: true});
    };
    await draw();
    if (data.form === "parallel") {
      canvas.on("plotly_hover", event => {
        under = data.trial[event.curveNumber];
        canvas.style.cursor = run(under) ? "pointer" : "";
        told(note, under, Object.entries(data.ends).map(([name, values]) => `${name.toLowerCase()} ${figures(values[event.curveNumber])}`));
      });
      canvas.on("plotly_unhover", () => { under = null; canvas.style.cursor = ""; });
      // Dragging along an axis chooses a range, which is no click.
      let from = null;
      canvas.addEventListener("mousedown", event => { from = [event.clientX, event.clientY]; });
      canvas.addEventListener("click", event => {
        if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) < 4) open();
      });
    } else {
      canvas.on("plotly_hover", event => {
        const point = event.points[0];
        under = point.customdata;
        told(note, under, [`${data.x.name.toLowerCase()} ${figures(point.x)}`, `${data.y.name.toLowerCase()} ${figures(point.y)}`]);
      });
      canvas.on("plotly_unhover", () => { under = null; });
      canvas.on("plotly_click", event => { under = event.points[0].customdata; open(); });
    }
    holder.redraw = draw;
  }

  const near = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      show(entry.target.querySelector("[data-live]")).catch(error => {
        entry.target.classList.remove("alive");
        console.warn("figure stays a picture:", error);
      });
    }
  }, {rootMargin: "300px"});
  const begin = () => holders.forEach(holder => near.observe(holder.closest(".drawing")));
  // The page can be read before five megabytes of script are made ready.
  addEventListener("load", () => ("requestIdleCallback" in window ? requestIdleCallback(begin, {timeout: 500}) : setTimeout(begin, 200)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => holders.forEach(holder => holder.redraw && holder.redraw()));
})();
