/** The list of conversations: go to one, rename, export, erase it; bring one in from a file; erase them all. */

import type { ChatAgent } from "./agent.ts";
import { find, make, setText } from "./elements.ts";
import type { ConversationWire } from "./generated/wire.ts";

export interface ConversationsDialog {
  open(): Promise<void>;
}

export interface ConversationsOptions {
  readonly agent: () => ChatAgent;
  readonly onOpen: (conversationId: string) => Promise<void>;
  readonly onErase: (conversationId: string | undefined) => Promise<void>;
}

export function createConversationsDialog(
  dialog: HTMLDialogElement,
  { agent, onOpen, onErase }: ConversationsOptions,
): ConversationsDialog {
  const list = find(".conversations", HTMLElement, dialog);
  const problem = find(".problem", HTMLElement, dialog);
  const file = find("input[type=file]", HTMLInputElement, dialog);

  /** Do something, tell what went wrong, and show the list as it then is. */
  async function act(work: () => Promise<unknown>): Promise<void> {
    setText(problem, "");
    try {
      await work();
    } catch (error) {
      setText(problem, error instanceof Error ? error.message : String(error));
    }
    await draw();
  }

  async function draw(): Promise<void> {
    const conversations = await agent().conversations();
    const rows = conversations.map((conversation) => drawRow(conversation));
    list.replaceChildren(...(rows.length > 0 ? rows : [make("li", "hint", "Nothing was said yet.")]));
  }

  function drawRow({ conversation_id: id, title, updated_at }: ConversationWire): HTMLElement {
    const name = title || "Untitled";
    const open = make("button", "conversation-title", name);
    open.dir = "auto";
    if (id === agent().conversationId) open.setAttribute("aria-current", "true");
    open.addEventListener("click", async () => {
      dialog.close();
      await onOpen(id);
    });
    const when = make("span", "hint", new Date(updated_at * 1000).toLocaleString());
    const row = make("li", "conversation", open, when);
    const rename = make("button", "small", "Rename");
    rename.addEventListener("click", () => {
      const field = make("input");
      field.value = name;
      field.ariaLabel = `New name of ${name}`;
      const form = make("form", "rename", field, make("button", "small", "Keep"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        void act(() => agent().rename(id, field.value));
      });
      open.replaceWith(form);
      rename.hidden = true;
      field.select();
    });
    const save = make("button", "small", "Export");
    save.addEventListener("click", () => void act(() => download(id, name)));
    const erase = make("button", "small danger", "Erase");
    erase.addEventListener("click", () => {
      // The second click means it: no question that another script could answer, none that blocks the page.
      if (erase.dataset.sure !== "true") {
        erase.dataset.sure = "true";
        setText(erase, "Erase for ever?");
        return;
      }
      void act(() => onErase(id));
    });
    for (const [button, does] of [
      [rename, "Rename"],
      [save, "Export"],
      [erase, "Erase"],
    ] as const) {
      button.type = "button";
      button.title = `${does} ${name}`;
    }
    open.type = "button";
    row.append(rename, save, erase);
    return row;
  }

  async function download(id: string, name: string): Promise<void> {
    const text = JSON.stringify(await agent().exportConversation(id), null, 1);
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = make("a");
    link.href = url;
    link.download = `${name.replace(/[^\p{L}\p{N} _-]/gu, "").trim() || "conversation"}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    file.value = "";
    if (chosen) void act(async () => onOpen(await agent().importConversation(parse(await chosen.text()))));
  });
  const eraseAll = find(".erase-all", HTMLButtonElement, dialog);
  eraseAll.addEventListener("click", () => {
    if (eraseAll.dataset.sure !== "true") {
      eraseAll.dataset.sure = "true";
      setText(eraseAll, "Erase all for ever?");
      return;
    }
    void act(() => onErase(undefined));
  });
  find(".close", HTMLButtonElement, dialog).addEventListener("click", () => dialog.close());

  return {
    async open() {
      setText(problem, "");
      setText(eraseAll, "Erase all");
      delete eraseAll.dataset.sure;
      await draw();
      dialog.showModal();
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("this file is no conversation exported from here");
  }
}
