// Generated from runtime/limpet/wire.py by `python3 build.py generate`. Do not edit: change wire.py instead.

/** Why a `FallbackModel` turned to its next model. */
export type FallbackReason =
  | "unavailable"
  | "offline"
  | "low_confidence"
  | "rate_limited"
  | "context_too_long"
  | "refused_by_policy"
  | "unsupported"
  | "not_authorized"
  | "bad_answer";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type JsonObject = { [key: string]: Json };

export type RoleName = "system" | "user" | "assistant" | "tool";

/** Why a model stopped: it was done; a limit cut it off; it wants tools run; a policy cut it off. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** Why a run stopped: as its last turn did, because it was cancelled, or because a hook wanted it to. */
export type RunFinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "cancelled" | "stopped";

/** Where a hook is asked. */
export type HookPoint = "before_model" | "after_model" | "before_tool" | "after_tool" | "on_delta" | "on_turn_end";

/** What a hook did. */
export type HookVerb = "rewrite" | "skip" | "redo" | "stop";

/** What is being done to a local model's file. */
export type LoadStatus = "download" | "verify" | "store" | "load" | "ready";

/** Whether a local model can be used: not here; after a download; being downloaded; at once. */
export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

export type TextPartWire = {
  type: "text";
  text: string;
  provider_metadata?: JsonObject;
};

export type ReasoningPartWire = {
  type: "reasoning";
  text: string;
  provider_metadata?: JsonObject;
};

export type ImagePartWire = {
  type: "image";
  media_type: string;
  data: string;
  url: string;
};

export type ToolCallPartWire = {
  type: "tool_call";
  id: string;
  name: string;
  arguments: string;
  provider_metadata?: JsonObject;
};

export type ToolResultPartWire = {
  type: "tool_result";
  id: string;
  name: string;
  content: Json;
  is_error: boolean;
};

export type PartWire = TextPartWire | ReasoningPartWire | ImagePartWire | ToolCallPartWire | ToolResultPartWire;

export type MessageWire = {
  role: RoleName;
  parts: PartWire[];
  model?: string;
  provider_metadata?: JsonObject;
};

export type UsageWire = {
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
};

export type RunStartWire = {
  type: "run_start";
  id: number;
  run_id: string;
  conversation_id: string | null;
  models: string[];
};

export type TurnStartWire = {
  type: "turn_start";
  id: number;
  run_id: string;
  turn: number;
};

export type ProgressWire = {
  type: "progress";
  id: number;
  run_id: string;
  model: string;
  status: LoadStatus;
  file: string;
  loaded: number;
  total: number;
};

export type RetryWire = {
  type: "retry";
  id: number;
  run_id: string;
  model: string;
  attempt: number;
  delay_seconds: number;
  reason: FallbackReason;
  message: string;
};

export type FallbackWire = {
  type: "fallback";
  id: number;
  run_id: string;
  from_model: string;
  to_model: string;
  reason: FallbackReason;
  message: string;
};

export type ModelStartWire = {
  type: "model_start";
  id: number;
  run_id: string;
  model: string;
  confidence: number | null;
};

export type TextStartWire = {
  type: "text_start";
  id: number;
  run_id: string;
  part_id: string;
};

export type TextDeltaWire = {
  type: "text_delta";
  id: number;
  run_id: string;
  part_id: string;
  text: string;
};

export type TextEndWire = {
  type: "text_end";
  id: number;
  run_id: string;
  part_id: string;
  provider_metadata?: JsonObject;
};

export type ReasoningStartWire = {
  type: "reasoning_start";
  id: number;
  run_id: string;
  part_id: string;
};

export type ReasoningDeltaWire = {
  type: "reasoning_delta";
  id: number;
  run_id: string;
  part_id: string;
  text: string;
};

export type ReasoningEndWire = {
  type: "reasoning_end";
  id: number;
  run_id: string;
  part_id: string;
  provider_metadata?: JsonObject;
};

export type ToolCallStartWire = {
  type: "tool_call_start";
  id: number;
  run_id: string;
  call_id: string;
  name: string;
};

export type ToolCallDeltaWire = {
  type: "tool_call_delta";
  id: number;
  run_id: string;
  call_id: string;
  arguments: string;
};

export type ToolCallEndWire = {
  type: "tool_call_end";
  id: number;
  run_id: string;
  call_id: string;
  name: string;
  arguments: string;
  provider_metadata?: JsonObject;
};

export type ApprovalWire = {
  type: "approval";
  id: number;
  run_id: string;
  call_id: string;
  name: string;
  arguments: string;
};

export type ToolProgressWire = {
  type: "tool_progress";
  id: number;
  run_id: string;
  call_id: string;
  content: Json;
};

export type ToolResultWire = {
  type: "tool_result";
  id: number;
  run_id: string;
  call_id: string;
  name: string;
  content: Json;
  is_error: boolean;
};

export type OutputUpdateWire = {
  type: "output_update";
  id: number;
  run_id: string;
  value: Json;
  is_whole: boolean;
};

export type HookActionWire = {
  type: "hook_action";
  id: number;
  run_id: string;
  hook: string;
  point: HookPoint;
  action: HookVerb;
  reason: string;
};

export type TurnResetWire = {
  type: "turn_reset";
  id: number;
  run_id: string;
  turn: number;
  message: string;
};

export type TurnEndWire = {
  type: "turn_end";
  id: number;
  run_id: string;
  turn: number;
  model: string;
  finish_reason: FinishReason;
  usage: UsageWire;
  cost?: number;
};

export type RunEndWire = {
  type: "run_end";
  id: number;
  run_id: string;
  finish_reason: RunFinishReason;
  turns: number;
  usage: UsageWire;
};

export type RunErrorWire = {
  type: "run_error";
  id: number;
  run_id: string;
  name: string;
  message: string;
  is_retryable: boolean;
};

export type EventWire =
  | RunStartWire
  | TurnStartWire
  | ProgressWire
  | RetryWire
  | FallbackWire
  | ModelStartWire
  | TextStartWire
  | TextDeltaWire
  | TextEndWire
  | ReasoningStartWire
  | ReasoningDeltaWire
  | ReasoningEndWire
  | ToolCallStartWire
  | ToolCallDeltaWire
  | ToolCallEndWire
  | ApprovalWire
  | ToolProgressWire
  | ToolResultWire
  | OutputUpdateWire
  | HookActionWire
  | TurnResetWire
  | TurnEndWire
  | RunEndWire
  | RunErrorWire;

export type ErrorWire = {
  name: string;
  message: string;
  is_retryable: boolean;
};

/** The remote model of this page, kept in memory only. `model` is `provider:name`. */
export type RemoteSettingsWire = {
  model: string;
  base_url?: string;
  api_key?: string;
};

/** A function of the page that the agent may call; `parameters` is the JSON Schema of an object. */
export type PageToolWire = {
  name: string;
  description: string;
  parameters: JsonObject;
  requires_approval: boolean;
  is_idempotent: boolean;
};

/** Where a run begins: after the first messages of a conversation. Of another one makes a branch. */
export type BeginningWire = {
  conversation_id: string;
  message_count: number;
};

/**
 * The first message to a worker, with its first agent. Paths are absolute URLs.
 *
 * `models_url` is the folder of the models, `models/` of the site unless it is said otherwise. `instructions` take
 * the place of the agent's own; `tools` are functions of the page.
 */
export type StartCommand = {
  type: "start";
  agent_url: string;
  site_url: string;
  threads: number | null;
  allow_download: boolean;
  remote: RemoteSettingsWire | null;
  models_url?: string;
  agent_id?: string;
  instructions?: string;
  tools?: PageToolWire[];
};

/** One more agent in the same worker, with the same local models. Answered by an `agent` report. */
export type AddAgentCommand = {
  type: "add_agent";
  agent_id: string;
  agent_url: string;
  remote: RemoteSettingsWire | null;
  instructions?: string;
  tools?: PageToolWire[];
};

export type ConfigureCommand = {
  type: "configure";
  remote: RemoteSettingsWire | null;
  agent_id?: string;
};

/** Set the page's functions that an agent may call, in place of those set before. */
export type ToolsCommand = {
  type: "tools";
  agent_id: string;
  tools: PageToolWire[];
};

/** The answer to a `tool_request`. */
export type ToolOutputCommand = {
  type: "tool_output";
  request_id: string;
  content: Json;
  is_error: boolean;
};

export type DownloadCommand = {
  type: "download";
  model_id: string;
};

/** Ask which local models are kept in this browser, and how full it is. Answered by a `models` report. */
export type ModelsCommand = {
  type: "models";
  request_id: string;
};

/** Delete what is kept of a local model. Answered by a `done` report. */
export type DeleteModelCommand = {
  type: "delete_model";
  request_id: string;
  model_id: string;
};

/** Ask what this device can do; it is measured if it never was. Answered by a `device` report. */
export type DeviceCommand = {
  type: "device";
  request_id: string;
};

/**
 * `credits`: how many events may be sent before more are granted; without it there is no limit.
 *
 * What came after `beginning` in the conversation is given up.
 */
export type RunCommand = {
  type: "run";
  run_id: string;
  conversation_id: string;
  parts: PartWire[];
  agent_id?: string;
  credits?: number;
  beginning?: BeginningWire;
};

/** Go on with a run that a reload or a crash broke off; its id is in the `history` report. */
export type ResumeCommand = {
  type: "resume";
  run_id: string;
  conversation_id: string;
  agent_id?: string;
  credits?: number;
};

export type CreditCommand = {
  type: "credit";
  run_id: string;
  count: number;
};

export type CancelCommand = {
  type: "cancel";
  run_id: string;
};

export type ApproveCommand = {
  type: "approve";
  run_id: string;
  call_id: string;
  approved: boolean;
};

export type HistoryCommand = {
  type: "history";
  conversation_id: string;
};

export type ForgetCommand = {
  type: "forget";
  conversation_id: string;
};

/** Ask for the list of conversations. */
export type ConversationsCommand = {
  type: "conversations";
  request_id: string;
};

export type RenameCommand = {
  type: "rename";
  request_id: string;
  conversation_id: string;
  title: string;
};

/** Keep a conversation that was exported, in place of one with the same id. */
export type ImportCommand = {
  type: "import";
  request_id: string;
  conversation_id: string;
  title: string;
  messages: MessageWire[];
};

/** Erase one conversation, or with null all of them, with all that is kept of their runs. */
export type EraseCommand = {
  type: "erase";
  request_id: string;
  conversation_id: string | null;
};

export type Command =
  | StartCommand
  | AddAgentCommand
  | ConfigureCommand
  | ToolsCommand
  | ToolOutputCommand
  | DownloadCommand
  | ModelsCommand
  | DeleteModelCommand
  | DeviceCommand
  | RunCommand
  | ResumeCommand
  | CreditCommand
  | CancelCommand
  | ApproveCommand
  | HistoryCommand
  | ForgetCommand
  | ConversationsCommand
  | RenameCommand
  | ImportCommand
  | EraseCommand;

/** A local model as the page shows it; `size_bytes` is what a download costs. */
export type LocalModelWire = {
  model_id: string;
  availability: Availability;
  size_bytes: number;
  license: string;
};

/** A local model of which at least a part is kept in this browser; `used_at` is in seconds since 1970. */
export type CachedModelWire = {
  model_id: string;
  size_bytes: number;
  stored_bytes: number;
  is_complete: boolean;
  used_at: number;
};

/**
 * Where models are kept. The numbers are of all that this site keeps; null: nobody knows.
 *
 * `is_persisted`: the browser does not clear it by itself.
 */
export type StorageWire = {
  store: string;
  usage_bytes: number | null;
  quota_bytes: number | null;
  is_persisted: boolean;
};

/**
 * What this device can do, and what is used of it.
 *
 * `gpu` names a real graphics processor that the browser shows; `memory_bytes` is what local models together may take;
 * `probe_tokens_per_second` how fast a small graph ran that way, null when there was no time to measure it.
 */
export type DeviceWire = {
  execution_provider: "wasm" | "webgpu";
  threads: number;
  cores: number;
  is_isolated: boolean;
  has_simd: boolean;
  gpu: string | null;
  memory_bytes: number;
  probe_tokens_per_second: number | null;
};

/**
 * The worker can run. `milliseconds` says what the phases of its start took.
 *
 * `models` are the agent's local ones, `remote_models` the others, as `provider:name`.
 */
export type ReadyReport = {
  type: "ready";
  name: string;
  tools: string[];
  models: LocalModelWire[];
  remote_models: string[];
  milliseconds: { [key: string]: number };
};

/** An agent that was added is there, or what was wrong with it. */
export type AgentReport = {
  type: "agent";
  agent_id: string;
  name: string;
  tools: string[];
  models: LocalModelWire[];
  remote_models: string[];
  error?: ErrorWire;
};

export type EventsReport = {
  type: "events";
  run_id: string;
  events: EventWire[];
};

export type DownloadReport = {
  type: "download_progress";
  model_id: string;
  status: LoadStatus;
  file: string;
  loaded: number;
  total: number;
};

export type ModelReport = {
  type: "model";
  model: LocalModelWire;
  error?: ErrorWire;
};

/** The answer to `models`; the model used last comes first. */
export type ModelsReport = {
  type: "models";
  request_id: string;
  models: CachedModelWire[];
  storage: StorageWire;
};

/** The answer to `device`; null where nothing can be measured. */
export type DeviceReport = {
  type: "device";
  request_id: string;
  device: DeviceWire | null;
};

/** `open_run_id`: the run that was broken off and can be resumed; `messages` are then as far as that one came. */
export type HistoryReport = {
  type: "history";
  conversation_id: string;
  messages: MessageWire[];
  open_run_id?: string;
};

/** One line of the list; `updated_at` is in seconds since 1970. */
export type ConversationWire = {
  conversation_id: string;
  title: string;
  updated_at: number;
};

export type ConversationsReport = {
  type: "conversations";
  request_id: string;
  conversations: ConversationWire[];
};

/** A command with a `request_id` is done, or what was wrong with it. */
export type DoneReport = {
  type: "done";
  request_id: string;
  error?: ErrorWire;
};

/** A function of the page is called; the page answers with `tool_output`. */
export type ToolRequestReport = {
  type: "tool_request";
  request_id: string;
  agent_id: string;
  name: string;
  arguments: JsonObject;
};

/** Nobody waits for this answer any more. */
export type ToolCancelReport = {
  type: "tool_cancel";
  request_id: string;
};

/** The worker could not start, or a command other than `run` failed. */
export type ErrorReport = {
  type: "error";
  error: ErrorWire;
};

export type Report =
  | ReadyReport
  | AgentReport
  | EventsReport
  | DownloadReport
  | ModelReport
  | ModelsReport
  | DeviceReport
  | HistoryReport
  | ConversationsReport
  | DoneReport
  | ToolRequestReport
  | ToolCancelReport
  | ErrorReport;
