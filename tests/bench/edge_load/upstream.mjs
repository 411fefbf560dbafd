// A fake provider that costs next to nothing: the same answer to each chat completion, streamed or whole.
// Prints its port; ends when its standard input does.
import { createServer } from "node:http";

const WORDS = 20;
const head = { id: "chatcmpl-1", created: 1, model: "fake" };
const usage = { prompt_tokens: 11, completion_tokens: WORDS, total_tokens: 11 + WORDS };
const chunk = (choices, more = {}) =>
  `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...more })}\n\n`;
const words = Array.from({ length: WORDS }, (_, index) => `word${index} `);
const chunks = words.map((content) => chunk([{ index: 0, delta: { content }, finish_reason: null }]));
const ending = `${chunk([{ index: 0, delta: {}, finish_reason: "stop" }])}${chunk([], { usage })}data: [DONE]\n\n`;
const whole = JSON.stringify({
  ...head,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: words.join("") }, finish_reason: "stop" }],
  usage,
});

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => {
    body += piece;
  });
  request.on("end", () => {
    if (body === "") {
      response.writeHead(404).end();
      return;
    }
    if (JSON.parse(body).stream !== true) {
      response.writeHead(200, { "content-type": "application/json" }).end(whole);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const piece of chunks) response.write(piece);
    response.end(ending);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
