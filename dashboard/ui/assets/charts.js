// The charts of the Run page: fetched when they come into sight, grown by live points, looked at closer where one zooms in.
//
// A host (`data-chart`) is an empty box in a card. Its figure comes from `POST /charts/<run>` (dashboard/ui/drawing.py); the
// points that came meanwhile are appended before it is drawn. Only what is in sight is drawn, and the rest
// of the time is the reader's.
(function () {
  "use strict";

  var PLOTLY = "/_dash-component-suites/plotly/package_data/plotly.min.js";  // where Dash's own charts look for it
  var NEAR = "300px 0px";     // how far outside the window a chart is fetched and drawn; live points wait until it is seen
  var AT_ONCE = 12;           // charts in one request
  var MOST_DRAWN = 40;        // charts out of sight that stay drawn
  var TOO_MANY = 8000;        // points on one line before it is fetched again in buckets
  var SLICE = 12;             // ms of drawing in one frame, about, while somebody scrolls, points or types
  var CALM_SLICE = 60;        // and while nobody does: charts that are drawn in one frame are on the screen sooner
  var CALM_AFTER = 400;       // ms since the last of that
  var REST = 0.4;             // of the time that drawing took, left to others when all is calm
  var LAID_OUT = 1000;        // ms for which a live chart may go without plotly: its axes and what a pointer reads off it are as old
  var SETTLED = 1500;         // ms after the last point, when a chart gets its last layout, without room for more
  var SLOWEST = 500;          // ms between two such frames, at most
  var ZOOM_WAIT = 120;        // ms after the last zoom or pan before its window is asked for
  var RETRY = 2000;           // ms after a request that failed

  var run = "", charts = new Map(), known = null, layers = {}, focused = "";
  var asking = false, askTimer = null, drawTimer = null, settleTimer = null, pause = 0, drawnAt = 0, touchedAt = 0;

  // -- plotly ---------------------------------------------------------------------------------------------------------
  // Loaded from the first moment on, beside everything else. Dash's own charts wait for `window.Plotly` when it is a promise.
  var plotly = null;
  function load() {
    if (plotly) return plotly;
    if (window.Plotly) return (plotly = Promise.resolve(window.Plotly));
    plotly = new Promise(function (done) {
      var script = document.createElement("script");
      script.src = PLOTLY;
      script.onload = function () { done(window.Plotly); };
      document.head.appendChild(script);
    });
    window.Plotly = plotly;
    return plotly;
  }

  // -- which charts there are -----------------------------------------------------------------------------------------
  var nearby = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      var chart = charts.get(entry.target);
      if (!chart) return;
      chart.near = entry.isIntersecting;
      if (!chart.near) tidy();
    });
    ask();
  }, { rootMargin: NEAR });

  var sight = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      var chart = charts.get(entry.target);
      if (chart) chart.seen = entry.isIntersecting;
    });
    soon();  // the points that came while they were out of sight
  });

  // Dash makes the cards anew when a series is new. A chart then moves into its new card and stays what it is, zoom and all.
  function look() {
    var homeless = {};
    charts.forEach(function (chart, host) {
      if (host.isConnected && host.dataset.chart === chart.key) return;
      nearby.unobserve(host);
      sight.unobserve(host);
      charts.delete(host);
      homeless[chart.key] = chart;
    });
    document.querySelectorAll(".rw-run [data-chart]").forEach(function (host) {
      var chart = charts.get(host), key = host.dataset.chart;
      if (!chart) {
        chart = homeless[key] || { key: key, series: host.dataset.series, gd: null, near: false, seen: false, stale: true, hole: false, window: null, drawnAt: 0, layAt: 0, loose: false, best: 0 };
        delete homeless[key];
        chart.host = host;
        if (chart.gd) host.replaceChildren(chart.gd);
        charts.set(host, chart);
        nearby.observe(host);
        sight.observe(host);
      }
      if (host.dataset.series === chart.series) return;
      chart.series = host.dataset.series;
      chart.stale = true;
    });
    Object.keys(homeless).forEach(function (key) { undraw(homeless[key]); });
    ask();
  }

  function undraw(chart) {
    if (!chart.gd) return;
    window.Plotly.purge(chart.gd);
    chart.gd.remove();
    chart.gd = null;
    chart.stale = true;
    chart.window = null;
  }

  function tidy() {
    var away = Array.from(charts.values()).filter(function (chart) { return chart.gd && !chart.near; });
    away.slice(0, Math.max(0, away.length - MOST_DRAWN)).forEach(undraw);
  }

  // -- figures --------------------------------------------------------------------------------------------------------
  function stale(chart) {
    chart.stale = true;
    ask();
  }

  function refresh() {  // what is drawn may have a hole, or be looked at in another way
    charts.forEach(function (chart) { chart.stale = chart.hole = true; });
    ask();
  }

  function review() {  // another x axis, scale, reading or smoothing: windows are in the old axis's unit
    charts.forEach(function (chart) { chart.stale = true; chart.window = null; });
    ask();
  }

  function ask(wait) {
    if (askTimer && !wait) return;
    clearTimeout(askTimer);
    askTimer = setTimeout(function () { askTimer = null; send(); }, wait || 0);
  }

  function send() {
    if (asking || !run || document.hidden) return;
    choose();
    var due = Array.from(charts.values()).filter(function (chart) { return chart.near && chart.stale && (!hearing || within(hearing, chart)); });
    if (!due.length) return;
    // The large chart first and alone, then what is looked at closely, then the others together.
    var one = due.find(function (chart) { return chart.key === "loss"; }) || due.find(function (chart) { return chart.window; });
    var batch = one ? [one] : due.slice(0, AT_ONCE), id = run, taken = window.runwellGrow.taken();
    batch.forEach(function (chart) { chart.stale = false; chart.asked = true; });
    asking = true;
    Promise.all([fetchFigures(id, batch), load()]).then(function (both) {
      batch.forEach(function (chart) {
        var figure = both[0].figures[chart.key];
        if (figure && charts.get(chart.host) === chart) draw(chart, figure, both[0].config, taken);
      });
      return 0;
    }, function () {
      batch.forEach(function (chart) { chart.stale = true; });
      return RETRY;
    }).then(function (wait) {
      batch.forEach(function (chart) { chart.asked = false; });
      asking = false;
      ask(wait);
    });
  }

  function fetchFigures(id, batch) {
    var body = { keys: batch.map(function (chart) { return chart.key; }), view: location.search, window: batch[0].window };
    return fetch("/charts/" + encodeURIComponent(id), { method: "POST", body: JSON.stringify(body) }).then(function (answer) {
      if (!answer.ok) throw new Error("no figures: " + answer.status);
      return answer.json();
    });
  }

  function draw(chart, figure, config, taken) {
    var meta = figure.layout.meta;
    figure.data.forEach(function (trace) {
      trace.meta.last = meta.last[trace.meta.series];
      trace.meta.taken = taken[trace.meta.series] || 0;
    });
    chart.hole = window.runwellGrow.grow(figure.data, meta.axis) === "hole";
    if (chart.hole) chart.stale = true;
    overlay(figure.layout, meta.key);
    chart.layAt = 0;
    if (chart.gd) {
      window.Plotly.react(chart.gd, figure.data, figure.layout, config);
      return window.runwellLines.drawn(chart.gd);
    }
    chart.gd = document.createElement("div");
    chart.host.replaceChildren(chart.gd);
    chart.gd.style.height = "100%";
    window.Plotly.newPlot(chart.gd, figure.data, figure.layout, config);
    window.runwellLines.drawn(chart.gd);
    chart.gd.on("plotly_relayout", function (change) { zoomed(chart, change); });
    focus(chart);
  }

  // -- which series the stream sends points of ------------------------------------------------------------------------
  // Those of charts that are drawn or near. While the stream is open, a figure is asked for when the stream has said that it
  // sends its points: the store then holds all that it does not send. While it is closed, figures are asked for as they are
  // needed: it begins, when it opens, with what came since it closed, or since the page was made.
  var waiting = [], hearing = null, chose = new Set();  // lists that are on their way; the last one that was answered, or null; the last one sent

  function names(chart) {
    var found = JSON.parse(chart.series), axis = chart.gd && chart.gd.layout.meta.axis;
    return axis && axis.counts && axis.counts.series ? found.concat(axis.counts.series) : found;
  }

  function wanted() {
    var found = new Set();
    charts.forEach(function (chart) {
      if (chart.near || chart.gd || chart.asked) names(chart).forEach(function (name) { found.add(name); });
    });
    return found;
  }

  function tell(list) {
    chose = list;
    waiting.push(list);
    window.runwellLive.choose(Array.from(list));
  }

  function choose() {
    if (!hearing) return;
    var list = wanted(), more = false;
    list.forEach(function (name) { more = more || !chose.has(name); });
    if (more || chose.size > 2 * list.size + MOST_DRAWN) tell(list);
  }

  function within(list, chart) {
    return JSON.parse(chart.series).every(function (name) { return list.has(name); });
  }

  function opened() {
    waiting = [];
    tell(wanted());
  }

  function chosen() {  // the stream's answer; the first one is its hello
    if (!waiting.length) return;
    var list = waiting.shift(), before = hearing || list;
    charts.forEach(function (chart) {
      if ((chart.gd || chart.asked) && !within(before, chart)) chart.stale = true;  // it may have a hole: asked for between opening and hello
    });
    hearing = list;
    ask();
  }

  function closed() {
    hearing = null;
    waiting = [];
  }

  function named(series) {
    if (known && series.some(function (name) { return !known.has(name); })) window.runwellLive.poke("refresh");
  }

  // -- live points ----------------------------------------------------------------------------------------------------
  function points(id, series) {
    if (id !== run) return;
    window.runwellGrow.take(series);
    soon();
  }

  function soon() {
    if (drawTimer) return;
    drawTimer = setTimeout(function () {
      requestAnimationFrame(function () { drawTimer = null; flush(); });
    }, Math.max(0, drawnAt + pause - performance.now()));
  }

  ["wheel", "scroll", "pointermove", "pointerdown", "touchmove", "keydown"].forEach(function (kind) {
    addEventListener(kind, function () { touchedAt = performance.now(); }, { capture: true, passive: true });
  });

  // One chart after the other, the one drawn longest ago first, all in one frame unless the page is being used or they are many.
  // It then rests for a part of the time that this took, and for longer where a chart takes longer than it did at best: then
  // others want the machine, too.
  function flush() {
    if (document.hidden) return;
    var start = performance.now(), before = start, least = 0, more = false;
    var slice = touchedAt && start - touchedAt < CALM_AFTER ? SLICE : CALM_SLICE;
    inOrder().forEach(function (chart) {
      if (before - start > slice) { more = true; return; }
      var laidOut = extend(chart), took = performance.now() - before;
      before += took;
      if (laidOut) chart.best = Math.min(took, chart.best * 1.01 || took);
      least += laidOut ? chart.best : took;
    });
    drawnAt = before;
    pause = least ? Math.min(SLOWEST, REST * (before - start) * Math.pow((before - start) / least, 2)) : 0;
    if (more) soon();
  }

  function inOrder() {
    return Array.from(charts.values()).filter(function (chart) { return chart.gd && chart.seen && !chart.hole; })
      .sort(function (one, other) { return one.drawnAt - other.drawnAt; });
  }

  // Draws what is new; whether plotly had to lay the chart out for it.
  function extend(chart) {
    var meta = chart.gd.layout.meta, result = window.runwellGrow.grow(chart.gd.data, meta.axis);
    if (result === "same") return false;
    var lengthened = result !== "hole" && performance.now() < chart.layAt && window.runwellLines.lengthen(chart.gd);
    if (result === "hole") chart.hole = true;
    else if (!lengthened) layOut(chart, LAID_OUT * (0.75 + Math.random() / 2));
    settle();
    chart.drawnAt = performance.now();
    // A chart that was empty gets its axes back, one that has grown long fresh buckets.
    var long = chart.gd.data.some(function (trace) { return trace.x.length > TOO_MANY; });
    if (chart.hole || meta.empty || long) stale(chart);
    return !lengthened && !chart.hole;
  }

  // `wait` is how long, in ms, the chart then lives of lengthened lines; charts of one page take turns.
  function layOut(chart, wait) {
    window.runwellLines.makeRoom(chart.gd, wait / 1000);
    window.Plotly.redraw(chart.gd);
    window.runwellLines.drawn(chart.gd);
    chart.layAt = performance.now() + wait;
    chart.loose = wait > 0;
  }

  function settle() {
    clearTimeout(settleTimer);
    settleTimer = setTimeout(function () {
      if (document.hidden) return;
      charts.forEach(function (chart) { if (chart.gd && chart.loose) layOut(chart, 0); });
    }, SETTLED);
  }

  // -- a closer look --------------------------------------------------------------------------------------------------
  function zoomed(chart, change) {
    var axis = chart.gd.layout.xaxis;
    if (change["xaxis.autorange"]) chart.window = null;
    else if ("xaxis.range[0]" in change || "xaxis.range" in change) chart.window = [Number(axis.range[0]), Number(axis.range[1])];
    else return;
    if (chart.gd.layout.meta.whole) return;  // every point is drawn already
    chart.stale = true;
    ask(ZOOM_WAIT);
  }

  // An address with `at` leads to a step: the loss chart opens there, once; a double click shows everything.
  function focus(chart) {
    var at = Number(new URLSearchParams(location.search).get("at")), meta = chart.gd.layout.meta;
    if (!(at > 0) || focused === location.href || meta.key !== "loss" || meta.axis.kind === "time") return;
    var last = Math.max.apply(null, Object.keys(meta.last).map(function (name) { return meta.last[name]; }));
    if (last <= 0) return;
    focused = location.href;
    var margin = Math.max(25, 0.15 * last);
    var range = [Math.max(0, at - margin), Math.min(last, at + margin)];
    window.Plotly.relayout(chart.gd, { "xaxis.range": range.map(function (step) { return window.runwellGrow.place(meta.axis, [step, 0]); }) });
  }

  // -- what lies over the curves --------------------------------------------------------------------------------------
  function own(item) { return item.name === "limit" || item.name === "waiting"; }

  function overlay(layout, key) {
    var layer = layers[key];
    if (!layer) return false;
    layout.shapes = (layout.shapes || []).filter(own).concat(layer.shapes);
    layout.annotations = (layout.annotations || []).filter(own).concat(layer.annotations);
    return true;
  }

  function lay(data) {
    var before = layers;
    layers = data || {};
    charts.forEach(function (chart) {
      if (!chart.gd || JSON.stringify(before[chart.key]) === JSON.stringify(layers[chart.key])) return;
      var update = { shapes: chart.gd.layout.shapes, annotations: chart.gd.layout.annotations };
      if (overlay(update, chart.key)) window.Plotly.relayout(chart.gd, update);
    });
  }

  function begin(id) {
    if (id !== run) { window.runwellGrow.forget(); known = null; layers = {}; }
    run = id;
    look();
  }

  function forget() {
    window.runwellGrow.forget();
    refresh();
  }

  function know(names) {
    known = new Set(names);
    look();
  }

  if (location.pathname.indexOf("/run/") === 0) load();
  window.runwellCharts = { begin: begin, forget: forget, points: points, look: look, lay: lay, know: know, named: named, opened: opened, chosen: chosen, closed: closed, review: review, wake: function () { ask(); } };
})();
