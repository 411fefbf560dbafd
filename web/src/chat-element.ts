/**
 * `<limpet-chat src="agent.py">`: a conversation with an agent, as one element.
 *
 * It holds an agent (`agent.ts`), draws its state (`chat-view.ts`), and gives what happens as events of its own. What it
 * shows is in a shadow tree; a page changes the looks by CSS parts, the `--limpet-*` colours, and slots.
 */

import { type AgentInfo, type ChatAgent, createAgent } from "./agent.ts";
import css from "./chat.css";
import { type ChatView, createChatView } from "./chat-view.ts";
import { type ConversationsDialog, createConversationsDialog } from "./conversations-dialog.ts";
import { createInside } from "./element-template.ts";
import { find, make, setText } from "./elements.ts";
import type { EventWire, RemoteSettingsWire } from "./generated/wire.ts";
import { createModelPanel } from "./model-panel.ts";
import type { PageTool } from "./page-tools.ts";
import type { ChatState } from "./reduce.ts";
import { rootOf } from "./runtime.ts";
import { createSettingsDialog } from "./settings-dialog.ts";
import { createTracePanel, type TracePanel } from "./trace-panel.ts";

const CONVERSATION_KEY = "limpet.conversation";
const ANNOUNCED_LENGTH = 600;

let sheet: CSSStyleSheet | undefined;

export class LimpetChatElement extends HTMLElement {
  static readonly observedAttributes = ["src", "model", "base-url", "placeholder"];

  readonly #root: ShadowRoot;
  readonly #view: ChatView;
  readonly #trace: TracePanel;
  readonly #conversations: ConversationsDialog;
  readonly #settings: { open(remoteModels: readonly string[]): void };
  readonly #leave: (() => void)[] = [];
  #agent: ChatAgent | null = null;
  #info: AgentInfo | null = null;
  #remote: RemoteSettingsWire | null = null;
  #tools: readonly PageTool[] = [];
  #isScheduled = false;
  #isPlaced = false;

  constructor() {
    super();
    this.#root = this.attachShadow({ mode: "open", delegatesFocus: true });
    this.#root.append(createInside());
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
    }
    this.#root.adoptedStyleSheets = [sheet];
    this.#view = createChatView({
      list: this.#find("#entries", HTMLElement),
      scroller: this.#find("#scroller", HTMLElement),
      actions: {
        decide: (callId, approved) => this.#agent?.approve(callId, approved),
        edit: (entry, text) => this.#try(() => this.#agent?.edit(entry.place, text)),
        branch: (entry) => void this.#go(() => this.agent.branch(entry.place)),
        regenerate: () => this.#try(() => this.#agent?.regenerate()),
      },
    });
    this.#trace = createTracePanel(this.#find("#trace", HTMLElement));
    this.#settings = createSettingsDialog(this.#find("#settings", HTMLDialogElement), (remote) => {
      this.remote = remote;
    });
    this.#conversations = createConversationsDialog(this.#find("#conversations", HTMLDialogElement), {
      agent: () => this.agent,
      onOpen: (id) => this.#go(() => this.agent.open(id)),
      onErase: (id) => this.#go(() => this.agent.erase(id)),
    });
    this.#connectControls();
  }

  // --- properties ---

  /** The agent's Python file. */
  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(value: string) {
    this.setAttribute("src", value);
  }

  /** The agent behind the element. Throws before the element is in a page and has its `src`. */
  get agent(): ChatAgent {
    if (!this.#agent) throw new Error("<limpet-chat> has no agent yet: it needs a src, and a place in the page");
    return this.#agent;
  }

  /** The remote model with its key, which stays in memory. The attributes `model` and `base-url` are it without a key. */
  get remote(): RemoteSettingsWire | null {
    if (this.#remote) return this.#remote;
    const [model, url] = [this.getAttribute("model") ?? "", this.getAttribute("base-url") ?? ""];
    return model === "" && url === "" ? null : { model, ...(url === "" ? {} : { base_url: url }) };
  }

  set remote(value: RemoteSettingsWire | null) {
    this.#remote = value;
    this.#agent?.setRemote(this.remote);
    this.#showRemote();
  }

  /** Functions of the page which the agent may call. */
  get tools(): readonly PageTool[] {
    return this.#tools;
  }

  set tools(value: readonly PageTool[]) {
    this.#tools = value;
    this.#agent?.setTools(value);
  }

  // --- life ---

  connectedCallback(): void {
    const controls = new AbortController();
    const { signal } = controls;
    for (const type of ["online", "offline"]) {
      addEventListener(type, () => this.#agent && this.#show(this.#agent.state), { signal });
    }
    this.#leave.push(() => controls.abort());
    this.#isPlaced = true;
    if (this.src !== "") this.#begin();
    if (this.hasAttribute("watch")) this.#leave.push(watch(this));
  }

  disconnectedCallback(): void {
    this.#isPlaced = false;
    for (const leave of this.#leave.splice(0)) leave();
    this.#end();
  }

  attributeChangedCallback(name: string, before: string | null, value: string | null): void {
    if (name === "placeholder") {
      this.#find("#prompt", HTMLTextAreaElement).placeholder = value ?? "Your message";
    } else if (before !== value && this.#isPlaced) {
      if (name === "src") this.#begin();
      else this.remote = this.#remote;
    }
  }

  /** Take the agent's file anew; the conversation stays. The worker too, so this takes a fraction of a second. */
  reload(): void {
    this.#begin();
  }

  #begin(): void {
    // The new agent comes before the old one goes, for the worker would go with the last one.
    const before = this.#agent;
    this.#agent = null;
    this.#complain(null);
    if (this.src !== "") this.#start(before?.conversationId);
    before?.close();
  }

  #start(conversationId = this.#keptConversation()): void {
    const assets = this.getAttribute("assets");
    const instructions = this.getAttribute("system");
    const modelsUrl = this.getAttribute("models-url");
    const agent = createAgent({
      src: this.src,
      ...(assets === null ? {} : { baseUrl: assets }),
      ...(instructions === null ? {} : { instructions }),
      ...(modelsUrl === null ? {} : { modelsUrl }),
      conversationId,
      remote: this.remote,
      tools: this.#tools,
      allowDownload: this.hasAttribute("allow-download"),
    });
    this.#agent = agent;
    agent.subscribe((state, event) => {
      if (event) this.#tell(event);
      if (event && event.type !== "run_end" && event.type !== "run_error") this.#schedule();
      else this.#show(state);
    });
    this.#show(agent.state);
    // Afterwards: fetching everything once more for later must not slow the first start down.
    if (this.hasAttribute("offline")) void agent.ready.then(keepOffline, keepOffline);
    agent.ready.then(
      (info) => {
        if (this.#agent !== agent) return;
        this.#info = info;
        setText(this.#find("#name", HTMLElement), info.name);
        createModelPanel(this.#find("#models", HTMLElement), agent).show(info.models);
        this.#find("#tools", HTMLElement).replaceChildren(...info.tools.map((name) => make("li", "", name)));
        this.#find("#can-use", HTMLElement).hidden = info.tools.length === 0;
        this.#show(agent.state);
        this.dispatchEvent(new CustomEvent("limpet:ready", { detail: info, bubbles: true, composed: true }));
      },
      (error: unknown) => {
        if (this.#agent !== agent) return;
        this.#complain(error);
        this.#showStatus("failed");
        this.dispatchEvent(new CustomEvent("limpet:failed", { detail: error, bubbles: true, composed: true }));
      },
    );
  }

  #end(): void {
    this.#agent?.close();
    this.#agent = null;
    this.#info = null;
  }

  /** The conversation of this page's last visit, or a new one. Where nothing can be kept it is always a new one. */
  #keptConversation(): string {
    const key = `${CONVERSATION_KEY}:${new URL(this.src, document.baseURI).pathname}`;
    try {
      const id = localStorage.getItem(key) ?? crypto.randomUUID();
      localStorage.setItem(key, id);
      return id;
    } catch {
      return crypto.randomUUID();
    }
  }

  #keepConversation(id: string): void {
    try {
      localStorage.setItem(`${CONVERSATION_KEY}:${new URL(this.src, document.baseURI).pathname}`, id);
    } catch {
      // The next visit begins a new one.
    }
  }

  // --- showing ---

  #show(state: ChatState): void {
    this.#view.draw(state);
    const isBusy = state.status !== "idle";
    this.toggleAttribute("data-busy", isBusy);
    this.#find("#welcome", HTMLElement).hidden = state.entries.length > 0;
    this.#find("#stop", HTMLElement).hidden = !isBusy;
    const send = this.#find("#send", HTMLButtonElement);
    send.hidden = isBusy;
    send.disabled = !this.#info || this.#prompt.value.trim() === "";
    if (this.#info || isBusy) this.#showStatus(isBusy ? "working" : "ready");
    else if (!this.#agent?.error) this.#showStatus("starting");
  }

  // Events may come faster than pictures: the state takes each of them, the page is drawn once a picture.
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      if (this.#agent) this.#show(this.#agent.state);
    });
  }

  #showStatus(name: "starting" | "ready" | "working" | "failed"): void {
    const texts = { starting: "starting Python …", ready: "ready", working: "working …", failed: "not running" };
    const status = this.#find("#status", HTMLElement);
    status.dataset.state = name;
    status.classList.toggle("offline", !navigator.onLine);
    setText(status, navigator.onLine ? texts[name] : `${texts[name]} · offline`);
  }

  #showRemote(): void {
    const remote = this.remote;
    setText(this.#find("#remote-name", HTMLElement), remote ? remote.model || (this.#info?.remoteModels[0] ?? "") : "");
  }

  #complain(error: unknown): void {
    const message = error === null ? "" : error instanceof Error ? error.message : String(error);
    const problem = this.#find("#problem", HTMLElement);
    problem.hidden = message === "";
    setText(problem, message);
  }

  /** Give an event to the page, and say aloud what a person has to know of it: once, not word by word. */
  #tell(event: EventWire): void {
    this.#trace.add(event);
    const init = { detail: event, bubbles: true, composed: true };
    this.dispatchEvent(new CustomEvent("limpet:event", init));
    this.dispatchEvent(new CustomEvent(`limpet:${event.type}`, init));
    const state = this.#agent?.state;
    if (event.type === "approval") this.#announce(`The tool ${event.name} needs your approval.`);
    if (event.type !== "run_end" || !state) return;
    const said = state.entries.findLast((entry) => entry.kind === "text");
    this.#announce(said?.kind === "text" ? said.text.slice(0, ANNOUNCED_LENGTH) : "The run has ended.");
  }

  #announce(text: string): void {
    this.#find("#announcer", HTMLElement).textContent = text;
  }

  // --- controls ---

  get #prompt(): HTMLTextAreaElement {
    return this.#find("#prompt", HTMLTextAreaElement);
  }

  #find<T extends Element>(selector: string, type: new () => T): T {
    return find(selector, type, this.#root);
  }

  #try(work: () => unknown): void {
    this.#complain(null);
    try {
      work();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Go to another conversation. */
  async #go(work: () => Promise<unknown>): Promise<void> {
    this.#complain(null);
    try {
      await work();
      this.#keepConversation(this.agent.conversationId);
      this.#show(this.agent.state);
    } catch (error) {
      this.#complain(error);
    }
  }

  #submit(): void {
    const text = this.#prompt.value.trim();
    if (text === "" || !this.#info || this.#agent?.state.status !== "idle") return;
    this.#try(() => {
      this.#agent?.sendMessage(text);
      this.#prompt.value = "";
      this.#fitPrompt();
    });
  }

  #fitPrompt(): void {
    this.#prompt.rows = Math.min(8, this.#prompt.value.split("\n").length);
  }

  #connectControls(): void {
    const prompt = this.#prompt;
    this.#find("#composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    prompt.addEventListener("input", () => {
      this.#fitPrompt();
      this.#find("#send", HTMLButtonElement).disabled = !this.#info || prompt.value.trim() === "";
    });
    prompt.addEventListener("keydown", (event) => {
      // While a word is being composed (Japanese, accents), Enter belongs to the input method.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#find("#stop", HTMLButtonElement).addEventListener("click", () => void this.#agent?.stop());
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#root.querySelector("dialog[open]")) void this.#agent?.stop();
    });
    this.#find("#new", HTMLButtonElement).addEventListener("click", async () => {
      await this.#go(() => this.agent.open());
      prompt.focus();
    });
    this.#find("#open-settings", HTMLButtonElement).addEventListener("click", () =>
      this.#settings.open(this.#info?.remoteModels ?? []),
    );
    this.#find("#open-conversations", HTMLButtonElement).addEventListener("click", () => {
      if (this.#info) this.#conversations.open().catch((error: unknown) => this.#complain(error));
    });
    const trace = this.#find("#open-trace", HTMLButtonElement);
    trace.addEventListener("click", () => {
      trace.ariaExpanded = String(this.#trace.toggle());
    });
  }
}

/** With the service worker beside this script the page works without a network from the next load on. */
async function keepOffline(): Promise<void> {
  try {
    await navigator.serviceWorker?.register(new URL("sw.js", rootOf(new URL("./", import.meta.url).href)));
  } catch (error) {
    console.warn("Limpet: this page will not work offline:", error);
  }
}

const WATCH_MS = 250;

/** Look for a new version of the agent's file, again and again. Gives a function that ends it. */
function watch(element: LimpetChatElement): () => void {
  let tag = "";
  const timer = setInterval(async () => {
    try {
      const response = await fetch(element.src, { method: "HEAD", cache: "no-store" });
      const now = response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
      if (response.ok && tag !== "" && tag !== now) element.reload();
      if (response.ok) tag = now;
    } catch {
      // The server is being restarted.
    }
  }, WATCH_MS);
  return () => clearInterval(timer);
}
