/**
 * The service worker of a site: after one load the page works without a network.
 *
 * `sw-files.json` beside it lists the site's files with their hashes. They are fetched in the background once, and
 * again only when their hash changes; each is looked at before it is kept. Models are not among them: they are kept by
 * the runtime, under its own keys, when a person asks for them. Nothing of another site is touched.
 */

interface FileList {
  /** A hash over all of the files: the name of their cache. */
  readonly version: string;
  /** Path, relative to the site, to "sha256-..." as `integrity` has it. */
  readonly files: Readonly<Record<string, string>>;
  /** What is kept when it is first asked for, not before: files that most pages do without. */
  readonly later: Readonly<Record<string, string>>;
}

/** What we use of a service worker's global; TypeScript's own types for it would clash with a window's. */
interface Scope extends EventTarget {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

interface LifeEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface RequestEvent extends Event {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const PREFIX = "limpet-site-";
/** Written into this script when the site is made; a browser takes a script that differs for a new service worker. */
const VERSION = "LIMPET_SITE_VERSION";
const CACHE = PREFIX + VERSION;
const AT_ONCE = 6;
const scope = self as unknown as Scope;

scope.addEventListener("install", (event) => {
  (event as LifeEvent).waitUntil(install());
});

scope.addEventListener("activate", (event) => {
  (event as LifeEvent).waitUntil(activate());
});

scope.addEventListener("fetch", (event) => {
  const { request } = event as RequestEvent;
  if (request.method !== "GET" || !request.url.startsWith(base()) || request.headers.has("range")) return;
  (event as RequestEvent).respondWith(answer(request));
});

function base(): string {
  return new URL("./", self.location.href).href;
}

async function readList(): Promise<FileList> {
  const response = await fetch(`${base()}sw-files.json`, { cache: "no-cache" });
  if (!response.ok) throw new Error(`sw-files.json: the server said ${response.status}`);
  return (await response.json()) as FileList;
}

async function install(): Promise<void> {
  const list = await readList();
  if (list.version !== VERSION) throw new Error("sw-files.json is of another version than sw.js; it is being replaced");
  const cache = await caches.open(CACHE);
  const wanted = Object.entries(list.files);
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (let next = wanted.pop(); next; next = wanted.pop()) await keep(cache, next[0], next[1]);
  });
  await Promise.all(workers);
  await cache.put(`${base()}sw-files.json`, new Response(JSON.stringify(list)));
  await scope.skipWaiting();
}

/** Put a file into the cache, from an older cache when it has not changed. */
async function keep(cache: Cache, path: string, integrity: string): Promise<void> {
  const url = base() + path;
  if ((await cache.match(url))?.headers.get("x-limpet-integrity") === integrity) return;
  const known = await findKept(integrity);
  if (known) {
    await cache.put(url, known);
    return;
  }
  // A file that is not what the list promises, such as an error page, rejects here: then the old version stays.
  const response = await fetch(url, { integrity, cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: the server said ${response.status}`);
  await cache.put(url, await mark(response, integrity));
}

/** A file of an older version under whatever name it had there: the folder's name changes with any of its files. */
async function findKept(integrity: string): Promise<Response | undefined> {
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    const cache = await caches.open(name);
    const listed = await cache.match(`${base()}sw-files.json`);
    if (!listed) continue;
    const { files } = (await listed.json()) as FileList;
    const path = Object.keys(files).find((known) => files[known] === integrity);
    if (path !== undefined) return cache.match(base() + path);
  }
  return undefined;
}

async function mark(response: Response, integrity: string): Promise<Response> {
  const headers = new Headers(response.headers);
  headers.set("x-limpet-integrity", integrity);
  // The body is as it was before its compression.
  headers.delete("content-encoding");
  headers.delete("content-length");
  return new Response(response.body, { status: response.status, headers });
}

async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await scope.clients.claim();
}

let listed: Promise<FileList> | null = null;

/** The list that was installed with this service worker. */
function currentList(): Promise<FileList> {
  listed ??= (async () => {
    const response = await (await caches.open(CACHE)).match(`${base()}sw-files.json`);
    return response ? ((await response.json()) as FileList) : readList();
  })().catch((error: unknown) => {
    listed = null;
    throw error;
  });
  return listed;
}

async function answer(request: Request): Promise<Response> {
  const { files, later } = await currentList();
  const url = new URL(request.url);
  const path = decodeURIComponent(url.pathname).slice(new URL(base()).pathname.length) || "index.html";
  if (files[path] === undefined && later[path] === undefined) return fetch(request);
  const cache = await caches.open(CACHE);
  const kept = await cache.match(base() + path);
  if (kept) return kept;
  const integrity = later[path];
  if (integrity === undefined) return fetch(request);
  const response = await fetch(base() + path, { integrity });
  if (response.ok) await cache.put(base() + path, await mark(response.clone(), integrity));
  return response;
}
