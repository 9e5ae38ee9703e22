// Live points: kept for a while, and appended to the traces that draw their series. Draws nothing itself.
//
// A trace says in its `meta` which series it draws, how, and up to which step (`last`); see dashboard/ui/figures.py. That
// number lies beside the points themselves, so the two cannot disagree, whoever replaces the trace.
(function () {
  "use strict";

  var KEPT = 3000;  // points kept of each series: enough for the seconds in which a chart is on its way

  var kept = {};    // series → { points: [[step, time, value], …], gone: the newest step that is not kept any more }

  function forget() {  // a rewind, or another server: what was kept may not be what is stored
    kept = {};
  }

  function number(value) {  // the wire's strings for numbers that JSON does not know
    return typeof value === "number" ? value : value === "Infinity" ? Infinity : value === "-Infinity" ? -Infinity : NaN;
  }

  function take(series) {
    Object.keys(series).forEach(function (name) {
      var columns = series[name], list = kept[name] || (kept[name] = { points: [], gone: -1 });
      for (var i = 0; i < columns.step.length; i++) {
        list.points.push([columns.step[i], columns.time[i], number(columns.value[i])]);
      }
      if (list.points.length > 2 * KEPT) list.gone = list.points.splice(0, list.points.length - KEPT).pop()[0];
    });
  }

  // Appends what is new to every trace of a figure: "grown", "same", or "hole" when what is between is not kept any more.
  function grow(data, axis) {
    var result = "same";
    data.forEach(function (trace) {
      var list = trace.meta && kept[trace.meta.series];
      if (!list || !list.points.length || list.points[list.points.length - 1][0] <= trace.meta.last) return;
      if (trace.meta.last < list.gone) { result = "hole"; return; }
      var from = list.points.length;
      while (from > 0 && list.points[from - 1][0] > trace.meta.last) from--;
      append(trace, axis, list.points.slice(from));
      if (result === "same") result = "grown";
    });
    return result;
  }

  function append(trace, axis, points) {
    var meta = trace.meta;
    points.forEach(function (point) {
      if (point[0] <= meta.last) return;  // a repeated step: its first value stays until the chart is drawn anew
      var value = point[2], finite = isFinite(value);
      meta.last = point[0];
      if (meta.draws === "marks") {
        if (finite) return;
        trace.visible = true;
        trace.x.push(place(axis, point));
        trace.y.push(value === -Infinity ? 0 : 1);
        trace.text.push((isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "−Inf") + " at step " + point[0].toLocaleString("en"));
        return;
      }
      var shown = meta.draws === "smooth" ? smoothed(meta, point) : finite ? value : null;
      trace.x.push(place(axis, point));
      trace.y.push(meta.exp && shown !== null ? (shown > 700 ? null : Math.exp(shown)) : shown);
    });
  }

  function smoothed(meta, point) {
    if (!isFinite(point[2])) return null;
    var keep = Math.pow(0.5, Math.max(meta.finite === null ? 1 : point[0] - meta.finite, 1) / meta.halfLife);
    meta.total = keep * meta.total + (1 - keep) * point[2];
    meta.weight = keep * meta.weight + (1 - keep);
    meta.finite = point[0];
    return meta.total / meta.weight;
  }

  function place(axis, point) {
    if (axis.kind === "tokens") return point[0] * axis.tokensPerStep;
    if (axis.kind === "time") return (point[1] - axis.origin) / axis.secondsPerUnit;
    return point[0];
  }

  window.runwellGrow = { take: take, forget: forget, grow: grow, place: place };
})();
