// Draws live points on the charts, and lays findings over them.
//
// Every chart says in `layout.meta` which snapshot it is (`version`), its x axis and the last step drawn of each series;
// every trace says in `meta` which series it draws and how (see dashboard/ui/figures.py). Points are kept for a while, so
// that a chart that is drawn anew (another x axis, a refresh) gets those that came while it was on its way.
(function () {
  "use strict";

  var KEPT = 20000;           // points kept of each series
  var TOO_MANY = 8000;        // points on one line before the server is asked for fresh buckets
  var QUICK = 80, SLOW = 400; // ms between flushes: quick when drawing is cheap, slow under load

  var run = "", kept = {}, drawn = new WeakMap(), layers = {}, timer = null, pause = QUICK;

  function begin(id) {
    if (id !== run) kept = {};
    run = id;
  }

  function forget() {  // a rewind, or another server: what was kept may not be what is stored
    kept = {};
  }

  function number(value) {  // the wire's strings for numbers that JSON does not know
    return typeof value === "number" ? value : value === "Infinity" ? Infinity : value === "-Infinity" ? -Infinity : NaN;
  }

  function points(id, series) {
    if (id !== run) return;
    Object.keys(series).forEach(function (name) {
      var columns = series[name], list = kept[name] || (kept[name] = []);
      for (var i = 0; i < columns.step.length; i++) {
        list.push([columns.step[i], columns.time[i], number(columns.value[i])]);
      }
      if (list.length > KEPT) list.splice(0, list.length - KEPT);
      if (!isDrawn(name)) window.runwellLive.poke("refresh");  // a series that no chart knows yet
    });
    schedule();
  }

  function graphs() {
    return Array.prototype.filter.call(document.querySelectorAll(".rw-run .js-plotly-plot"), function (gd) {
      return gd.layout && gd.layout.meta && gd.data && !gd.layout.meta.still;
    });
  }

  function isDrawn(name) {
    if (/(^|\/)(tokens|epoch)$/.test(name)) return true;  // axes, not curves
    return graphs().some(function (gd) { return name in gd.layout.meta.last; });
  }

  function schedule() {
    if (!timer) timer = setTimeout(flush, pause);
  }

  function flush() {
    timer = null;
    var start = performance.now();
    graphs().forEach(grow);
    // Drawing may take a third of the time at most: the rest is the reader's.
    pause = Math.min(SLOW, Math.max(QUICK, 2 * (performance.now() - start)));
  }

  function state(gd) {
    var known = drawn.get(gd);
    if (!known || known.version !== gd.layout.meta.version) {
      known = { version: gd.layout.meta.version, last: Object.assign({}, gd.layout.meta.last), means: {} };
      drawn.set(gd, known);
    }
    return known;
  }

  function grow(gd) {
    var known = state(gd), fresh = {}, any = false;
    Object.keys(known.last).forEach(function (name) {
      var list = (kept[name] || []).filter(function (point) { return point[0] > known.last[name]; });
      if (!list.length) return;
      fresh[name] = list;
      any = true;
    });
    if (!any) return;
    var x = [], y = [], text = [], traces = [], long = false;
    gd.data.forEach(function (trace, index) {
      var list = trace.meta && fresh[trace.meta.series];
      if (!list) return;
      var added = addition(gd, known, trace, list);
      if (!added.x.length) return;
      traces.push(index);
      x.push(added.x);
      y.push(added.y);
      text.push(added.text);
      long = long || trace.x.length > TOO_MANY;
    });
    Object.keys(fresh).forEach(function (name) { known.last[name] = fresh[name][fresh[name].length - 1][0]; });
    extend(gd, traces, x, y, text);
    // A chart that was empty gets its axes back, one that has grown long fresh buckets.
    if (long || gd.layout.meta.empty) window.runwellLive.poke("refresh");
  }

  function extend(gd, traces, x, y, text) {
    // Marks carry words, lines do not: plotly wants the same keys for all traces of one call.
    [true, false].forEach(function (marks) {
      var some = traces.filter(function (index) { return (gd.data[index].meta.draws === "marks") === marks; });
      if (!some.length) return;
      var pick = function (columns) { return some.map(function (index) { return columns[traces.indexOf(index)]; }); };
      var update = { x: pick(x), y: pick(y) };
      if (marks) update.text = pick(text);
      window.Plotly.extendTraces(gd, update, some);
    });
  }

  function addition(gd, known, trace, list) {
    var axis = gd.layout.meta.axis, added = { x: [], y: [], text: [] };
    list.forEach(function (point) {
      var value = point[2], finite = isFinite(value);
      if (trace.meta.draws === "marks") {
        if (finite) return;
        added.x.push(place(axis, point));
        added.y.push(value === -Infinity ? 0 : 1);
        added.text.push((isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "−Inf") + " at step " + point[0].toLocaleString("en"));
        return;
      }
      var drawnValue = trace.meta.draws === "smooth" ? smoothed(known, trace, point) : finite ? value : null;
      added.x.push(place(axis, point));
      added.y.push(trace.meta.exp && drawnValue !== null ? (drawnValue > 700 ? null : Math.exp(drawnValue)) : drawnValue);
    });
    return added;
  }

  function smoothed(known, trace, point) {
    if (!isFinite(point[2])) return null;
    var name = trace.meta.series;
    var mean = known.means[name] || (known.means[name] = { total: trace.meta.total, weight: trace.meta.weight, before: known.last[name] });
    var keep = Math.pow(0.5, Math.max(point[0] - mean.before, 1) / trace.meta.halfLife);
    mean.total = keep * mean.total + (1 - keep) * point[2];
    mean.weight = keep * mean.weight + (1 - keep);
    mean.before = point[0];
    return mean.total / mean.weight;
  }

  function place(axis, point) {
    if (axis.kind === "tokens") return point[0] * axis.tokensPerStep;
    if (axis.kind === "time") return (point[1] - axis.origin) / axis.secondsPerUnit;
    return point[0];
  }

  // -- overlays ------------------------------------------------------------------------------------------------------
  function lay() {
    graphs().forEach(function (gd) {
      var layer = layers[gd.layout.meta.key];
      if (!layer) return;
      var own = function (item) { return item.name === "limit" || item.name === "waiting"; };
      var update = {
        shapes: (gd.layout.shapes || []).filter(own).concat(layer.shapes),
        annotations: (gd.layout.annotations || []).filter(own).concat(layer.annotations),
      };
      var mark = gd.layout.meta.version + JSON.stringify(layer);
      if (gd.runwellLaid === mark) return;
      gd.runwellLaid = mark;
      window.Plotly.relayout(gd, update);
    });
  }

  // An address with `at` leads to a step: the loss chart opens there, once; a double click shows everything.
  var focused = "";
  function focus() {
    var at = Number(new URLSearchParams(location.search).get("at"));
    if (!(at > 0) || focused === location.href) return;
    graphs().forEach(function (gd) {
      var meta = gd.layout.meta, last = Math.max.apply(null, Object.keys(meta.last).map(function (name) { return meta.last[name]; }));
      if (meta.key !== "loss" || meta.axis.kind === "time" || last <= 0) return;
      focused = location.href;
      var margin = Math.max(25, 0.15 * last);
      var range = [Math.max(0, at - margin), Math.min(last, at + margin)];
      window.Plotly.relayout(gd, { "xaxis.range": range.map(function (step) { return place(meta.axis, [step, 0]); }) });
    });
  }

  // A chart that was drawn anew lacks its overlays and the points that came meanwhile: looked for a few times a second,
  // because plotly tells nobody when React has finished.
  setInterval(function () {
    if (document.hidden || !window.Plotly) return;
    lay();
    focus();
    if (Object.keys(kept).length && graphs().some(function (gd) { return !drawn.has(gd) || drawn.get(gd).version !== gd.layout.meta.version; })) schedule();
  }, 200);

  window.runwellCharts = { begin: begin, forget: forget, points: points };

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.runwell = {
    overlay: function (data) {
      layers = data || {};
      lay();
      return window.dash_clientside.no_update;
    },
    address: function (tab, x, smooth, log, read) {
      var query = new URLSearchParams(location.search);
      var set = function (name, value, plain) { if (value === plain) query.delete(name); else query.set(name, value); };
      set("tab", tab, "curves");
      set("x", x, "step");
      set("smooth", String([0, 5, 10, 25, 50, 100, 250, 500, 1000][smooth]), "0");
      set("log", log ? "1" : "0", "0");
      set("read", read, "loss");
      var text = query.toString();
      history.replaceState(history.state, "", location.pathname + (text ? "?" + text : ""));
      return window.dash_clientside.no_update;
    },
    arrived: function (title, path) {
      document.title = title ? title + " · Runwell" : "Runwell";
      document.querySelectorAll(".rw-nav-link").forEach(function (link) {
        var href = link.getAttribute("href");
        var here = href === path || (href === "/rules" && path.indexOf("/rules/") === 0) || (href === "/" && path.indexOf("/run/") === 0);
        if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
      });
      window.scrollTo(0, 0);
      return window.dash_clientside.no_update;
    },
  };
})();
