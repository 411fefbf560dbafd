// AG-UI's own client, `HttpAgent` of the npm package `@ag-ui/client`, against a server of ours.
//
//   node ag_ui.mjs PACKAGES_FOLDER URL [own]
//
// Prints the messages that it holds after two runs, and the types of the events it accepted, as JSON. With `own` it has
// a tool of its own, and the second run has what that returned.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, url, own] = process.argv.slice(2);
const packages = createRequire(join(folder, "package.json"));
const { HttpAgent } = await import(pathToFileURL(packages.resolve("@ag-ui/client")).href);

const agent = new HttpAgent({ url: `${url}agui`, threadId: "ag-ui" });
const types = [];
const subscriber = { onEvent: ({ event }) => types.push(event.type) };
if (own) {
  const parameters = { type: "object", properties: { colour: { type: "string" } }, required: ["colour"] };
  const tools = [{ name: "paint", description: "Paint the page.", parameters }];
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content: "make it red" });
  await agent.runAgent({ tools }, subscriber);
  const [call] = agent.messages.at(-1).toolCalls;
  const { colour } = JSON.parse(call.function.arguments);
  agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: call.id, content: `it is ${colour} now` });
  await agent.runAgent({ tools }, subscriber);
} else {
  for (const content of ["two and three", "and again"]) {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
    await agent.runAgent({}, subscriber);
  }
}
console.log(JSON.stringify({ messages: agent.messages, types }));
process.exit(0);
