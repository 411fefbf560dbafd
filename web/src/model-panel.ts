/** One row for each local model: its size before anything is fetched, a button, progress, a badge once it is there. */

import type { DownloadProgress } from "./client.ts";
import { formatBytes, make, setText } from "./elements.ts";
import type { LocalModelWire } from "./generated/wire.ts";

export interface ModelPanel {
  show(models: readonly LocalModelWire[]): void;
}

/** Fetch a model; rejects with an error whose message is for people. */
export type Download = (modelId: string, onProgress: (progress: DownloadProgress) => void) => Promise<LocalModelWire>;

export function createModelPanel(container: HTMLElement, download: Download): ModelPanel {
  return {
    show(models) {
      container.hidden = models.length === 0;
      container.replaceChildren(...models.map((model) => createRow(model, download)));
    },
  };
}

function createRow(model: LocalModelWire, download: Download): HTMLElement {
  const facts = make("span", "model-facts");
  const badge = make("span", "badge");
  const button = make("button", "primary", "Download");
  const bar = make("progress");
  const step = make("span", "model-step");
  const problem = make("span", "model-step model-problem");
  const row = make("div", "model", make("strong", "", model.model_id), facts, badge, bar, step, button, problem);
  button.type = "button";
  bar.ariaLabel = `Download of ${model.model_id}`;

  function draw(now: LocalModelWire): void {
    const { availability, size_bytes: size, license } = now;
    setText(facts, [size > 0 ? formatBytes(size) : "", license].filter((fact) => fact !== "").join(" · "));
    badge.hidden = availability === "downloadable";
    row.dataset.availability = availability;
    setText(badge, { available: "available offline", unavailable: "not available here" }[availability as string] ?? "");
    button.hidden = availability !== "downloadable";
    setText(button, size > 0 ? `Download (${formatBytes(size)})` : "Download");
    bar.hidden = true;
  }

  button.addEventListener("click", async () => {
    button.hidden = true;
    bar.hidden = false;
    bar.removeAttribute("value");
    row.dataset.availability = "downloading";
    setText(step, "starting");
    setText(problem, "");
    const fetched = new Map<string, number>();
    try {
      const now = await download(model.model_id, ({ status, file, loaded }) => {
        if (status === "download") fetched.set(file, loaded);
        const sum = [...fetched.values()].reduce((bytes, more) => bytes + more, 0);
        if (status === "load" || model.size_bytes === 0) {
          bar.removeAttribute("value");
          setText(step, "getting ready");
        } else {
          bar.max = model.size_bytes;
          bar.value = sum;
          setText(step, `${formatBytes(sum)} of ${formatBytes(model.size_bytes)}`);
        }
      });
      draw(now);
    } catch (error) {
      draw({ ...model, availability: "downloadable" });
      setText(problem, error instanceof Error ? error.message : String(error));
    }
    setText(step, "");
  });
  draw(model);
  return row;
}
