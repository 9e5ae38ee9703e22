// Live points: kept for a while, and drawn into the traces of their series. Draws nothing on the screen itself.
//
// A trace says in its `meta` which series it draws, how, up to which step (`last`), and how many points of the stream it has
// taken or had from the store (`taken`); see dashboard/ui/figures.py. These numbers lie beside the points themselves, so that they
// cannot disagree, whoever replaces the trace. `fresh` and `bent` say what lines.js has to know of what is not drawn yet.
(function () {
  "use strict";

  var KEPT = 3000;  // points kept of each series: enough for the seconds in which a chart is on its way

  var kept = {};    // series → { points: [[step, time, value], …] as they came, gone: how many came before these }

  function forget() {  // a rewind, or another server: what was kept may not be what is stored
    Object.keys(kept).forEach(function (name) { leave(kept[name], kept[name].points.length); });
  }

  function leave(list, count) {
    list.points.splice(0, count);
    list.gone += count;
  }

  function number(value) {  // the wire's strings for numbers that JSON does not know
    return typeof value === "number" ? value : value === "Infinity" ? Infinity : value === "-Infinity" ? -Infinity : NaN;
  }

  function take(series) {
    Object.keys(series).forEach(function (name) {
      var columns = series[name], list = kept[name] || (kept[name] = { points: [], gone: 0 });
      for (var i = 0; i < columns.step.length; i++) {
        list.points.push([columns.step[i], columns.time[i], number(columns.value[i])]);
      }
      if (list.points.length > 2 * KEPT) leave(list, list.points.length - KEPT);
    });
  }

  // How many points of each series have come so far. All of these are in a figure that is asked for after this moment.
  function taken() {
    var counts = {};
    Object.keys(kept).forEach(function (name) { counts[name] = kept[name].gone + kept[name].points.length; });
    return counts;
  }

  // Gives every trace of a figure what is new: "grown", "same", or "hole" when what is between is not kept any more.
  function grow(data, axis) {
    var result = "same";
    data.forEach(function (trace) {
      var list = trace.meta && kept[trace.meta.series];
      if (!list || !list.points.length || trace.meta.taken >= list.gone + list.points.length) return;
      if (trace.meta.taken < list.gone) { result = "hole"; return; }
      list.points.slice(trace.meta.taken - list.gone).forEach(function (point) {
        if (add(trace, axis, point) && result === "same") result = "grown";
      });
      trace.meta.taken = list.gone + list.points.length;
    });
    return result;
  }

  function add(trace, axis, point) {
    var meta = trace.meta, late = point[0] <= meta.last;
    if (!late) meta.last = point[0];
    return meta.draws === "marks" ? mark(trace, axis, point) : late ? insert(trace, axis, point) : append(trace, axis, point);
  }

  function append(trace, axis, point) {
    var meta = trace.meta;
    trace.x.push(place(axis, point));
    trace.y.push(height(meta, meta.draws === "smooth" ? smoothed(meta, point) : isFinite(point[2]) ? point[2] : null));
    meta.fresh = (meta.fresh || 0) + 1;
    return true;
  }

  // A point of an earlier step, of a slower rank for instance, goes where it belongs. One that is there already is the same
  // point out of the figure, or a repeated step, whose first value stays until the chart is drawn anew. A smoothed line is not
  // bent after the fact: it takes late points in when it is drawn anew.
  function insert(trace, axis, point) {
    var x = place(axis, point), at = trace.x.length;
    if (trace.meta.draws !== "raw") return false;
    while (at > 0 && trace.x[at - 1] > x) at--;
    if (at > 0 && trace.x[at - 1] === x) return false;
    trace.x.splice(at, 0, x);
    trace.y.splice(at, 0, height(trace.meta, isFinite(point[2]) ? point[2] : null));
    trace.meta.bent = true;
    return true;
  }

  function mark(trace, axis, point) {
    var value = point[2], x = place(axis, point);
    if (isFinite(value) || trace.x.indexOf(x) >= 0) return false;
    trace.visible = trace.meta.bent = true;
    trace.x.push(x);
    trace.y.push(value === -Infinity ? 0 : 1);
    trace.text.push((isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "−Inf") + " at step " + point[0].toLocaleString("en"));
    return true;
  }

  function height(meta, value) {
    return meta.exp && value !== null ? (value > 700 ? null : Math.exp(value)) : value;
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
    if (axis.counts) return tokens(axis.counts, point[0]);
    if (axis.kind === "time") return (point[1] - axis.origin) / axis.secondsPerUnit;
    return point[0];
  }

  // The tokens counted at a step: as the figure came with them, and as the stream has told since.
  function tokens(counts, step) {
    learn(counts);
    var last = counts.steps.length - 1;
    if (step >= counts.steps[last]) return counts.tokens[last] + (step - counts.steps[last]) * counts.rate;
    var low = 0, high = last;  // steps[low] <= step < steps[high]
    while (high - low > 1) {
      var middle = (low + high) >> 1;
      if (counts.steps[middle] <= step) low = middle; else high = middle;
    }
    var share = (step - counts.steps[low]) / (counts.steps[high] - counts.steps[low]);
    return counts.tokens[low] + share * (counts.tokens[high] - counts.tokens[low]);
  }

  // A count that comes late, or again, or not as a number, changes nothing.
  function learn(counts) {
    var list = kept[counts.series];
    if (!list) return;
    for (var i = Math.max(0, (counts.taken || 0) - list.gone); i < list.points.length; i++) {
      if (!(list.points[i][0] > counts.steps[counts.steps.length - 1]) || !isFinite(list.points[i][2])) continue;
      counts.steps.push(list.points[i][0]);
      counts.tokens.push(list.points[i][2]);
    }
    counts.taken = list.gone + list.points.length;
  }

  window.runwellGrow = { take: take, taken: taken, forget: forget, grow: grow, place: place };
})();
