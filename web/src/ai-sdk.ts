/**
 * A `ChatTransport` for the AI SDK: `useChat({ transport: createChatTransport(agent) })` talks to the agent in this tab.
 *
 * A run that asks for an approval stays open while the AI SDK ends its stream; the answer comes with the next
 * `sendMessages`, whose stream goes on with the same run.
 */

import type { ChatTransport, UIMessage, UIMessageChunk } from "ai";
import type { AgentRun, ChatAgent } from "./agent.ts";
import type { EventWire, Json, PartWire } from "./generated/wire.ts";

interface Going {
  readonly run: AgentRun;
  readonly events: AsyncIterator<EventWire>;
  /** The calls that wait for an answer. */
  readonly asked: Set<string>;
}

/** The agent's conversations are named by the AI SDK's chat ids. */
export function createChatTransport<M extends UIMessage = UIMessage>(agent: ChatAgent): ChatTransport<M> {
  let going: Going | null = null;

  function stream(next: Going): ReadableStream<UIMessageChunk> {
    going = next;
    let turn = 0;
    return new ReadableStream<UIMessageChunk>({
      async pull(controller) {
        const { done, value } = await next.events.next();
        if (done) {
          going = null;
          controller.close();
          return;
        }
        if (value.type === "turn_start") turn = value.turn;
        for (const chunk of chunksOf(value, turn)) controller.enqueue(chunk);
        if (value.type === "approval") {
          next.asked.add(value.call_id);
          controller.enqueue({ type: "finish-step" });
          controller.enqueue({ type: "finish" });
          controller.close();
        }
      },
      async cancel() {
        going = null;
        await agent.stop();
      },
    });
  }

  function begin(run: AgentRun): ReadableStream<UIMessageChunk> {
    return stream({ run, events: run[Symbol.asyncIterator](), asked: new Set() });
  }

  return {
    async sendMessages({ trigger, chatId, messageId, messages, abortSignal }) {
      const options = abortSignal ? { signal: abortSignal } : {};
      await agent.ready;
      if (going && trigger === "submit-message") {
        const answers = approvals(messages.at(-1), going.asked);
        if (answers.length > 0) {
          const { run, events, asked } = going;
          for (const [callId, approved] of answers) {
            asked.delete(callId);
            agent.approve(callId, approved);
          }
          abortSignal?.addEventListener("abort", () => void agent.stop());
          return stream({ run, events, asked });
        }
      }
      await agent.stop();
      if (agent.conversationId !== chatId) await agent.open(chatId);
      if (trigger === "regenerate-message") return begin(agent.regenerate(options));
      const asked = messages.filter((message) => message.role === "user");
      const last = asked.at(-1);
      if (!last) throw new Error("there is no message to send");
      const parts = partsOf(last);
      if (messageId === undefined) return begin(agent.sendMessage(parts, options));
      // A message that was changed: what came after it is given up.
      const users = agent.messages.flatMap((message, place) => (message.role === "user" ? [place] : []));
      const place = users[asked.length - 1];
      if (place === undefined) return begin(agent.sendMessage(parts, options));
      return begin(agent.edit(place, textOf(parts), options));
    },
    async reconnectToStream({ chatId }) {
      await agent.ready;
      if (agent.conversationId !== chatId) await agent.open(chatId);
      return null;
    },
  };
}

/** What the AI SDK is told of an event. */
function chunksOf(event: EventWire, turn: number): readonly UIMessageChunk[] {
  switch (event.type) {
    case "run_start":
      return [{ type: "start" }];
    case "turn_start":
      return [{ type: "start-step" }];
    case "turn_reset":
      return [{ type: "reset-step" }];
    case "text_start":
    case "text_end":
      return [{ type: event.type === "text_start" ? "text-start" : "text-end", id: `${turn}/${event.part_id}` }];
    case "text_delta":
      return [{ type: "text-delta", id: `${turn}/${event.part_id}`, delta: event.text }];
    case "reasoning_start":
    case "reasoning_end":
      return [
        {
          type: event.type === "reasoning_start" ? "reasoning-start" : "reasoning-end",
          id: `${turn}/${event.part_id}`,
        },
      ];
    case "reasoning_delta":
      return [{ type: "reasoning-delta", id: `${turn}/${event.part_id}`, delta: event.text }];
    case "tool_call_start":
      return [{ type: "tool-input-start", toolCallId: event.call_id, toolName: event.name, dynamic: true }];
    case "tool_call_delta":
      return [{ type: "tool-input-delta", toolCallId: event.call_id, inputTextDelta: event.arguments }];
    case "tool_call_end":
      return [
        {
          type: "tool-input-available",
          toolCallId: event.call_id,
          toolName: event.name,
          input: parse(event.arguments),
          dynamic: true,
        },
      ];
    case "approval":
      return [{ type: "tool-approval-request", approvalId: event.call_id, toolCallId: event.call_id }];
    case "tool_progress":
      return [
        {
          type: "tool-output-available",
          toolCallId: event.call_id,
          output: event.content,
          dynamic: true,
          preliminary: true,
        },
      ];
    case "tool_result":
      return event.is_error
        ? [{ type: "tool-output-error", toolCallId: event.call_id, errorText: words(event.content), dynamic: true }]
        : [{ type: "tool-output-available", toolCallId: event.call_id, output: event.content, dynamic: true }];
    case "fallback":
      return [{ type: "data-limpet-fallback", data: event, transient: true }];
    case "progress":
      return [{ type: "data-limpet-progress", data: event, transient: true }];
    case "turn_end":
      return [{ type: "finish-step" }];
    case "run_error":
      return [{ type: "error", errorText: event.message }];
    case "run_end":
      return event.finish_reason === "cancelled"
        ? [{ type: "abort" }]
        : [{ type: "finish", messageMetadata: { usage: event.usage, turns: event.turns } }];
    default:
      return [];
  }
}

/** The answers to questions which the last message of the assistant brings. */
function approvals(message: UIMessage | undefined, asked: ReadonlySet<string>): [string, boolean][] {
  if (message?.role !== "assistant") return [];
  return message.parts.flatMap((part): [string, boolean][] => {
    if (!("approval" in part) || !part.approval) return [];
    const { id, approved } = part.approval;
    return approved !== undefined && asked.has(id) ? [[id, approved]] : [];
  });
}

function partsOf(message: UIMessage): PartWire[] {
  return message.parts.flatMap((part): PartWire[] => {
    if (part.type === "text") return [{ type: "text", text: part.text }];
    if (part.type !== "file" || !part.mediaType.startsWith("image/")) return [];
    const data = /^data:[^,]*;base64,(.*)$/s.exec(part.url)?.[1];
    return [{ type: "image", media_type: part.mediaType, data: data ?? "", url: data === undefined ? part.url : "" }];
  });
}

function textOf(parts: readonly PartWire[]): string {
  return parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function words(content: Json): string {
  return typeof content === "string" ? content : JSON.stringify(content);
}
