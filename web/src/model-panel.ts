/**
 * One row for each local model: its size before anything is fetched, a button, progress, a badge once it is there, and
 * how to be rid of it. Below them what all of them take of this browser's room.
 */

import { requestPersistence } from "onnxruntime-web-bridge";
import type { KeptModels } from "./agent.ts";
import type { DownloadProgress } from "./client.ts";
import { formatBytes, make, setText } from "./elements.ts";
import type { CachedModelWire, LocalModelWire } from "./generated/wire.ts";

export interface ModelPanel {
  show(models: readonly LocalModelWire[]): void;
}

/** What the panel has done; each rejects with an error whose message is for people. */
export interface ModelActions {
  download(modelId: string, onProgress: (progress: DownloadProgress) => void): Promise<LocalModelWire>;
  deleteModel(modelId: string): Promise<void>;
  models(): Promise<KeptModels>;
}

interface Row {
  readonly element: HTMLElement;
  /** Show what is kept of the model; undefined: nothing. */
  keep(kept: CachedModelWire | undefined): void;
}

export function createModelPanel(container: HTMLElement, actions: ModelActions): ModelPanel {
  const room = make("p", "model-room");
  let rows = new Map<string, Row>();

  async function refresh(): Promise<void> {
    try {
      const { models, storage } = await actions.models();
      for (const [id, row] of rows) row.keep(models.find((model) => model.model_id === id));
      setText(room, describeRoom({ models, storage }));
    } catch {
      // It is no more than a hint, and whoever presses a button is told what is wrong.
      setText(room, "");
    }
    room.hidden = room.textContent === "";
  }

  return {
    show(models) {
      container.hidden = models.length === 0;
      rows = new Map(models.map((model) => [model.model_id, createRow(model, actions, refresh)]));
      container.replaceChildren(...[...rows.values()].map((row) => row.element), room);
      room.hidden = true;
      if (models.length > 0) void refresh();
    },
  };
}

/** "37.1 MB of local models are kept here, 2.1 GB are free. …"; nothing when nothing is kept. */
export function describeRoom({ models, storage }: KeptModels): string {
  const kept = models.reduce((sum, model) => sum + model.stored_bytes, 0);
  if (kept === 0) return "";
  const { usage_bytes: usage, quota_bytes: quota } = storage;
  const free = usage === null || quota === null ? "" : `, ${formatBytes(Math.max(0, quota - usage))} are free`;
  const until = storage.is_persisted ? "until you delete them" : "until the browser needs the room";
  return `${formatBytes(kept)} of local models are kept here${free}. They stay ${until}.`;
}

function createRow(model: LocalModelWire, actions: ModelActions, refresh: () => Promise<void>): Row {
  const facts = make("span", "model-facts");
  const badge = make("span", "badge");
  const button = make("button", "primary", "Download");
  const remove = make("button", "model-delete", "Delete");
  const bar = make("progress");
  const step = make("span", "model-step");
  const problem = make("span", "model-step model-problem");
  const element = make("div", "model", make("strong", "", model.model_id), facts, badge, bar, step, button, problem);
  button.type = remove.type = "button";
  bar.ariaLabel = `Download of ${model.model_id}`;
  remove.ariaLabel = `Delete ${model.model_id}`;
  problem.role = "alert";
  let now = model;
  let isBusy = false;

  function draw(kept?: CachedModelWire): void {
    const { availability, size_bytes: size, license } = now;
    setText(facts, [size > 0 ? formatBytes(size) : "", license].filter((fact) => fact !== "").join(" · "));
    badge.hidden = availability === "downloadable";
    element.dataset.availability = availability;
    setText(badge, { available: "available offline", unavailable: "not available here" }[availability as string] ?? "");
    button.hidden = availability !== "downloadable";
    const part = kept && !kept.is_complete ? `${formatBytes(kept.stored_bytes)} of ` : "";
    const size_text = size > 0 ? ` (${part}${formatBytes(size)})` : "";
    setText(button, `${part === "" ? "Download" : "Go on"}${size_text}`);
    if (kept) problem.before(remove);
    else remove.remove();
    bar.hidden = true;
  }

  /** Do what a button is for; what goes wrong is told in the row. */
  async function act(name: string, work: () => Promise<LocalModelWire>): Promise<void> {
    isBusy = true;
    button.hidden = true;
    remove.remove();
    setText(step, name);
    setText(problem, "");
    try {
      now = await work();
    } catch (error) {
      setText(problem, error instanceof Error ? error.message : String(error));
    }
    setText(step, "");
    isBusy = false;
    draw();
    await refresh();
  }

  function showProgress(fetched: Map<string, number>, { status, file, loaded }: DownloadProgress): void {
    if (status === "download") fetched.set(file, loaded);
    const sum = [...fetched.values()].reduce((bytes, more) => bytes + more, 0);
    if (model.size_bytes === 0) return;
    bar.max = model.size_bytes;
    bar.value = sum;
    setText(step, `${formatBytes(sum)} of ${formatBytes(model.size_bytes)}`);
  }

  button.addEventListener("click", () => {
    // Asked for now, as the user has just said that this is worth keeping; some browsers ask the user.
    void requestPersistence();
    const fetched = new Map<string, number>();
    bar.hidden = false;
    bar.removeAttribute("value");
    element.dataset.availability = "downloading";
    void act("starting", () => actions.download(model.model_id, (progress) => showProgress(fetched, progress)));
  });
  remove.addEventListener("click", () => {
    void act("deleting", async () => {
      await actions.deleteModel(model.model_id);
      return { ...now, availability: "downloadable" };
    });
  });
  draw();
  return {
    element,
    keep: (kept) => {
      if (!isBusy) draw(kept);
    },
  };
}
