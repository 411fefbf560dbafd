// Live examples: each `.limpet-live` block gets an editor and a Run button, and its agent runs in this tab.
//
// The runtime is loaded at the first Run; all examples of a page share its worker. A local model is downloaded only by
// that click, never before it.
// @ts-check

/** @typedef {typeof import("../web/src/limpet.ts")} Limpet */
/** @typedef {import("../web/src/limpet.ts").ChatAgent} ChatAgent */
/** @typedef {import("../web/src/limpet.ts").Entry} Entry */

const RUNTIME = new URL("limpet/limpet.js", import.meta.url).href;

/** The agent of the last Run. It is closed only when the next one is there: the worker goes with its last agent. @type {ChatAgent | null} */
let kept = null;

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** @param {HTMLElement} block */
function setUp(block) {
  const code = block.querySelector("code");
  if (!code) return;
  const original = code.innerHTML;
  code.contentEditable = "plaintext-only";
  code.spellcheck = false;
  code.setAttribute("role", "textbox");
  code.setAttribute("aria-multiline", "true");
  code.setAttribute("aria-label", "Python of this example, can be changed");

  const prompt = make("input", "live-prompt");
  prompt.value = block.dataset["prompt"] ?? "";
  prompt.setAttribute("aria-label", "What the agent is asked");
  const run = make("button", "live-run md-button md-button--primary", "Run");
  run.type = "submit";
  const stop = make("button", "live-stop md-button", "Stop");
  stop.type = "button";
  stop.hidden = true;
  const reset = make("button", "live-reset md-button", "Reset");
  reset.type = "button";
  const form = make("form", "live-form", prompt, run, stop, reset);
  const status = make("p", "live-status");
  status.setAttribute("role", "status");
  const output = make("div", "live-output");
  const lines = make("pre", "live-events");
  const details = make("details", "live-details", make("summary", "", "Events"), lines);
  details.hidden = true;
  block.append(form, status, output, details);

  /** @type {ChatAgent | null} */
  let agent = null;

  /** @param {string} text @param {"idle" | "busy" | "done" | "failed"} state */
  function show(text, state) {
    status.textContent = text;
    block.dataset["state"] = state;
    run.disabled = state === "busy";
    stop.hidden = state !== "busy" || agent === null;
  }

  async function start() {
    output.replaceChildren();
    lines.textContent = "";
    details.hidden = true;
    agent = null;
    show("starting Python …", "busy");
    const { createAgent } = /** @type {Limpet} */ (await import(RUNTIME));
    // The name behind the # is what Python calls the file in its errors.
    const file = URL.createObjectURL(new Blob([code?.textContent ?? ""], { type: "text/x-python" }));
    const mine = createAgent({ src: `${file}#/example.py`, allowDownload: true });
    const before = kept;
    kept = agent = mine;
    try {
      await mine.ready;
      before?.close();
      show("working …", "busy");
      details.hidden = false;
      const drawing = mine.subscribe((state, event) => {
        const load = state.load;
        if (load && load.total > 0) show(`${load.model}: ${load.status} ${percent(load.loaded, load.total)}`, "busy");
        if (event) lines.textContent += `${JSON.stringify(event)}\n`;
        draw(output, state.entries, mine);
      });
      await mine.sendMessage(prompt.value).done;
      drawing();
      if (mine.error) throw mine.error;
      show("done", "done");
    } catch (error) {
      show(error instanceof Error ? error.message : String(error), "failed");
    } finally {
      URL.revokeObjectURL(file);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start().catch((error) => show(String(error), "failed"));
  });
  stop.addEventListener("click", () => void agent?.stop());
  reset.addEventListener("click", () => {
    code.innerHTML = original;
    prompt.value = block.dataset["prompt"] ?? "";
  });
  show("", "idle");
}

/** @param {number} loaded @param {number} total */
function percent(loaded, total) {
  return `${Math.round((100 * loaded) / total)} %`;
}

/**
 * Draw what was said. Text only, never HTML; what stands there already is kept.
 *
 * @param {HTMLElement} output
 * @param {readonly Entry[]} entries
 * @param {ChatAgent} agent
 */
function draw(output, entries, agent) {
  entries.forEach((entry, place) => {
    let line = output.children[place];
    if (!line) {
      line = make("div", "");
      output.append(line);
    }
    const [kind, text] = describe(entry);
    line.className = `live-entry live-${entry.kind}`;
    if (line.getAttribute("data-text") === kind + text) return;
    line.setAttribute("data-text", kind + text);
    line.replaceChildren(make("span", "live-kind", kind), make("span", "live-text", text));
    if (entry.kind !== "tool" || entry.status !== "waiting") return;
    for (const [label, answer] of /** @type {const} */ ([
      ["Allow", true],
      ["Refuse", false],
    ])) {
      const button = make("button", "md-button", label);
      button.type = "button";
      button.addEventListener("click", () => agent.approve(entry.callId, answer));
      line.append(button);
    }
  });
  while (output.children.length > entries.length) output.lastElementChild?.remove();
}

/** @param {Entry} entry @returns {[string, string]} */
function describe(entry) {
  switch (entry.kind) {
    case "user":
      return ["you", entry.text];
    case "text":
      return [entry.model || "agent", entry.text];
    case "reasoning":
      return ["thinks", entry.text];
    case "tool": {
      const result = entry.result ?? entry.progress;
      const said = result === null ? "" : ` → ${typeof result === "string" ? result : JSON.stringify(result)}`;
      return ["tool", `${entry.name}(${entry.arguments}) ${entry.status}${said}`];
    }
    default:
      return [entry.kind, entry.text];
  }
}

for (const block of document.querySelectorAll(".limpet-live")) if (block instanceof HTMLElement) setUp(block);
