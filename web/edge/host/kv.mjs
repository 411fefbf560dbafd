// A KV namespace of one's own on plain workerd: KV's protocol over HTTP, kept in one Durable Object.
// Values live until they are deleted or their time is over; a list is in the order of the keys' bytes.
import { DurableObject } from "cloudflare:workers";

// biome-ignore lint/style/noDefaultExport: workerd wants it
export default {
  fetch(request, env) {
    return env.STORE.get(env.STORE.idFromName("kv")).fetch(request);
  },
};

const PAGE = 1000;

export class Store extends DurableObject {
  #sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB, metadata TEXT, expires REAL)");
  }

  async fetch(request) {
    const url = new URL(request.url);
    this.#sql.exec("DELETE FROM kv WHERE expires IS NOT NULL AND expires < ?", Date.now() / 1000);
    const key = decodeURIComponent(url.pathname.slice(1));
    if (key === "" && request.method === "GET") return this.#list(url.searchParams);
    switch (request.method) {
      case "GET":
        return this.#get(key);
      case "PUT":
        return this.#put(key, request, url.searchParams);
      case "DELETE":
        this.#sql.exec("DELETE FROM kv WHERE key = ?", key);
        return new Response(null, { status: 200 });
      default:
        return new Response("no such method", { status: 405 });
    }
  }

  #get(key) {
    const [row] = this.#sql.exec("SELECT value, metadata FROM kv WHERE key = ?", key).toArray();
    if (!row) return new Response("no such key", { status: 404 });
    return new Response(row.value, { headers: row.metadata ? { "CF-KV-Metadata": row.metadata } : {} });
  }

  async #put(key, request, params) {
    const ttl = params.get("expiration_ttl");
    const expires = ttl
      ? Date.now() / 1000 + Number(ttl)
      : params.has("expiration")
        ? Number(params.get("expiration"))
        : null;
    const value = await request.arrayBuffer();
    const metadata = request.headers.get("CF-KV-Metadata");
    this.#sql.exec("INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?)", key, value, metadata, expires);
    return new Response(null, { status: 200 });
  }

  #list(params) {
    const prefix = params.get("prefix") ?? "";
    const limit = Math.min(Number(params.get("key_count_limit") ?? PAGE), PAGE);
    const after = params.get("cursor") ? decodeURIComponent(params.get("cursor")) : "";
    const rows = this.#sql
      .exec(
        "SELECT key, metadata, expires FROM kv WHERE substr(key, 1, length(?1)) = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        prefix,
        after,
        limit + 1,
      )
      .toArray();
    const isWhole = rows.length <= limit;
    const keys = rows.slice(0, limit).map(({ key, metadata, expires }) => ({
      name: key,
      ...(expires === null ? {} : { expiration: expires }),
      ...(metadata ? { metadata: JSON.parse(metadata) } : {}),
    }));
    const cursor = isWhole ? {} : { cursor: encodeURIComponent(keys.at(-1).name) };
    return Response.json({ keys, list_complete: isWhole, ...cursor });
  }
}
