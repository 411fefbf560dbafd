// A chat of the AI SDK's over our transport, with the packages as their users have them. Bundled by test_use_chat.py.
import { useChat } from "@ai-sdk/react";
import { lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { createElement as h } from "react";
import { createRoot } from "react-dom/client";

// The site's own files, not part of this bundle.
const { createAgent } = await import(new URL("limpet.js", document.baseURI).href);
const { createChatTransport } = await import(new URL("ai-sdk.js", document.baseURI).href);

const agent = createAgent({ src: "agent.py" });
const transport = createChatTransport(agent);

function Chat() {
  const { messages, sendMessage, status, stop, regenerate, error, addToolApprovalResponse } = useChat({
    id: "chat",
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  Object.assign(window, { chat: { messages, sendMessage, status, stop, regenerate, addToolApprovalResponse } });
  return h(
    "div",
    null,
    h("p", { id: "chat-status" }, status),
    h("p", { id: "chat-error" }, error?.message ?? ""),
    h("ol", { id: "messages" }, messages.map((message) => h("li", { key: message.id, className: message.role }, message.parts.map(draw)))),
  );
}

function draw(part, index) {
  if (part.type === "text") return h("span", { key: index, className: "said" }, part.text);
  if (part.type === "dynamic-tool") {
    return h("span", { key: index, className: "call" }, `${part.toolName} ${part.state} ${JSON.stringify(part.output ?? null)}`);
  }
  return null;
}

createRoot(document.querySelector("#root")).render(h(Chat));
await agent.ready;
document.body.dataset.ready = "true";
