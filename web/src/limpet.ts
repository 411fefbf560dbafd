/** What `limpet.js` gives: the element, which it defines, and the parts that a page of its own is made of. */

import { LimpetChatElement } from "./chat-element.ts";

export {
  type AgentInfo,
  type AgentListener,
  type AgentOptions,
  type AgentRun,
  type AgentStatus,
  type ChatAgent,
  type ConversationFile,
  createAgent,
  type KeptModels,
  type SendOptions,
} from "./agent.ts";
export { LimpetChatElement } from "./chat-element.ts";
export { AgentClientError } from "./client.ts";
export type * from "./generated/wire.ts";
export { type Consent, domTools, type PageTool, type ToolOutput } from "./page-tools.ts";
export type { ChatState, Entry } from "./reduce.ts";
export { type AgentRuntime, createRuntime, type RuntimeOptions } from "./runtime.ts";

if (!customElements.get("limpet-chat")) customElements.define("limpet-chat", LimpetChatElement);

declare global {
  interface HTMLElementTagNameMap {
    "limpet-chat": LimpetChatElement;
  }
}
