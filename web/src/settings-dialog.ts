/** The remote model's settings. They stay in this page's memory: not in storage, not in an address. */

import { find, setText } from "./elements.ts";
import type { RemoteSettingsWire } from "./generated/wire.ts";

export interface SettingsDialog {
  /** `remoteModels` are the agent's own: what is asked when no other model is named. */
  open(remoteModels: readonly string[]): void;
}

/** `onChange` gets the settings, or null when they were taken away. */
export function createSettingsDialog(
  dialog: HTMLDialogElement,
  onChange: (remote: RemoteSettingsWire | null) => void,
): SettingsDialog {
  const form = find("form", HTMLFormElement, dialog);
  const model = find("#remote-model", HTMLInputElement, dialog);
  const baseUrl = find("#remote-base-url", HTMLInputElement, dialog);
  const key = find("#remote-key", HTMLInputElement, dialog);
  const problem = find("#remote-problem", HTMLElement, dialog);
  let ownModels: readonly string[] = [];

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const remote = read();
    const wrong = remote && complaint(remote, ownModels);
    setText(problem, wrong ?? "");
    if (wrong) return;
    dialog.close();
    onChange(remote);
  });
  find("#remote-remove", HTMLButtonElement, dialog).addEventListener("click", () => {
    form.reset();
    dialog.close();
    onChange(null);
  });
  find("#remote-cancel", HTMLButtonElement, dialog).addEventListener("click", () => dialog.close());

  function read(): RemoteSettingsWire | null {
    const [name, url, secret] = [model.value.trim(), baseUrl.value.trim(), key.value.trim()];
    if (name === "" && url === "" && secret === "") return null;
    return { model: name, ...(url === "" ? {} : { base_url: url }), ...(secret === "" ? {} : { api_key: secret }) };
  }

  return {
    open(remoteModels) {
      ownModels = remoteModels;
      model.placeholder = remoteModels[0] ?? "openai:gpt-5-mini";
      setText(problem, "");
      dialog.showModal();
    },
  };
}

/** What is wrong with the settings, in words; null when nothing is. */
export function complaint(remote: RemoteSettingsWire, ownModels: readonly string[]): string | null {
  if (remote.base_url && !/^https?:\/\/[^/\s]+/.test(remote.base_url)) {
    return "The base URL begins with https:// (or http:// for a server on this machine).";
  }
  if (remote.model === "" && ownModels.length === 0) return "Name a model, such as openai:gpt-5-mini.";
  if (remote.model !== "" && !remote.model.includes(":") && !remote.base_url) {
    return "A model is written provider:name, such as openai:gpt-5-mini; a bare name needs a base URL.";
  }
  return null;
}
