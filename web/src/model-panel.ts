/** One row for each local model: its size before anything is fetched, a button, progress, a badge once it is there. */

import type { DownloadProgress } from "./client.ts";
import { formatBytes, make, setText } from "./elements.ts";
import type { LocalModelWire } from "./generated/wire.ts";

export interface ModelPanel {
  show(models: readonly LocalModelWire[]): void;
}

/** Fetch a model; rejects with an error whose message is for people. */
export type Download = (modelId: string, onProgress: (progress: DownloadProgress) => void) => Promise<LocalModelWire>;

const STEPS: Readonly<Record<string, string>> = {
  download: "downloading",
  verify: "checking",
  store: "storing",
  load: "loading",
  ready: "ready",
};

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
  const row = make("div", "model", make("strong", "", model.model_id), facts, badge, button, bar, step);
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
    try {
      const fetched = await download(model.model_id, ({ status, file, loaded, total }) => {
        if (total > 0) {
          bar.max = total;
          bar.value = loaded;
        }
        setText(step, `${STEPS[status] ?? status} ${file}${total > 1 ? ` of ${formatBytes(total)}` : ""}`);
      });
      setText(step, "");
      draw(fetched);
    } catch (error) {
      draw({ ...model, availability: "downloadable" });
      setText(step, error instanceof Error ? error.message : String(error));
    }
  });
  draw(model);
  return row;
}
