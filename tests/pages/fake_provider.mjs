// Limpet in a page, as its packages come with the site, against the fake provider; bundled by test_fake_provider.py.
// Gives the window `runCases(json)`, once Python is ready.
import { createHostFetch } from "../../web/src/host-fetch.ts";

const site = new URL("./", location.href).href;
const read = async (name) => (await fetch(site + name)).text();

const { loadPyodide } = await import(`${site}pyodide/pyodide.mjs`);
const lockFileContents = await read("python/pyodide-lock.json");
const pyodide = await loadPyodide({
  indexURL: `${site}pyodide/`,
  packageBaseUrl: `${site}python/`,
  lockFileContents,
  enableRunUntilComplete: false,
});
const ours = Object.keys(JSON.parse(lockFileContents).packages).filter((name) => name.startsWith("limpet"));
await pyodide.loadPackage(ours, { messageCallback: () => undefined });
pyodide.FS.writeFile("fake_provider_runs.py", await read("fake_provider_runs.py"));
const runs = pyodide.pyimport("fake_provider_runs");
const host = createHostFetch(fetch.bind(globalThis), () => navigator.onLine);
globalThis.runCases = async (text) => await runs.run_cases(host, text);
