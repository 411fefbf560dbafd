/**
 * Markdown as a model writes it, into an element: parsed by `marked`, cleaned by DOMPurify, block by block.
 *
 * An answer grows at its end, so blocks that are as before stay the elements that they are, with the reader's selection
 * in them. HTML in the source is shown as text; images are links, since a picture's address can carry what was said
 * here to a stranger; links open elsewhere and only where people can see them go.
 */

import DOMPurify, { type Config } from "dompurify";
import { Marked, type Tokens, type TokensList } from "marked";
import { make } from "./elements.ts";

const CLEAN: Config & { readonly RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    ..."a b blockquote br code del em h3 h4 h5 h6 hr i li ol p pre s strong sub sup".split(" "),
    ..."table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "title", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const parser = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escapeText(text),
    image: ({ href, text, title }) =>
      `<a href="${escapeText(href)}" title="${escapeText(title ?? "")}">${escapeText(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre title="${escapeText(lang ?? "")}"><code>${escapeText(text)}</code></pre>`,
    // The page has its own headings above these.
    heading({ depth, tokens }) {
      const level = Math.min(6, depth + 2);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
  },
});

interface Block {
  readonly raw: string;
  readonly nodes: readonly Node[];
}

const drawn = new WeakMap<Element, Block[]>();

/** Show Markdown in an element that nobody else changes. */
export function drawMarkdown(element: Element, source: string): void {
  const tokens = parser.lexer(source);
  const before = drawn.get(element) ?? [];
  const wanted = tokens.filter((token) => token.type !== "space" && token.type !== "def");
  let same = 0;
  while (same < before.length && before[same]?.raw === wanted[same]?.raw) same += 1;
  for (const { nodes } of before.splice(same)) for (const node of nodes) (node as ChildNode).remove();
  for (const token of wanted.slice(same)) {
    const nodes = [...render(token as Tokens.Generic, tokens).childNodes];
    element.append(...nodes);
    before.push({ raw: token.raw, nodes });
  }
  drawn.set(element, before);
}

function render(token: Tokens.Generic, { links }: TokensList): DocumentFragment {
  const html = parser.parser(Object.assign([token], { links }));
  const fragment = DOMPurify.sanitize(html, CLEAN) as unknown as DocumentFragment;
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.hasAttribute("href")) continue;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const scroller = make("div", "table");
    scroller.tabIndex = 0;
    table.replaceWith(scroller);
    scroller.append(table);
  }
  for (const code of fragment.querySelectorAll("pre")) frame(code);
  return fragment;
}

/** Put a block of code into a box with its language and a button that copies it. */
function frame(code: HTMLPreElement): void {
  // The sanitiser lets no name of ours through, so the language comes as a title.
  const language = code.title.split(/\s/, 1)[0] ?? "";
  const copy = make("button", "copy", "Copy");
  copy.type = "button";
  copy.ariaLabel = language === "" ? "Copy the code" : `Copy the ${language} code`;
  copy.addEventListener("click", () => void copyText(copy, code.textContent ?? ""));
  const box = make("div", "code", make("div", "code-head", make("span", "", language), copy));
  code.removeAttribute("title");
  code.tabIndex = 0;
  code.dir = "ltr";
  code.replaceWith(box);
  box.append(code);
}

/** Copy a text and say on the button that it was done. */
export async function copyText(button: HTMLButtonElement, text: string): Promise<void> {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here";
  }
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}

const NAMES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => NAMES[character] ?? "");
}
