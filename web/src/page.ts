/** The page: connects the client, what it shows (`reduce.ts`, `chat-view.ts`) and the controls. */

import { createChatView } from "./chat-view.ts";
import { type ClientRun, createClient } from "./client.ts";
import { find, make, setText } from "./elements.ts";
import type { ReadyReport } from "./generated/wire.ts";
import { createModelPanel } from "./model-panel.ts";
import { breakOff, type ChatState, decide, EMPTY, reduce, restore, submit } from "./reduce.ts";
import { createSettingsDialog } from "./settings-dialog.ts";

const CONVERSATION_KEY = "limpet.conversation_id";

const site = new URL("./", location.href).href;
const prompt = find("#prompt", HTMLTextAreaElement);
const send = find("#send", HTMLButtonElement);
const stop = find("#stop", HTMLButtonElement);
const status = find("#status", HTMLElement);
const problem = find("#problem", HTMLElement);
const welcome = find("#welcome", HTMLElement);

let state: ChatState = EMPTY;
let run: ClientRun | null = null;
let ready: ReadyReport | null = null;
let isOpen = false;
let conversationId = localStorage.getItem(CONVERSATION_KEY) ?? beginConversation();

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const client = createClient(
  worker,
  { agent_url: `${site}agent.py`, site_url: site, threads: null, allow_download: false, remote: null },
  { onError: (error) => complain(error.message) },
);

const view = createChatView({
  list: find("#entries", HTMLElement),
  scroller: find("#scroller", HTMLElement),
  onDecision(callId, approved) {
    run?.approve(callId, approved);
    show(decide(state, callId, approved));
  },
});
const models = createModelPanel(find("#models", HTMLElement), (id, onProgress) => client.download(id, onProgress));
const settings = createSettingsDialog(find("#settings", HTMLDialogElement), (remote) => {
  client.configure(remote);
  find("#remote-name", HTMLElement).textContent = remote ? remote.model || (ready?.remote_models[0] ?? "") : "";
});

function show(next: ChatState): void {
  state = next;
  view.draw(next);
  welcome.hidden = next.entries.length > 0;
  const isBusy = next.status !== "idle";
  send.hidden = isBusy;
  stop.hidden = !isBusy;
  send.disabled = !isOpen || prompt.value.trim() === "";
  showStatus(isBusy ? "working" : isOpen ? "ready" : "starting");
}

function showStatus(name: "starting" | "ready" | "working" | "failed"): void {
  const texts = { starting: "starting Python …", ready: "ready", working: "working …", failed: "not running" };
  status.dataset.state = name;
  setText(status, navigator.onLine ? texts[name] : `${texts[name]} · offline`);
}

function complain(message: string): void {
  problem.hidden = message === "";
  setText(problem, message);
}

async function ask(text: string): Promise<void> {
  complain("");
  const current = client.run(conversationId, [{ type: "text", text }]);
  run = current;
  show(submit(state, current.runId, text));
  try {
    for await (const event of current) if (run === current) schedule(reduce(state, event));
    flush();
  } catch (error) {
    if (run === current) show(breakOff(state, error instanceof Error ? error.message : String(error)));
  }
  if (run === current) run = null;
}

// Events may come faster than pictures: the state takes each of them, the page is drawn once a picture.
let isScheduled = false;

function schedule(next: ChatState): void {
  state = next;
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(flush);
}

function flush(): void {
  isScheduled = false;
  show(state);
}

function beginConversation(): string {
  const id = crypto.randomUUID();
  localStorage.setItem(CONVERSATION_KEY, id);
  return id;
}

function submitPrompt(): void {
  const text = prompt.value.trim();
  if (text === "" || !isOpen || state.status !== "idle") return;
  prompt.value = "";
  fitPrompt();
  void ask(text);
}

function fitPrompt(): void {
  prompt.rows = Math.min(8, prompt.value.split("\n").length);
}

find("#composer", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  submitPrompt();
});
prompt.addEventListener("input", () => {
  fitPrompt();
  send.disabled = !isOpen || prompt.value.trim() === "";
});
prompt.addEventListener("keydown", (event) => {
  // While a word is being composed (Japanese, accents), Enter belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submitPrompt();
});
stop.addEventListener("click", () => run?.cancel());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("#settings", HTMLDialogElement).open) run?.cancel();
});
find("#new", HTMLButtonElement).addEventListener("click", () => {
  run?.cancel();
  run = null;
  client.forget(conversationId);
  conversationId = beginConversation();
  complain("");
  show(EMPTY);
  prompt.focus();
});
find("#open-settings", HTMLButtonElement).addEventListener("click", () => settings.open(ready?.remote_models ?? []));
for (const type of ["online", "offline"]) addEventListener(type, () => show(state));

async function begin(): Promise<void> {
  show(EMPTY);
  try {
    ready = await client.ready;
    setText(find("#name", HTMLElement), ready.name);
    document.title = ready.name;
    models.show(ready.models);
    find("#tools", HTMLElement).replaceChildren(...ready.tools.map((name) => make("li", "", name)));
    const kept = await client.history(conversationId);
    isOpen = true;
    show(restore(kept));
    prompt.focus();
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    showStatus("failed");
  }
}

void begin();
