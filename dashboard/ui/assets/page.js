// What Dash's clientside callbacks call: the page's address, the title, and what is handed on to the charts.
(function () {
  "use strict";

  var HALF_LIVES = [0, 5, 10, 25, 50, 100, 250, 500, 1000];  // steps; the same as SMOOTHING in dashboard/ui/run_charts.py

  function write(query) {
    var text = query.toString();
    history.replaceState(history.state, "", location.pathname + (text ? "?" + text : ""));
  }

  function set(query, name, value, plain) {
    if (value === plain) query.delete(name); else query.set(name, value);
  }

  window.runwellPage = {
    find: function (words) {
      var query = new URLSearchParams(location.search);
      set(query, "find", words, "");
      write(query);
    },
  };

  // The router looks at the path alone. A link to the page that is open, under another address, the browser follows itself.
  document.addEventListener("click", function (event) {
    var link = event.target.closest("a[href]");
    if (!link || link.origin !== location.origin || link.pathname !== location.pathname) return;
    if (link.search !== location.search) event.stopPropagation();
  }, true);

  // Two quick clicks on what starts or ends something mean it once: the second comes before the page knows of the first.
  document.addEventListener("click", function (event) {
    if (event.detail < 2 || !event.target.closest(".rw-button.rw-primary, .rw-button.rw-danger")) return;
    event.stopPropagation();
    event.preventDefault();
  }, true);

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.runwell = {
    overlay: function (data) {
      window.runwellCharts.lay(data);
      return window.dash_clientside.no_update;
    },
    metrics: function (data) {
      window.runwellCharts.know(data.names);
      window.runwellMetrics.show(data.groups);
      return window.dash_clientside.no_update;
    },
    address: function (tab, x, smooth, log, read) {
      var query = new URLSearchParams(location.search), before = location.search;
      set(query, "tab", tab, "curves");
      set(query, "x", x, "step");
      set(query, "smooth", String(HALF_LIVES[smooth]), "0");
      set(query, "log", log ? "1" : "0", "0");
      set(query, "read", read, "loss");
      write(query);
      if (location.search !== before) window.runwellCharts.review();
      return smooth ? "half-life " + HALF_LIVES[smooth] + " steps" : "off";
    },
    compared: function (runs, metric, x, log, smooth) {
      var query = new URLSearchParams(location.search);
      set(query, "runs", (runs || []).join(","), "");
      set(query, "metric", metric, "train_loss");
      set(query, "x", x, "step");
      set(query, "smooth", smooth, "0");
      set(query, "log", log ? "1" : "0", "0");
      if (location.pathname === "/compare") write(query);
      return window.dash_clientside.no_update;
    },
    listed: function (words, show, sort) {
      var query = new URLSearchParams(location.search);
      set(query, "q", words || "", "");
      set(query, "show", show, "all");
      set(query, "sort", sort, "age");
      if (location.pathname === "/") write(query);
      return window.dash_clientside.no_update;
    },
    alerted: function (severity, status, rule) {
      var query = new URLSearchParams(location.search);
      set(query, "severity", severity, "all");
      set(query, "status", status, "all");
      set(query, "rule", rule || "", "");
      if (location.pathname === "/alerts") write(query);
      return window.dash_clientside.no_update;
    },
    arrived: function (title, path) {
      document.title = title ? title + " · Runwell" : "Runwell";
      requestAnimationFrame(function () {  // a run's tab is found by its name
        var name = document.querySelector(".rw-run-title h1");
        if (name) document.title = name.textContent + " · Runwell";
      });
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
