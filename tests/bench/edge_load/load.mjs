// Sends chat completions for some seconds, so many at once, and prints how many were answered and how quickly, as JSON.
//
//   node load.mjs '{"url": ..., "key": ..., "model": ..., "stream": bool, "seconds": n, "concurrency": n}'
import { Agent, request } from "node:http";

const { url, key, model, stream, seconds, concurrency } = JSON.parse(process.argv[2]);
const target = new URL(url);
const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
const body = JSON.stringify({ model, stream, messages: [{ role: "user", content: "Say twenty words." }] });
const headers = {
  "content-type": "application/json",
  "content-length": Buffer.byteLength(body),
  authorization: `Bearer ${key}`,
};
const times = [];
const firsts = [];
const failures = {};

function once() {
  return new Promise((done) => {
    const began = performance.now();
    const sent = request(
      { host: target.hostname, port: target.port, path: target.pathname, method: "POST", agent, headers },
      (reply) => {
        let size = 0;
        reply.once("data", () => firsts.push(performance.now() - began));
        reply.on("data", (piece) => {
          size += piece.length;
        });
        reply.on("end", () => {
          if (reply.statusCode === 200 && size > 200) times.push(performance.now() - began);
          else failures[reply.statusCode] = (failures[reply.statusCode] ?? 0) + 1;
          done();
        });
      },
    );
    sent.on("error", (error) => {
      failures[error.code] = (failures[error.code] ?? 0) + 1;
      done();
    });
    sent.end(body);
  });
}

const began = performance.now();
const until = began + seconds * 1000;
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (performance.now() < until) await once();
  }),
);
const took = (performance.now() - began) / 1000;
const at = (values, share) => {
  const sorted = values.sort((a, b) => a - b);
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 100) / 100;
};
console.log(
  JSON.stringify({
    answered: times.length,
    failures,
    per_second: Math.round((times.length / took) * 10) / 10,
    p50: at(times, 0.5),
    p99: at(times, 0.99),
    first_p50: at(firsts, 0.5),
    first_p99: at(firsts, 0.99),
  }),
);
process.exit(0);
