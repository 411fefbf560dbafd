/**
 * The page's client without its face, for `build.py ask` and tests: one turn, every report handed on.
 *
 * The browser's driver calls `limpetAsk(json)` once and gives `limpetReport(json)`, called with each report in order.
 */

import { createClient } from "./client.ts";
import type { RemoteSettingsWire, Report } from "./generated/wire.ts";

interface AskRequest {
  readonly prompt: string;
  /** Relative to the site. */
  readonly agent_url: string;
  readonly allow_download: boolean;
  readonly threads?: number | null;
  readonly remote: RemoteSettingsWire | null;
}

interface AskWindow {
  limpetAsk?: (request: string) => Promise<void>;
  readonly limpetReport?: (report: string) => unknown;
}

const scope = window as unknown as AskWindow;

/** Settles after the run's last event; rejects when the agent can't be started, after the `error` report. */
scope.limpetAsk = async (text) => {
  const request = JSON.parse(text) as AskRequest;
  const site = new URL("./", location.href).href;
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", (message: MessageEvent<string>) => scope.limpetReport?.(message.data));
  worker.addEventListener("error", (event) => {
    const message = `the agent's worker broke down (${event.message})`;
    const report: Report = { type: "error", error: { name: "WorkerError", message, is_retryable: true } };
    scope.limpetReport?.(JSON.stringify(report));
  });
  const client = createClient(worker, {
    agent_url: new URL(request.agent_url, site).href,
    site_url: site,
    threads: request.threads ?? null,
    allow_download: request.allow_download,
    remote: request.remote,
  });
  const run = client.run(crypto.randomUUID(), [{ type: "text", text: request.prompt }]);
  for await (const event of run) {
    // Reported above, with all that is not part of the run. Nobody sits here who could approve a call.
    if (event.type === "approval") run.approve(event.call_id, false);
  }
};
