// The run's own metrics below the common charts: in groups, with a box to find them. The charts themselves are charts.js's.
//
// Built here and not by Dash, because there may be thousands: a closed group holds no cards, and a card is an empty box
// until it comes into sight. Names are text, never HTML.
(function () {
  "use strict";

  var OPEN_AT_FIRST = 24;   // charts in groups that stand open when the page opens
  var FOUND_AT_ONCE = 200;  // cards shown for one search

  var groups = [], shown = "", opened = {}, timer = null;

  function make(tag, className, text) {
    var element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function card(chart, group) {
    var section = make("section", "rw-card rw-chart"), head = make("div", "rw-card-head");
    var short = chart[1].indexOf(group + "/") === 0 ? chart[1].slice(group.length + 1) : chart[1];
    var title = make("h2", "", short), box = make("div", "rw-graph rw-graph-small");
    title.title = chart[1];
    box.dataset.chart = chart[0];
    box.dataset.series = JSON.stringify([chart[1]]);
    head.appendChild(title);
    section.append(head, box);
    return section;
  }

  function show(data) {
    var root = document.getElementById("run-more"), text = JSON.stringify(data);
    if (!root || (shown === text && root.firstChild)) return;
    if (!root.firstChild) opened = {};
    shown = text;
    groups = data;
    if (!groups.length) return root.replaceChildren();
    if (!root.firstChild) root.append(header(), make("div", "rw-metric-groups"));
    list();
  }

  function total() {
    return groups.reduce(function (sum, group) { return sum + group.charts.length; }, 0);
  }

  function header() {
    var head = make("div", "rw-metrics-head"), box = make("input", "rw-find");
    box.type = "search";
    box.id = "run-find";
    box.value = new URLSearchParams(location.search).get("find") || "";
    box.placeholder = "Find a metric";
    box.setAttribute("aria-label", "Find a metric");
    box.addEventListener("input", function () {
      clearTimeout(timer);
      timer = setTimeout(function () { window.runwellPage.find(box.value.trim()); list(); }, 150);
    });
    head.append(make("h2", "", "More metrics"), make("span", "rw-quiet rw-metrics-count"), box);
    return head;
  }

  function list() {
    var root = document.getElementById("run-more"), words = document.getElementById("run-find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    var place = root.querySelector(".rw-metric-groups"), count = root.querySelector(".rw-metrics-count"), before = 0, found = 0;
    var matches = function (group, chart) {
      return words.every(function (word) { return chart[1].toLowerCase().indexOf(word) >= 0; });
    };
    var sections = groups.map(function (group) {
      var charts = words.length ? group.charts.filter(matches.bind(null, group)) : group.charts;
      var room = words.length ? Math.max(0, FOUND_AT_ONCE - found) : charts.length;
      found += charts.length;
      before += charts.length;
      if (!charts.length || !room) return null;
      var open = words.length > 0 || (opened[group.title] !== undefined ? opened[group.title] : before <= OPEN_AT_FIRST);
      return details(group.title, charts.slice(0, room), charts.length, open, words.length > 0);
    }).filter(Boolean);
    keep(place, sections);
    count.textContent = !words.length ? String(total()) : found > FOUND_AT_ONCE ? "the first " + FOUND_AT_ONCE + " of " + found + ": add a word" : found + " of " + total();
    if (!sections.length) place.replaceChildren(make("p", "rw-quiet", "No metric has this in its name."));
    window.runwellCharts.look();
  }

  // A section that stays as it is keeps its node, and with it the charts that are drawn.
  function keep(place, sections) {
    var old = {};
    Array.prototype.forEach.call(place.children, function (node) { if (node.dataset.holds) old[node.dataset.holds] = node; });
    place.replaceChildren.apply(place, sections.map(function (section) { return old[section.holds] || section.build(); }));
  }

  function details(title, charts, count, open, searching) {
    var holds = JSON.stringify([title, open && searching, charts.map(function (chart) { return chart[0]; })]);
    return {
      holds: holds,
      build: function () {
        var element = make("details", "rw-metric-group"), summary = make("summary"), grid = make("div", "rw-charts");
        element.dataset.holds = holds;
        summary.append(make("span", "rw-group-title", title), make("span", "rw-tag", String(count)));
        element.append(summary, grid);
        element.open = open;
        var fill = function () {
          if (element.open && !grid.firstChild) grid.append.apply(grid, charts.map(function (chart) { return card(chart, title); }));
          if (!searching) opened[title] = element.open;
          window.runwellCharts.look();
        };
        element.addEventListener("toggle", fill);
        if (open) fill();
        return element;
      },
    };
  }

  window.runwellMetrics = { show: show };
})();
