/** Draws a `ChatState`: only entries that changed are touched, by comparing them with what was drawn before. */

import { make, setText } from "./elements.ts";
import type { Json } from "./generated/wire.ts";
import { copyText, drawMarkdown } from "./markdown.ts";
import type { ChatState, Entry, LoadState, TextEntry, ToolEntry, ToolStatus, UserEntry } from "./reduce.ts";

export interface ChatView {
  draw(state: ChatState): void;
}

export interface ChatViewOptions {
  /** The list that the entries go into. */
  readonly list: HTMLElement;
  /** The element that scrolls. */
  readonly scroller: HTMLElement;
  readonly actions: ChatActions;
}

/** What a reader can do with an entry. */
export interface ChatActions {
  decide(callId: string, approved: boolean): void;
  /** Ask something else in place of a message. */
  edit(entry: UserEntry, text: string): void;
  /** Go on from before a message in a conversation of its own. */
  branch(entry: UserEntry): void;
  /** Have the last message answered once more. */
  regenerate(): void;
}

interface Drawn {
  entry: Entry;
  readonly element: HTMLElement;
  readonly update: (entry: Entry) => void;
}

const NEAR_PIXELS = 80;

export function createChatView({ list, scroller, actions }: ChatViewOptions): ChatView {
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
    const fresh = createEntry(entry, actions);
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

function createEntry(entry: Entry, actions: ChatActions): Drawn {
  switch (entry.kind) {
    case "user":
      return asked(entry, actions);
    case "text":
      return said(entry, make("li", "entry text"), actions);
    case "reasoning":
      return thought(entry);
    case "tool":
      return card(entry, actions);
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
  const text = bodyOf();
  element.append(text);
  element.part.add("entry", entry.kind);
  return { entry, element, update: (now) => "text" in now && setText(text, now.text) };
}

function bodyOf(): HTMLElement {
  const text = make("div", "body");
  // What is written from right to left is shown so, whatever the page is written in.
  text.dir = "auto";
  return text;
}

function action(label: string, act: (button: HTMLButtonElement) => void): HTMLButtonElement {
  const button = make("button", "small", label);
  button.type = "button";
  button.addEventListener("click", () => act(button));
  return button;
}

function asked(entry: UserEntry, actions: ChatActions): Drawn {
  const element = make("li", "entry user");
  element.part.add("entry", "user");
  const text = bodyOf();
  let now = entry;
  const edit = action("Edit", () => {
    const field = make("textarea");
    field.value = now.text;
    field.rows = Math.min(8, now.text.split("\n").length);
    field.ariaLabel = "Your message, to be asked anew";
    const form = make("form", "edit", field, make("button", "small", "Ask this"), action("Leave it", leave));
    function leave(): void {
      form.replaceWith(text);
      edit.focus();
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      leave();
      if (field.value.trim() !== "") actions.edit(now, field.value.trim());
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      leave();
    });
    text.replaceWith(form);
    field.focus();
  });
  const tools = make(
    "div",
    "entry-actions",
    edit,
    action("Branch", () => actions.branch(now)),
  );
  element.append(text, tools);
  return {
    entry,
    element,
    update(next) {
      if (next.kind !== "user") return;
      now = next;
      setText(text, next.text);
      tools.hidden = next.place < 0;
    },
  };
}

function said(entry: TextEntry, element: HTMLElement, actions: ChatActions): Drawn {
  const text = bodyOf();
  const source = make("div", "source");
  let now = entry;
  const copy = action("Copy", (button) => void copyText(button, now.text));
  const again = action("Answer again", () => actions.regenerate());
  again.classList.add("again");
  const tools = make("div", "entry-actions", copy, again);
  element.part.add("entry", "text");
  element.append(text, source, tools);
  return {
    entry,
    element,
    update(next) {
      if (next.kind !== "text") return;
      now = next;
      drawMarkdown(text, next.text);
      setText(source, sourceText(next));
      element.classList.toggle("open", next.isOpen);
      tools.hidden = next.isOpen;
    },
  };
}

function thought(entry: TextEntry): Drawn {
  const element = make("li", "entry reasoning");
  element.part.add("entry", "reasoning");
  const text = bodyOf();
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

function card(entry: ToolEntry, actions: ChatActions): Drawn {
  const element = make("li", "entry tool");
  element.part.add("entry", "tool");
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
  allow.addEventListener("click", () => actions.decide(entry.callId, true));
  deny.addEventListener("click", () => actions.decide(entry.callId, false));
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
