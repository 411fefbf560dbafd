// The binding of Workers AI, as `env.AI` answers: words of what it was asked, a call where there are tools, an error for
// one model's name.
import { WorkerEntrypoint } from "cloudflare:workers";

// biome-ignore lint/style/noDefaultExport: workerd wants it
export default class extends WorkerEntrypoint {
  run(model, inputs, options) {
    if (options?.returnRawResponse !== true) throw new Error("5004: returnRawResponse is missing");
    if (model.endsWith("/full")) return Response.json({ internalCode: 3040, description: "no room" }, { status: 429 });
    const last = inputs.messages.at(-1);
    const pieces =
      inputs.tools && last.role !== "tool"
        ? [{ tool_calls: [{ name: inputs.tools[0].function?.name ?? inputs.tools[0].name, arguments: { a: 2, b: 3 } }] }]
        : [model, " heard ", String(last.content)].map((response) => ({ response }));
    const usage = { response: "", usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } };
    if (!inputs.stream) return Response.json({ ...pieces[0], response: pieces.map((it) => it.response ?? "").join("") });
    const text = [...pieces, usage].map((data) => `data: ${JSON.stringify(data)}\n\n`).join("");
    return new Response(`${text}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } });
  }
}
