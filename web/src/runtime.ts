/** The worker behind the agents of a page: started once for each site folder, shared, restarted when it breaks down. */

import { type AnswerTool, type Client, createClient } from "./client.ts";
import type {
  AgentReport,
  PageToolWire,
  ReadyReport,
  RemoteSettingsWire,
  ToolRequestReport,
} from "./generated/wire.ts";

/** What an agent tells the worker about itself. */
export interface AgentSettings {
  readonly agentUrl: string;
  readonly remote: RemoteSettingsWire | null;
  readonly instructions?: string | undefined;
  readonly tools: readonly PageToolWire[];
  readonly answerTool: AnswerTool;
}

export interface AgentConnection {
  readonly client: Client;
  readonly agentId: string;
  readonly ready: Promise<ReadyReport | AgentReport>;
  /** Harmless when called twice. The worker goes with its last agent. */
  close(): void;
}

export interface AgentRuntime {
  connect(settings: AgentSettings): AgentConnection;
}

export interface RuntimeOptions {
  /** The folder of `worker.js`, Pyodide and our Python, with a slash at its end. */
  readonly baseUrl: string;
  readonly threads?: number | null;
  readonly allowDownload?: boolean;
  /** The folder of the local models, with a slash at its end. */
  readonly modelsUrl?: string;
  readonly startWorker?: (url: string) => Worker;
}

interface Running {
  readonly worker: Worker;
  readonly client: Client;
  readonly answers: Map<string, AnswerTool>;
  users: number;
}

/**
 * The folder of what has the same name in each version of a site: models, the service worker. A built site keeps its
 * other files in a folder that is named by their hash.
 */
export function rootOf(baseUrl: string): string {
  return new URL(/\/files-[0-9a-f]+\/$/.test(baseUrl) ? "../" : "./", baseUrl).href;
}

/** Agents of one runtime share its interpreter and its loaded models. */
export function createRuntime({
  baseUrl,
  threads = null,
  allowDownload = false,
  modelsUrl = new URL("models/", rootOf(baseUrl)).href,
  startWorker = (url) => new Worker(url, { type: "module" }),
}: RuntimeOptions): AgentRuntime {
  let running: Running | null = null;
  let count = 0;

  function start(agentId: string, settings: AgentSettings): Running {
    const worker = startWorker(new URL("assets/worker.js", baseUrl).href);
    const answers = new Map<string, AnswerTool>();
    const client = createClient(
      worker,
      {
        agent_url: settings.agentUrl,
        site_url: baseUrl,
        models_url: modelsUrl,
        threads,
        allow_download: allowDownload,
        ...rest(agentId, settings),
      },
      { answerTool: (request, signal) => answerOf(answers, request)(request, signal) },
    );
    return { worker, client, answers, users: 0 };
  }

  return {
    connect(settings) {
      const agentId = `agent${count++}`;
      let ready: Promise<ReadyReport | AgentReport>;
      // One that broke down is left to those who still hold it; a new one takes its place.
      if (running === null || running.client.failure) {
        running = start(agentId, settings);
        ready = running.client.ready;
      } else {
        ready = running.client.addAgent({ agent_url: settings.agentUrl, ...rest(agentId, settings) });
      }
      const mine = running;
      mine.users += 1;
      mine.answers.set(agentId, settings.answerTool);
      ready.catch(() => undefined);
      let isClosed = false;
      return {
        client: mine.client,
        agentId,
        ready,
        close() {
          if (isClosed) return;
          isClosed = true;
          mine.answers.delete(agentId);
          mine.users -= 1;
          if (mine.users > 0) return;
          mine.client.close();
          mine.worker.terminate();
          if (running === mine) running = null;
        },
      };
    },
  };
}

function answerOf(answers: ReadonlyMap<string, AnswerTool>, { agent_id }: ToolRequestReport): AnswerTool {
  return (
    answers.get(agent_id) ??
    (() => Promise.reject(new Error("the page has closed this agent, and its functions with it")))
  );
}

function rest(agent_id: string, { remote, instructions, tools }: AgentSettings) {
  return { agent_id, remote, tools: [...tools], ...(instructions === undefined ? {} : { instructions }) };
}

const shared = new Map<string, AgentRuntime>();

/** The runtime that all agents of this page with the same files share. */
export function sharedRuntime(options: RuntimeOptions): AgentRuntime {
  const key = JSON.stringify([
    options.baseUrl,
    options.threads ?? null,
    options.allowDownload ?? false,
    options.modelsUrl,
  ]);
  const known = shared.get(key) ?? createRuntime(options);
  shared.set(key, known);
  return known;
}
