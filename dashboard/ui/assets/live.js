// The live stream: one WebSocket for the page, from the snapshot's position on, for as long as the page is seen.
//
// Contract: docs/architecture.md, "Live". Points are drawn by charts.js; every other message only pokes a dcc.Store of the
// page (`{page}-live-{signal}`), whose callback renders that part again from the store. Nothing here knows what a run is.
(function () {
  "use strict";

  var FIRST_WAIT = 250, LONGEST_WAIT = 8000;
  var PAUSES = { findings: 1000, samples: 500, run: 1000, log: 1000, refresh: 1000, alerts: 1000, marks: 1000, family: 3000 };  // ms between pokes of one signal
  var SIGNAL_OF = { findings: "findings", sample: "samples", log: "log", run: "run", rewind: "refresh", alert: "alerts", checkpoint: "marks", delivery: "run", heard: "run" };
  var LOOK = 100, LONGEST_ANSWER = 10000;  // ms: how often it is looked whether answers have come, and for how long they are waited on
  var AGEING = 30000;  // ms after which a run of which nothing is new but that it lives is shown anew: for how long it runs, and so on

  var socket = null, place = null, epoch = "", since = 0, wait = FIRST_WAIT, timer = null;
  var poked = {}, pending = {}, pokes = 0, best = "", greeted = false;

  function say(state) {
    document.documentElement.setAttribute("data-live", state);
  }

  function facts() {
    var element = document.getElementById("live");
    if (!element) return null;
    return {
      page: element.dataset.page, run: element.dataset.run, epoch: element.dataset.epoch,
      since: Number(element.dataset.since) || 0, signals: element.dataset.signals.split(","),
      ended: element.dataset.ended === "yes",
    };
  }

  // -- answers on their way ------------------------------------------------------------------------------------------
  // Dash throws an answer away when its callback is asked again before it has come. A server that needs longer than the pause
  // between two pokes would never be seen to answer, so a poke waits for what is on its way, a reader's choice or another poke.
  var asked = 0, plainFetch = window.fetch;

  function answered() {
    setTimeout(function () { asked--; }, LOOK);  // it has come, and is taken in soon
  }

  window.fetch = function (address) {
    var answer = plainFetch.apply(this, arguments);
    if (String(address && address.url || address).indexOf("_dash-update-component") >= 0) {
      asked++;
      answer.then(answered, answered);
    }
    return answer;
  };

  // -- pokes ---------------------------------------------------------------------------------------------------------
  function poke(signal, pause) {
    if (!place || place.signals.indexOf(signal) < 0) return;
    var due = Math.max((poked[signal] || 0) + (pause || PAUSES[signal]), Date.now());
    if (pending[signal] && pending[signal].due <= due) return;
    if (pending[signal]) clearTimeout(pending[signal].timer);
    pending[signal] = { due: due, timer: setTimeout(poking, due - Date.now(), signal, due + LONGEST_ANSWER) };
  }

  function poking(signal, latest) {
    if (asked > 0 && Date.now() < latest) {
      pending[signal].timer = setTimeout(poking, LOOK, signal, latest);
      return;
    }
    pending[signal] = null;
    poked[signal] = Date.now();
    if (place && place.signals.indexOf(signal) >= 0) setStore(place.page + "-live-" + signal);
  }

  function setStore(id) {
    window.dash_clientside.set_props(id, { data: ++pokes });
  }

  function pokeAll() {
    if (!place) return;
    place.signals.forEach(function (signal) { if (signal) poke(signal); });
  }

  // -- messages ------------------------------------------------------------------------------------------------------
  function take(message) {
    if (message.type === "hello") return hello(message);
    if (message.type === "chosen") return window.runwellCharts.chosen();
    if (message.type === "series" && message.seq === undefined) return window.runwellCharts.named(message.names);
    if (message.seq <= since) return;  // replayed and already seen
    since = message.seq;
    if (message.type === "series") return window.runwellCharts.named(message.names);
    if (message.type === "points") return window.runwellCharts.points(message.run, message.series);
    if (message.type === "rewind") window.runwellCharts.forget();
    if (message.type === "run" && place.run && message.run !== place.run) return poke("family");
    if (message.type === "run") known(message.summary);
    if (message.type === "findings") setStore("nav-live-findings");
    var signal = SIGNAL_OF[message.type];
    if (signal) poke(signal, message.type === "heard" ? AGEING : 0);
  }

  function hello(message) {
    var gap = epoch !== "" && (String(message.epoch) !== epoch || message.replayed === false);
    epoch = String(message.epoch);
    if (gap) {  // the server is another one, or has forgotten what was missed: take a new snapshot, and go on from here
      since = message.seq;
      window.runwellCharts.forget();
      pokeAll();
      setStore("nav-live-findings");
    }
    wait = FIRST_WAIT;
    if (!greeted) window.runwellCharts.chosen();  // the same word later on only says that something was missed
    greeted = true;
    say(place && place.ended ? "ended" : "live");
  }

  function known(summary) {
    if (!place.run) return;
    place.ended = ["finished", "stopped", "crashed", "cancelled"].indexOf(summary.state) >= 0;
    say(place.ended ? "ended" : "live");
    var now = JSON.stringify([place.run, summary.best_val_step, summary.best_val_loss]);
    if (now !== best) poke("marks");
    best = now;
  }

  // -- the connection ------------------------------------------------------------------------------------------------
  function connect() {
    clearTimeout(timer);
    if (!place || document.hidden) return;
    var address = (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/api/v1/live?";
    var query = new URLSearchParams({ since: String(since), epoch: epoch });
    if (place.run) query.set("run", place.run);
    if (place.run) query.set("choose", "1");  // points of what is drawn alone: a run may have thousands of series
    var mine = new WebSocket(address + query.toString());
    socket = mine;
    greeted = false;
    if (place.run) mine.onopen = function () {
      if (socket === mine) window.runwellCharts.opened();
    };
    mine.onmessage = function (event) {
      if (socket === mine) take(JSON.parse(event.data));
    };
    mine.onclose = function () {
      if (socket !== mine) return;
      socket = null;
      window.runwellCharts.closed();
      if (document.hidden || !place) return;
      say("reconnecting");
      timer = setTimeout(connect, wait * (0.5 + Math.random()));  // jitter: a hundred tabs must not come back at once
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
  }

  function close() {
    clearTimeout(timer);
    var old = socket;
    socket = null;
    window.runwellCharts.closed();
    if (old) old.close();
  }

  function choose(names) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ series: names }));
  }

  function follow() {
    var now = facts();
    var same = now && place && now.page === place.page && now.run === place.run && now.since === place.from;
    if (!now && document.querySelector("#page > *")) say("idle");  // a page of which nothing can be new
    if (same || (!now && !place)) return;
    close();
    place = now;
    if (!now) return;
    place.from = now.since;
    epoch = now.epoch;
    since = now.since;
    wait = FIRST_WAIT;
    say("connecting");
    window.runwellCharts.begin(now.run);
    connect();
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) return close();  // a tab that nobody sees costs nothing; it catches up from `since`
    if (!socket) connect();
    window.runwellCharts.wake();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", function () { if (place && !socket) connect(); });

  // -- small things --------------------------------------------------------------------------------------------------
  function age(seconds) {
    if (seconds < 60) return "just now";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
    if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
    return Math.floor(seconds / 86400) + " d ago";
  }

  function refreshAges() {
    document.querySelectorAll("time[data-then]").forEach(function (element) {
      var words = age(Date.now() / 1000 - Number(element.dataset.then));
      // The text node is React's own: its value is changed, the node is kept.
      if (element.firstChild && element.firstChild.nodeValue !== words) element.firstChild.nodeValue = words;
    });
  }
  setInterval(refreshAges, 15000);

  var logAtEnd = true;
  document.addEventListener("scroll", function (event) {
    if (event.target.id === "run-log") logAtEnd = event.target.scrollHeight - event.target.scrollTop - event.target.clientHeight < 40;
  }, true);
  function followLog() {
    var log = document.getElementById("run-log");
    if (log && logAtEnd) log.scrollTop = log.scrollHeight;
  }

  document.addEventListener("click", function (event) {
    var trigger = event.target.closest("[data-click]");
    var target = trigger && document.getElementById(trigger.dataset.click);
    if (target) target.click();
  });

  // Drawing a curve changes hundreds of nodes; what happens inside a chart is nobody else's business.
  function insideChart(record) {
    return record.target.ownerSVGElement !== undefined || Boolean(record.target.closest && record.target.closest(".js-plotly-plot"));
  }

  new MutationObserver(function (records) {
    if (records.every(insideChart)) return;
    follow();
    followLog();
    window.runwellCharts.look();
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.runwellLive = { poke: poke, choose: choose };
})();
