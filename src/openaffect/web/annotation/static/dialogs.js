// The dialogs over the page: comment, keys, settings, answers that were not taken.

import { ApiError, patch, remove } from "./api.js";
import { changePassword } from "./account.js";
import { codeOf, keyName } from "./keys.js";
import { language, nameOf, t } from "./texts.js";
import { byId, make, pointText } from "./view.js";

/** Every dialog closes by its button; what was focused before gets the focus back. */
export function prepareDialogs() {
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}

/** Ask for a comment; null if it is left as it was. */
export function askComment(text) {
  const dialog = byId("comment-dialog");
  const field = byId("comment");
  field.value = text;
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    // At once, not when the dialog tells that it is closed: the next key may save the answer.
    const keep = () => resolve(field.value.trim());
    byId("comment-keep").onclick = keep;
    field.onkeydown = (event) => {
      // Enter is a new line; with Ctrl it keeps the comment.
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      keep();
      dialog.close();
    };
    dialog.addEventListener("close", () => resolve(null), { once: true });
  });
}

/** The instructions in the language of the page, as elements. */
export function instructionParts() {
  const { version, sections } = language().instructions;
  const parts = sections.flatMap(({ heading, paragraphs, quote }) => [
    make("h2", { text: heading }),
    ...(quote === null ? [] : [quotation(quote)]),
    ...paragraphs.map((text) => make("p", { text })),
  ]);
  parts.push(make("p", { className: "muted small", text: t("instructions.version", { version }) }));
  return parts;
}

function quotation({ text, source }) {
  const words = make("p", { text: `“${text}”`, lang: "en", dir: "ltr" });
  const origin = make("p", { className: "source", text: t("instructions.quote", { source }) });
  return make("blockquote", {}, words, origin);
}

/** Keys: shows them, and gives an action another one. */
export class KeysDialog {
  /** keys: the KeyMap; onChange(me): it was saved. */
  constructor(keys, onChange) {
    Object.assign(this, { keys, onChange, asked: null });
    this.dialog = byId("keys-dialog");
    this.dialog.addEventListener("keydown", (event) => this.#hear(event));
    this.dialog.addEventListener("close", () => (this.asked = null));
    byId("keys-reset").onclick = () => this.#reset();
  }

  open() {
    this.#show();
    byId("keys-say").textContent = t("keys.tab");
    this.dialog.showModal();
  }

  #show() {
    const rows = Object.keys(this.keys.defaults).map((action) => {
      const codes = this.keys.codes(action).map((code) => make("kbd", { text: keyName(code, t) }));
      const change = make("button", { type: "button", text: t("keys.change") });
      change.setAttribute("aria-label", t("keys.change_of", { action: actionName(action) }));
      change.onclick = () => this.#ask(action);
      change.dataset.change = action;
      const spaced = codes.flatMap((code, place) => (place > 0 ? [" ", code] : [code]));
      return make(
        "tr", {}, make("td", { text: actionName(action) }), make("td", {}, ...spaced),
        make("td", {}, change),
      );
    });
    byId("keys-table").tBodies[0].replaceChildren(...rows);
  }

  #ask(action) {
    this.asked = action;
    byId("keys-say").textContent = t("keys.press", { action: actionName(action) });
  }

  async #hear(event) {
    if (this.asked === null || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    if (event.key === "Tab") return;
    event.preventDefault();
    const action = this.asked;
    this.asked = null;
    const say = byId("keys-say");
    const code = codeOf(event);
    if (event.key === "Escape") say.textContent = t("keys.tab");
    else if (event.altKey || code === "") say.textContent = t("keys.not_possible");
    else {
      const before = { ...this.keys.own };
      const holder = this.keys.set(action, code);
      const values = { key: keyName(code, t), action: actionName(holder ?? action) };
      if (holder !== null) say.textContent = t("keys.taken", values);
      else await this.#save(before, t("keys.saved", values));
    }
    this.#show();
    this.dialog.querySelector(`[data-change="${action}"]`).focus();
  }

  async #reset() {
    const before = { ...this.keys.own };
    this.keys.reset();
    await this.#save(before, t("keys.tab"));
    this.#show();
  }

  async #save(before, text) {
    try {
      this.onChange(await patch("v1/me", { keys: this.keys.own }));
      byId("keys-say").textContent = text;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.keys.own = before;
      byId("keys-say").textContent = t("keys.refused", { message: error.message });
    }
  }
}

function actionName(action) {
  const key = `action.${action}`;
  const name = t(key);
  return name === key ? nameOf("expression", action) : name;
}

/** Settings: saving by itself, the password, signing out. */
export function prepareSettings({ me, onChange, waiting }) {
  const problem = byId("settings-problem");
  byId("settings-account").hidden = me().mode === "local";
  byId("auto-save").onchange = async (event) => {
    try {
      onChange(await patch("v1/me", { auto_save: event.target.checked }));
      problem.textContent = "";
    } catch (error) {
      event.target.checked = me().auto_save;
      problem.textContent = error.message;
    }
  };
  byId("password-form").onsubmit = async (event) => {
    event.preventDefault();
    const [old, fresh] = [byId("password-old"), byId("password-new")];
    problem.textContent = await changePassword(old.value, fresh.value);
    if (problem.textContent) return;
    byId("password-done").textContent = t("settings.password_done");
    old.value = fresh.value = "";
  };
  byId("sign-out").onclick = async () => {
    const count = waiting();
    if (count > 0 && !confirm(t("settings.sign_out_waiting", { count }))) return;
    try {
      await remove("v1/session", { signIn: false });
    } catch (error) {
      if (error.status !== 401) return void (problem.textContent = error.message);
    }
    location.reload();
  };
}

export function openSettings(me) {
  const values = { name: me.name, role: nameOf("role", me.role) };
  byId("settings-who").textContent = me.mode === "local" ? "" : t("settings.signed_in", values);
  byId("auto-save").checked = me.auto_save;
  byId("password-name").value = me.name; // for password managers
  byId("settings-problem").textContent = byId("password-done").textContent = "";
  byId("settings-dialog").showModal();
}

/** Answers that the server did not take: to see, to send again, to set aside. */
export function openRefused(outbox, { sendAgain, changed }) {
  const show = () => {
    const items = outbox.refused.map((entry) => refusedItem(entry, async (again) => {
      if (again) await sendAgain(entry);
      else await outbox.change(entry, { aside: true });
      changed();
      show();
    }));
    const none = make("li", { text: t("refused.none") });
    byId("refused-list").replaceChildren(...(items.length > 0 ? items : [none]));
  };
  show();
  byId("refused-dialog").showModal();
}

function refusedItem(entry, act) {
  const { expression, valence, arousal, comment, id } = entry.body;
  const point = valence === null ? null : { valence, arousal };
  const answer = `${nameOf("expression", expression)} · ${pointText(point)}`;
  const button = (text, again) =>
    make("button", { type: "button", text: t(text), onclick: () => act(again) });
  const aside = entry.aside
    ? make("span", { className: "muted", text: t("refused.is_aside") })
    : button("refused.aside", false);
  return make(
    "li", {}, make("b", { text: answer }), make("p", { text: comment, dir: "auto" }),
    make("p", { className: "small", text: `${entry.problem.message} (${entry.problem.code})` }),
    make("p", { className: "small muted", text: id, dir: "ltr" }),
    make("div", { className: "row" }, button("refused.send", true), aside),
  );
}
