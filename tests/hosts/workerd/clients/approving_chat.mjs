// The chat of the npm package `ai`, with the transport that `useChat` has, against a server of ours.
//
//   node use_chat.mjs PACKAGES_FOLDER URL
//
// Prints what the chat holds after a message whose call a person has to allow, as JSON.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, url] = process.argv.slice(2);
const packages = createRequire(join(folder, "package.json"));
const load = (name) => import(pathToFileURL(packages.resolve(name)).href);
const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } = await load("ai");

/** What `@ai-sdk/react` keeps in React's state, kept in plain fields. */
class PlainState {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => this.messages.push(message);
  popMessage = () => this.messages.pop();
  replaceMessage = (index, message) => {
    this.messages[index] = structuredClone(message);
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(options) {
    super({ ...options, state: new PlainState() });
  }
}

const errors = [];
function open(id) {
  return new Chat({
    id,
    transport: new DefaultChatTransport({ api: `${url}chat` }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    onError: (error) => errors.push(String(error)),
  });
}

const chat = open("approving");
const asked = chat.sendMessage({ text: "please" });
const call = await new Promise((found) => {
  const look = setInterval(() => {
    const part = chat.messages.at(-1)?.parts.find(({ state }) => state === "approval-requested");
    if (part) {
      clearInterval(look);
      found(part);
    }
  }, 10);
});
await chat.addToolApprovalResponse({ id: call.approval.id, approved: true });
await asked;
await new Promise((done) => {
  const look = setInterval(() => {
    if (chat.status === "ready" && chat.messages.at(-1).parts.some(({ type }) => type === "text")) {
      clearInterval(look);
      done();
    }
  }, 10);
});
console.log(JSON.stringify({ errors, messages: chat.messages }));
process.exit(0);
