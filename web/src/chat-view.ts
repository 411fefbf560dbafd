/** Draws a `ChatState`: only entries that changed are touched, by comparing them with what was drawn before. */

import { make, setText } from "./elements.ts";
import type { Json } from "./generated/wire.ts";
import type { ChatState, Entry, LoadState, TextEntry, ToolEntry, ToolStatus } from "./reduce.ts";

export interface ChatView {
  draw(state: ChatState): void;
}

export interface ChatViewOptions {
  /** The list that the entries go into. */
  readonly list: HTMLElement;
  /** The element that scrolls. */
  readonly scroller: HTMLElement;
  readonly onDecision: (callId: string, approved: boolean) => void;
}

interface Drawn {
  entry: Entry;
  readonly element: HTMLElement;
  readonly update: (entry: Entry) => void;
}

const NEAR_PIXELS = 80;

export function createChatView({ list, scroller, onDecision }: ChatViewOptions): ChatView {
  const drawn = new Map<string, Drawn>();
  let isPinned = true;
  const stayAtEnd = () => {
    if (isPinned) scroller.scrollTop = scroller.scrollHeight;
  };
  scroller.addEventListener("scroll", () => {
    isPinned = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PIXELS;
  });
  // A phone's keyboard comes up, or the window is turned.
  new ResizeObserver(stayAtEnd).observe(scroller);

  const waiting = make("li", "entry waiting");
  const waitingText = make("span", "waiting-text");
  const waitingBar = make("progress");
  waiting.append(waitingText, waitingBar);

  function drawEntry(entry: Entry): void {
    const old = drawn.get(entry.key);
    if (old?.entry === entry) return;
    if (old && old.entry.kind === entry.kind) {
      old.entry = entry;
      old.update(entry);
      return;
    }
    const fresh = createEntry(entry, onDecision);
    if (old) old.element.replaceWith(fresh.element);
    else list.append(fresh.element);
    drawn.set(entry.key, fresh);
    fresh.update(entry);
  }

  return {
    draw(state) {
      const keys = new Set(state.entries.map((entry) => entry.key));
      for (const [key, { element }] of drawn) {
        if (keys.has(key)) continue;
        element.remove();
        drawn.delete(key);
      }
      state.entries.forEach(drawEntry);
      drawWaiting(state);
      list.ariaBusy = String(state.status === "streaming");
      stayAtEnd();
    },
  };

  function drawWaiting(state: ChatState): void {
    const text = waitingLine(state);
    if (text === null) {
      waiting.remove();
      return;
    }
    setText(waitingText, text);
    waitingBar.hidden = !state.load;
    if (state.load && state.load.total > 0) {
      waitingBar.max = state.load.total;
      waitingBar.value = state.load.loaded;
    } else {
      waitingBar.removeAttribute("value");
    }
    if (waiting.parentElement !== list || list.lastElementChild !== waiting) list.append(waiting);
  }
}

function createEntry(entry: Entry, onDecision: (callId: string, approved: boolean) => void): Drawn {
  switch (entry.kind) {
    case "user":
      return simple(entry, make("li", "entry user"));
    case "text":
      return said(entry, make("li", "entry text"));
    case "reasoning":
      return thought(entry);
    case "tool":
      return card(entry, onDecision);
    case "notice":
      return simple(entry, make("li", "entry notice"));
    case "error": {
      const element = make("li", "entry error");
      element.setAttribute("role", "alert");
      return simple(entry, element);
    }
  }
}

function simple(entry: Entry, element: HTMLElement): Drawn {
  const text = make("div", "body");
  element.append(text);
  return { entry, element, update: (now) => "text" in now && setText(text, now.text) };
}

function said(entry: TextEntry, element: HTMLElement): Drawn {
  const text = make("div", "body");
  const source = make("div", "source");
  element.append(text, source);
  return {
    entry,
    element,
    update(now) {
      if (now.kind !== "text") return;
      setText(text, now.text);
      setText(source, sourceText(now));
      element.classList.toggle("open", now.isOpen);
    },
  };
}

function thought(entry: TextEntry): Drawn {
  const element = make("li", "entry reasoning");
  const text = make("div", "body");
  element.append(make("details", "", make("summary", "", "Thoughts"), text));
  return { entry, element, update: (now) => now.kind === "reasoning" && setText(text, now.text) };
}

const STATUS_TEXTS: Readonly<Record<ToolStatus, string>> = {
  writing: "being written",
  waiting: "needs your approval",
  running: "running",
  done: "done",
  failed: "failed",
  stopped: "not run",
};

function card(entry: ToolEntry, onDecision: (callId: string, approved: boolean) => void): Drawn {
  const element = make("li", "entry tool");
  const name = make("code", "tool-name");
  const badge = make("span", "badge");
  const rows = make("dl", "arguments");
  const progress = make("div", "tool-progress");
  const result = make("div", "tool-result");
  const source = make("div", "source");
  const allow = make("button", "primary", "Allow");
  const deny = make("button", "", "Don't allow");
  const question = make("div", "approval", allow, deny);
  allow.type = "button";
  deny.type = "button";
  allow.addEventListener("click", () => onDecision(entry.callId, true));
  deny.addEventListener("click", () => onDecision(entry.callId, false));
  element.append(make("div", "tool-head", name, badge), rows, question, progress, result, source);
  let shown = "";
  return {
    entry,
    element,
    update(now) {
      if (now.kind !== "tool") return;
      setText(name, now.name);
      setText(badge, STATUS_TEXTS[now.status]);
      element.dataset.status = now.status;
      element.ariaLabel = `Tool ${now.name}: ${STATUS_TEXTS[now.status]}`;
      if (shown !== now.arguments) {
        shown = now.arguments;
        rows.replaceChildren(...argumentRows(now.arguments));
      }
      question.hidden = now.status !== "waiting";
      progress.hidden = now.progress === null || now.status === "done";
      setText(progress, now.progress === null ? "" : plain(now.progress));
      result.hidden = now.result === null;
      setText(result, now.result === null ? "" : plain(now.result));
      setText(source, sourceText(now));
    },
  };
}

/** One row for each argument; while the JSON is not whole, its text. */
function argumentRows(text: string): HTMLElement[] {
  const value = parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return text.trim() === "" ? [] : [make("dd", "", text)];
  }
  return Object.entries(value).flatMap(([key, item]) => [make("dt", "", key), make("dd", "", plain(item))]);
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

function plain(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}

function sourceText({ model, confidence }: { model: string; confidence: number | null }): string {
  if (model === "") return "";
  return confidence === null || confidence === 1 ? model : `${model} · ${Math.round(confidence * 100)} % sure`;
}

function waitingLine({ status, load }: ChatState): string | null {
  if (load) return loadLine(load);
  return status === "submitted" ? "Thinking …" : null;
}

function loadLine({ model, status, file }: LoadState): string {
  const name = model.replace(/^local:/, "");
  if (file === "tools") return `${name} reads the tools, this once …`;
  switch (status) {
    case "download":
      return `Downloading ${name} …`;
    case "verify":
      return `Checking ${name} …`;
    case "store":
      return `Keeping ${name} for offline use …`;
    default:
      return `Loading ${name} …`;
  }
}
