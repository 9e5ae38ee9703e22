// Lengthens lines that are on the screen without having plotly lay out the whole chart anew, which takes it ten times as long.
//
// That works as long as new points lie within the axes as they are drawn, so a live chart gets some room on its right. Everything
// else (an axis that must grow, a first point, a late one, one that is not finite) is left to plotly, and what is drawn here
// it draws itself the next time: the path is made of the same points. Knows how plotly names its parts; when they are not
// found, it says that it could not.
(function () {
  "use strict";

  var MOST_ROOM = 0.08;  // of the x axis

  // How many points a trace got since plotly drew it, and whether in any other way than at its end: grow.js counts them.
  function drawn(gd) {
    gd.data.forEach(function (trace) {
      if (trace.meta) trace.meta.fresh = trace.meta.bent = 0;
    });
  }

  // Whether everything new in this chart was drawn.
  function lengthen(gd) {
    var full = gd._fullLayout, jobs = [];
    if (!full || !gd._fullData || !full.xaxis || !full.xaxis.d2p) return false;
    var could = gd.data.every(function (trace, index) {
      if (!trace.meta || !(trace.meta.fresh || trace.meta.bent)) return true;
      var more = trace.meta.bent ? null : piece(trace, full);
      var path = more && pathOf(gd, gd._fullData[index]);
      if (path) jobs.push([path, more]);
      return Boolean(path);
    });
    if (!could) return false;
    jobs.forEach(function (job) { job[0].setAttribute("d", job[0].getAttribute("d") + job[1]); });
    drawn(gd);
    return true;
  }

  function pathOf(gd, trace) {
    if (!trace || trace.visible !== true) return null;
    var paths = gd.querySelectorAll(".trace" + trace.uid + " path.js-line");
    var path = paths[paths.length - 1], d = path && path.getAttribute("d");
    return d && d.slice(-1) !== "Z" ? path : null;
  }

  // The new end of a line in pixels; null when one of its points lies outside, or is a dot beside a gap. Dots on the line come
  // with the next layout.
  function piece(trace, full) {
    var from = trace.x.length - trace.meta.fresh, d = "", pen = trace.y[from - 1] === null ? "M" : "L";
    if (from < 1) return null;
    for (var i = from; i < trace.x.length; i++) {
      if (trace.y[i] === null) { pen = "M"; continue; }
      var x = full.xaxis.d2p(trace.x[i]), y = full.yaxis.d2p(trace.y[i]);
      if (!inside(full.xaxis, x) || !inside(full.yaxis, y)) return null;
      if (pen === "M" && trace.mode !== "lines") return null;
      d += pen + x.toFixed(2) + "," + y.toFixed(2);
      pen = "L";
    }
    return d;
  }

  // An axis that somebody has zoomed stays as it is, and cuts off what lies outside.
  function inside(axis, pixels) {
    return isFinite(pixels) && (!axis.autorange || (pixels >= 0 && pixels <= axis._length));
  }

  function reach(gd) {  // the newest x of all lines, and how far they stretch
    var first = Infinity, last = -Infinity;
    gd.data.forEach(function (trace) {
      if (!trace.meta || trace.meta.draws !== "raw" || !trace.x.length) return;
      first = Math.min(first, trace.x[0]);
      last = Math.max(last, trace.x[trace.x.length - 1]);
    });
    return { last: last, span: last - first };
  }

  // A line that began as a few dots is one now.
  function joinDots(gd) {
    gd.data.forEach(function (trace) {
      if (trace.meta && trace.meta.few && trace.x.length > trace.meta.few) trace.mode = "lines";
    });
  }

  // Makes room on the right for what comes within so many seconds, as fast as it came lately; none for 0 seconds. To be drawn next.
  function makeRoom(gd, seconds) {
    joinDots(gd);
    var now = performance.now(), here = reach(gd), before = gd.rwReach;
    gd.rwReach = { last: here.last, at: now };
    var pace = before && now > before.at ? Math.max(0, here.last - before.last) / (now - before.at) * 1000 : 0;
    var room = Math.min(pace * seconds, MOST_ROOM * here.span);
    gd.layout.xaxis.autorangeoptions = isFinite(room) && room > 0 ? { include: here.last + room } : {};
  }

  window.runwellLines = { lengthen: lengthen, drawn: drawn, makeRoom: makeRoom };
})();
