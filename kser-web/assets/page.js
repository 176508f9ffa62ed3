// The page works without this script. It writes times in the zone of the reader, shows changes as they come, and gives the page its
// keys and copy buttons. The same file is the worker that holds the one stream of a browser, whatever the number of its tabs.

/** The time after which a tab that has said nothing is closed, in milliseconds: hidden tabs speak once a minute. */
const GONE = 150_000;

/** Holds the stream of changes for the pages that `tell` informs, and connects again when it is lost. */
class Stream {
  constructor(tell) {
    this.tell = tell;
    this.sees = "";
    this.source = null;
    this.opened = 0;
  }

  /** Sees these subjects from now on; none closes the stream. */
  see(root, subjects) {
    const query = subjects.map((it) => `see=${encodeURIComponent(it)}`).join("&");
    if (query === this.sees) return;
    this.sees = query;
    this.address = `${root === "/" ? "" : root}/live?${query}`;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), 50);
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    if (!this.sees) return;
    const source = new EventSource(this.address);
    this.source = source;
    let hellos = 0;
    source.addEventListener("hello", () => {
      this.tell({ state: "live" });
      // Changes between two connections are missed.
      if (hellos++ > 0 || this.wasLost) this.tell({ changed: "*" });
      this.wasLost = false;
    });
    source.addEventListener("begun", (event) => this.tell({ changed: event.data, isFirst: true }));
    source.addEventListener("changed", (event) => this.tell({ changed: event.data }));
    source.addEventListener("resync", () => this.tell({ changed: "*" }));
    source.onerror = () => {
      this.tell({ state: "lost" });
      this.wasLost = true;
      // A browser connects again by itself, unless the server has refused.
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.open(), 5000 + Math.random() * 5000);
    };
  }
}

/** Shares one stream among the tabs of a browser. */
const work = () => {
  const tabs = new Map();
  const stream = new Stream((news) => {
    for (const [port, tab] of tabs) {
      if (!news.changed || news.changed === "*" || tab.sees.includes(news.changed)) port.postMessage(news);
    }
  });
  const look = () => {
    const now = Date.now();
    for (const [port, tab] of tabs) if (now - tab.heard > GONE) tabs.delete(port);
    const sees = [...new Set([...tabs.values()].flatMap((tab) => tab.sees))].sort();
    const first = tabs.values().next().value;
    stream.see(first?.root ?? "/", sees);
  };
  setInterval(look, 30_000);
  self.onconnect = ({ ports: [port] }) => {
    port.onmessage = ({ data }) => {
      if (data.bye) tabs.delete(port);
      else tabs.set(port, { ...data, heard: Date.now() });
      look();
      if (stream.source?.readyState === 1) port.postMessage({ state: "live" });
    };
  };
};

/** Writes the times of an element in the zone of the reader, with the exact one at hand. */
const writeTimes = (within) => {
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = `${zone.format(at)} · ${time.dateTime}`;
    if (!time.classList.contains("at")) continue;
    const isToday = at.toDateString() === new Date().toDateString();
    time.textContent = (isToday ? clock : zone).format(at);
  }
};

/** Shows the changes of the page, at most one a second, until a person pauses it. */
class Live {
  constructor(sees, root) {
    Object.assign(this, { sees, root, began: Date.now(), isStale: false, isBusy: false });
    this.button = document.getElementById("live");
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.pause(!this.isPaused));
    document.addEventListener("visibilitychange", () => this.attend());
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", (event) => event.persisted && this.attend());
    addEventListener("storage", (event) => event.key === "kser-paused" && this.pause(event.newValue === "1", true));
    if (window.SharedWorker) {
      const worker = new SharedWorker(import.meta.url, { type: "module", name: `kser ${root}` });
      this.port = worker.port;
      this.port.onmessage = ({ data }) => this.hear(data);
      setInterval(() => this.attend(), 20_000);
    } else {
      this.stream = new Stream((news) => this.hear(news));
    }
    this.pause(localStorage.getItem("kser-paused") === "1", true);
    this.again();
  }

  /** Shows a page again that is not whole yet. */
  again() {
    if (document.querySelector("main [data-again]")) this.soon();
  }

  pause(isPaused, isTold) {
    this.isPaused = isPaused;
    if (!isTold) localStorage.setItem("kser-paused", isPaused ? "1" : "0");
    this.button.setAttribute("aria-pressed", String(isPaused));
    this.button.textContent = isPaused ? "paused" : "live";
    if (isPaused) this.leave();
    else this.attend(true);
  }

  /** Sees the subjects of the page while nobody has paused it. */
  attend(isStale = false) {
    if (this.isPaused) return;
    this.isStale ||= isStale && Date.now() - this.began > 3000;
    this.port?.postMessage({ sees: this.sees, root: this.root });
    this.stream?.see(this.root, document.visibilityState === "visible" ? this.sees : []);
    if (this.isStale) this.soon();
  }

  leave() {
    this.port?.postMessage({ bye: true });
    this.stream?.see(this.root, []);
  }

  hear(news) {
    if (this.isPaused) return;
    if (news.state) this.button.dataset.state = news.state;
    // What was drawn a moment before the stream began may have changed in between.
    const isOld = news.isFirst && Date.now() - this.began > 5000;
    if (news.changed && !isOld) this.soon();
  }

  soon() {
    this.isStale = true;
    if (this.timer || document.visibilityState !== "visible") return;
    const wait = Math.max(0, (this.shown ?? 0) + 1000 - Date.now());
    this.timer = setTimeout(() => this.refresh(), wait);
  }

  async refresh() {
    this.timer = undefined;
    // A person writes into a form, or has selected a text.
    const isBusy = document.activeElement?.matches("main input, main select, main textarea") || !getSelection().isCollapsed;
    if (this.isPaused || isBusy) return void (this.timer = isBusy && setTimeout(() => this.refresh(), 1000));
    [this.isStale, this.shown] = [false, Date.now()];
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
      const text = await answer.text();
      if (!this.isPaused) this.show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      this.button.dataset.state = "lost";
      this.isStale = true;
      this.timer ??= setTimeout(() => this.refresh(), 5000);
    }
  }

  show(page) {
    const [main, next] = [document.getElementById("main"), page.getElementById("main")];
    if (!next) return;
    const focused = document.activeElement;
    const href = main.contains(focused) && focused.getAttribute("href");
    const open = new Set([...main.querySelectorAll("details[open]")].map((it) => it.parentElement.dataset.consumer));
    for (const details of next.querySelectorAll("details")) details.open = open.has(details.parentElement.dataset.consumer);
    main.replaceChildren(...next.childNodes);
    document.querySelector("footer").replaceWith(page.querySelector("footer"));
    document.title = page.title;
    if (href) main.querySelector(`[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
    dress();
    this.again();
  }
}

/** Gives new elements of the page what the script adds. */
const dress = () => {
  writeTimes(document);
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
};

const copy = async (button) => {
  const element = document.getElementById(button.dataset.copy);
  // The clipboard is there only over HTTPS and on this machine.
  if (navigator.clipboard) await navigator.clipboard.writeText(element?.textContent ?? "");
  else getSelection().selectAllChildren(element);
  document.getElementById("said").textContent = "copied";
};

/** Moves the focus along the links of a list. */
const step = (by) => {
  const links = [...document.querySelectorAll("main td.name a, main li a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
};

const start = () => {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") document.getElementById("q")?.focus();
    else if (event.key === "p") document.getElementById("live")?.click();
    else return;
    event.preventDefault();
  });
  dress();
  const { see, root } = document.body.dataset;
  if (see) new Live(see.split(" "), root);
};

if (globalThis.SharedWorkerGlobalScope) work();
else start();
