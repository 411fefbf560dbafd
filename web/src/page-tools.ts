/** Functions of the page, and actions on its elements, that an agent may call. */

import type { AnswerTool } from "./client.ts";
import type { Json, JsonObject, PageToolWire, ToolRequestReport } from "./generated/wire.ts";

/** `ask`: a person is asked before each call. */
export type Consent = "ask" | "allow";

export interface PageTool {
  readonly name: string;
  readonly description: string;
  /** The JSON Schema of an object; without it the function takes nothing. */
  readonly parameters?: JsonObject;
  /** `ask` unless it is said otherwise. */
  readonly consent?: Consent;
  /** May it run once more for the same call, when a reload broke it off? No unless it is said. */
  readonly isIdempotent?: boolean;
  /** Without it the call waits for `addToolOutput`. What it throws is told to the model. */
  readonly execute?: (input: JsonObject, options: { readonly signal: AbortSignal }) => unknown;
}

export interface ToolOutput {
  readonly toolCallId: string;
  readonly output: Json;
  readonly isError?: boolean;
}

export interface PageTools {
  readonly wires: readonly PageToolWire[];
  readonly answer: AnswerTool;
  /** Answer a call that waits for it. Gives false when none of this name and these arguments does. */
  settle(name: string, argumentsText: string, output: Json, isError: boolean): boolean;
}

const NOTHING: JsonObject = { type: "object", properties: {} };

interface Open {
  readonly request: ToolRequestReport;
  readonly resolve: (content: Json) => void;
  readonly reject: (error: Error) => void;
}

export function createPageTools(tools: readonly PageTool[]): PageTools {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  const open: Open[] = [];
  return {
    wires: tools.map((tool) => ({
      name: tool.name,
      description: tool.description,
      parameters: tool.parameters ?? NOTHING,
      requires_approval: (tool.consent ?? "ask") === "ask",
      is_idempotent: tool.isIdempotent ?? false,
    })),
    async answer(request, signal) {
      const tool = byName.get(request.name);
      if (!tool) throw new Error(`this page has no function ${request.name}`);
      if (tool.execute) return toJson(await tool.execute(request.arguments, { signal }));
      return new Promise<Json>((resolve, reject) => {
        const entry = { request, resolve, reject };
        open.push(entry);
        signal.addEventListener("abort", () => {
          open.splice(open.indexOf(entry), 1);
          reject(new Error("the call was taken back"));
        });
      });
    },
    settle(name, argumentsText, output, isError) {
      const wanted = canonical(parse(argumentsText));
      const place = open.findIndex(({ request }) => request.name === name && canonical(request.arguments) === wanted);
      const [entry] = place < 0 ? [] : open.splice(place, 1);
      if (!entry) return false;
      if (isError) entry.reject(new Error(typeof output === "string" ? output : JSON.stringify(output)));
      else entry.resolve(output);
      return true;
    },
  };
}

/** What JSON makes of a value: `undefined` and functions become null. */
function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value ?? null) ?? "null") as Json;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {};
  }
}

function canonical(value: Json): string {
  return JSON.stringify(value, (_, item: Json) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

const TEXT_LIMIT = 4000;
const CONTROLS = "a[href], button, input:not([type=password]), select, textarea, [role=button], [role=link]";

/**
 * Tools that read and use one part of the page: its text, its controls, clicking and filling them in.
 *
 * Nothing outside of `root` can be reached, no password is read or written, and a person is asked before each action
 * unless `consent` is `allow`.
 */
export function domTools(root: HTMLElement, { consent = "ask" }: { readonly consent?: Consent } = {}): PageTool[] {
  const controls = () =>
    [...root.querySelectorAll<HTMLElement>(CONTROLS)].filter((element) => element.checkVisibility());
  const find = (number: unknown) => {
    const element = typeof number === "number" ? controls()[number - 1] : undefined;
    if (!element) throw new Error("there is no control of this number; list them again");
    return element;
  };
  const number = { type: "integer", description: "The number in the list of controls." };
  return [
    {
      name: "read_page",
      description: "Read the visible text of this part of the page.",
      consent: "allow",
      isIdempotent: true,
      // What is hidden is left out: not `textContent`.
      // biome-ignore lint/performance/useDomNodeTextContent: see above
      execute: () => root.innerText.slice(0, TEXT_LIMIT),
    },
    {
      name: "list_controls",
      description: "List the buttons, links and fields of this part of the page, with their numbers.",
      consent: "allow",
      isIdempotent: true,
      execute: () => controls().map((element, place) => `${place + 1}. ${describe(element)}`),
    },
    {
      name: "click_control",
      description: "Click a button or link of the page.",
      consent,
      parameters: { type: "object", properties: { number }, required: ["number"] },
      execute({ number }) {
        const element = find(number);
        element.click();
        return `clicked ${describe(element)}`;
      },
    },
    {
      name: "fill_control",
      description: "Write a text into a field of the page, or choose an option.",
      consent,
      parameters: { type: "object", properties: { number, text: { type: "string" } }, required: ["number", "text"] },
      execute({ number, text }) {
        const element = find(number);
        if (
          !(
            element instanceof HTMLInputElement ||
            element instanceof HTMLTextAreaElement ||
            element instanceof HTMLSelectElement
          )
        ) {
          throw new Error("this control can't be filled in");
        }
        element.value = String(text);
        element.dispatchEvent(new Event("input", { bubbles: true }));
        element.dispatchEvent(new Event("change", { bubbles: true }));
        return `${describe(element)} is now ${JSON.stringify(element.value)}`;
      },
    },
  ];
}

function describe(element: HTMLElement): string {
  const labels = element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement ? element.labels : null;
  const named =
    element.ariaLabel || labels?.[0]?.textContent || element.textContent || element.getAttribute("name") || "";
  return `${element.localName} "${named.trim().slice(0, 80)}"`;
}
