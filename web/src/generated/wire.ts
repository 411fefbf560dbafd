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

/** The first message to a worker. Paths are absolute URLs. */
export type StartCommand = {
  type: "start";
  agent_url: string;
  site_url: string;
  threads: number | null;
  allow_download: boolean;
  remote: RemoteSettingsWire | null;
};

export type ConfigureCommand = {
  type: "configure";
  remote: RemoteSettingsWire | null;
};

export type DownloadCommand = {
  type: "download";
  model_id: string;
};

export type RunCommand = {
  type: "run";
  run_id: string;
  conversation_id: string;
  parts: PartWire[];
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

export type Command =
  | StartCommand
  | ConfigureCommand
  | DownloadCommand
  | RunCommand
  | CancelCommand
  | ApproveCommand
  | HistoryCommand
  | ForgetCommand;

/** A local model as the page shows it; `size_bytes` is what a download costs. */
export type LocalModelWire = {
  model_id: string;
  availability: Availability;
  size_bytes: number;
  license: string;
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

export type HistoryReport = {
  type: "history";
  conversation_id: string;
  messages: MessageWire[];
};

/** The worker could not start, or a command other than `run` failed. */
export type ErrorReport = {
  type: "error";
  error: ErrorWire;
};

export type Report = ReadyReport | EventsReport | DownloadReport | ModelReport | HistoryReport | ErrorReport;
