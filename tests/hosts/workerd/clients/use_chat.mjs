// The chat of the npm package `ai`, with the transport that `useChat` has, against a server of ours.
//
//   node use_chat.mjs PACKAGES_FOLDER URL
//
// Prints what the chat holds after two messages, one of them with a tool, and after an approval, as JSON.
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

const adding = open("use-chat");
await adding.sendMessage({ text: "two and three" });
await adding.sendMessage({ text: "and again" });
await adding.regenerate();

const resumed = open("use-chat");
await resumed.resumeStream();

console.log(
  JSON.stringify({ errors, status: adding.status, messages: adding.messages, resumed: resumed.messages.length }),
);
process.exit(0);
