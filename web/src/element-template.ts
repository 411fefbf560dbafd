/** The inside of `<limpet-chat>`, before anything is known of the agent. A constant: nothing is ever put into it. */

const HTML = `
<div class="chat" part="base">
  <header part="header">
    <slot name="header"><h2 id="name" part="name">agent</h2></slot>
    <span id="status" data-state="starting">starting Python …</span>
    <span id="remote-name" class="remote-name"></span>
    <span class="actions" part="actions">
      <button type="button" id="new">New conversation</button>
      <button type="button" id="open-conversations" aria-haspopup="dialog">Conversations</button>
      <button type="button" id="open-settings" aria-haspopup="dialog">Remote model</button>
      <button type="button" id="open-trace" aria-expanded="false" aria-controls="trace">Trace</button>
    </span>
  </header>
  <section id="models" aria-label="Local models" hidden></section>
  <section id="trace" part="trace" aria-label="Trace of the last run" tabindex="0" hidden></section>
  <div id="scroller" part="scroller" role="region" aria-label="Conversation" tabindex="0">
    <div id="welcome" part="welcome">
      <slot name="welcome">
        <p class="lead">Ask in your own words. This tab answers by itself when it can, and turns to the remote model that you set when it must.</p>
        <div id="can-use" hidden>
          <p class="hint">It can use these tools:</p>
          <ul id="tools" class="chips"></ul>
        </div>
      </slot>
    </div>
    <ol id="entries" part="entries"></ol>
  </div>
  <footer part="footer">
    <p id="problem" role="alert" hidden></p>
    <form id="composer" part="composer">
      <label for="prompt" class="hidden">Your message</label>
      <textarea id="prompt" part="prompt" rows="1" placeholder="Your message" autocomplete="off" dir="auto"></textarea>
      <button type="submit" id="send" part="send" class="primary" disabled>Send</button>
      <button type="button" id="stop" part="stop" class="danger" hidden>Stop</button>
    </form>
    <slot name="footer"><p class="keys"><kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> makes a new line, <kbd>Esc</kbd> stops</p></slot>
  </footer>
  <p id="announcer" class="hidden" role="status"></p>
  <dialog id="settings" aria-labelledby="settings-title">
    <form method="dialog">
      <h2 id="settings-title">Remote model</h2>
      <p class="hint">Asked when the local model is missing or not sure. All of this stays in the memory of this tab: it is never stored, and gone after a reload.</p>
      <label for="remote-model">Model</label>
      <input id="remote-model" type="text" autocomplete="off" autocapitalize="none" spellcheck="false">
      <label for="remote-base-url">Base URL <span class="hint">(leave empty for the provider’s own)</span></label>
      <input id="remote-base-url" type="text" inputmode="url" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="http://localhost:1234/v1">
      <label for="remote-key">API key</label>
      <input id="remote-key" type="password" autocomplete="off">
      <p id="remote-problem" class="problem" role="alert"></p>
      <div class="buttons">
        <button type="button" id="remote-remove">Remove</button>
        <button type="button" id="remote-cancel">Cancel</button>
        <button type="submit" class="primary">Use it</button>
      </div>
    </form>
  </dialog>
  <dialog id="conversations" aria-labelledby="conversations-title">
    <h2 id="conversations-title">Conversations</h2>
    <p class="hint">They are kept in this browser only.</p>
    <ul class="conversations"></ul>
    <p class="problem" role="alert"></p>
    <div class="buttons">
      <button type="button" class="erase-all danger">Erase all</button>
      <label class="import">Import <input type="file" accept="application/json,.json"></label>
      <button type="button" class="close">Close</button>
    </div>
  </dialog>
</div>`;

export function createInside(): DocumentFragment {
  const template = document.createElement("template");
  template.innerHTML = HTML;
  return template.content;
}
