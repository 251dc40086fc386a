// Signing in, the one-time link, and passwords.

import { ApiError, get, post } from "./api.js";
import { nameOf, t } from "./texts.js";
import { byId, showScreen } from "./view.js";

const SHORTEST = 10;

/** What a failed sign-in or password says. */
function explain(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return t("sign_in.wrong");
  if (error.status === 429) return t("sign_in.wait", { seconds: Math.ceil(error.retryAfter ?? 1) });
  if (error.status === 0) return t("start.unreachable");
  return error.message;
}

let asking = null;

/** Ask for name and password on top of the page until they are right; gives who signed in. */
export function askToSignIn(again, name = "") {
  asking ??= openSignIn(again, name).finally(() => (asking = null));
  return asking;
}

function openSignIn(again, name) {
  const dialog = byId("sign-in");
  dialog.classList.toggle("first", !again);
  byId("sign-in-again").hidden = !again;
  byId("sign-in-problem").textContent = "";
  if (name) byId("name").value = name;
  if (!dialog.open) dialog.showModal();
  byId(name ? "password" : "name").focus();
  return new Promise((resolve) => {
    const send = async (event) => {
      event.preventDefault();
      const body = { name: byId("name").value, password: byId("password").value };
      try {
        const me = await post("v1/session", body, { signIn: false });
        byId("password").value = "";
        byId("sign-in-form").removeEventListener("submit", send);
        dialog.close();
        resolve(me);
      } catch (error) {
        byId("sign-in-problem").textContent = explain(error);
        byId("password").select();
      }
    };
    byId("sign-in-form").addEventListener("submit", send);
  });
}

/** Escape must not close it: there is nothing behind it without a session. */
export function keepSignInOpen() {
  const dialog = byId("sign-in");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.preventDefault();
  });
}

/** The token of `#link=…`, which leaves the address bar and the history; null without one. */
export function takeToken() {
  const found = /^#link=(.+)$/.exec(location.hash);
  if (found === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return decodeURIComponent(found[1]);
}

/** Show who is invited and take a password; gives who is signed in then, or null for no link. */
export async function useLink(token, language) {
  let link;
  try {
    link = await post("v1/link", { token }, { signIn: false });
  } catch (error) {
    byId("link-title").textContent = t("sign_in.title");
    byId("link-text").textContent = error.status === 404 ? t("link.gone") : explain(error);
    for (const field of byId("link").querySelectorAll(".field, button")) field.hidden = true;
    showScreen("link");
    return null;
  }
  const { kind, project, name, role } = link;
  const values = { name, project, role: nameOf("role", role) };
  byId("link-title").textContent = t(`link.${kind}`, values);
  byId("link-text").textContent = t(kind === "reset" ? "link.reset_text" : "link.invited", values);
  byId("link-name").value = name; // so that a password manager keeps it with the password
  showScreen("link");
  byId("link-password").focus();
  return new Promise((resolve) => {
    byId("link").addEventListener("submit", async (event) => {
      event.preventDefault();
      const password = byId("link-password").value;
      const problem = checkPassword(password, byId("link-again").value);
      byId("link-problem").textContent = problem;
      if (problem) return;
      try {
        const body = { token, password, language: language() };
        resolve(await post("v1/link/use", body, { signIn: false }));
      } catch (error) {
        byId("link-problem").textContent = error.status === 404 ? t("link.gone") : explain(error);
      }
    });
  });
}

function checkPassword(password, again) {
  if ([...password].length < SHORTEST) return t("link.short");
  return password === again ? "" : t("link.different");
}

/** Change the password of who is signed in. */
export async function changePassword(old, fresh) {
  const short = checkPassword(fresh, fresh);
  if (short) return short;
  try {
    await post("v1/me/password", { old, new: fresh }, { signIn: false });
    return "";
  } catch (error) {
    return explain(error);
  }
}

/** Who is signed in; asks for it where it must. */
export async function getMe() {
  try {
    return await get("v1/me", { signIn: false });
  } catch (error) {
    if (error.status !== 401) throw error;
    return askToSignIn(false);
  }
}
