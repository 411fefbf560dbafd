/** Making and finding elements. Text goes in as text, never as HTML: what a model says can't become part of the page. */

/** Make an element with a class and children; a string becomes a text node. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/** Find an element of our own page. Throws when the page and the script are not of one version. */
export function find<T extends Element>(selector: string, type: new () => T, root: ParentNode = document): T {
  const element = root.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`the page has no ${selector}`);
  return element;
}

/** Set text only where it differs, so that a selection in it survives. Text that grows is appended to. */
export function setText(element: Element, text: string): void {
  const node = element.firstChild;
  const old = element.textContent ?? "";
  if (old === text) return;
  if (node instanceof Text && element.childNodes.length === 1 && text.startsWith(old)) {
    node.appendData(text.slice(old.length));
  } else {
    element.textContent = text;
  }
}

/** "37.1 MB", "2.1 GB", as people count. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(0)} kB`;
  if (bytes >= 1_000_000_000) return `${(bytes / 1_000_000_000).toFixed(bytes < 10_000_000_000 ? 1 : 0)} GB`;
  return `${(bytes / 1_000_000).toFixed(bytes < 100_000_000 ? 1 : 0)} MB`;
}
