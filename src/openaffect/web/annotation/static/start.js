// How the reviewer's and the owner's pages begin, and how they say what went wrong.

import { ApiError, get } from "./api.js";
import { $, make } from "./elements.js";
import { language, listLanguages, loadTexts, nameOf, preferredLanguage, t } from "./texts.js";

/**
 * Who is here, after texts and links stand on the page; null where the page is not theirs.
 * Without a session the browser goes to the sign-in.
 */
export async function start(title, roles) {
  const me = await get("v1/me").catch((problem) => problem);
  if (me instanceof ApiError && me.status === 401) {
    location.replace("./");
    return null;
  }
  const languages = await listLanguages();
  await loadTexts(me.language ?? preferredLanguage(languages));
  if (me instanceof ApiError) throw me;
  $("project").textContent = me.project;
  document.title = `${t(title)} · ${me.project}`;
  $("to-review").hidden = me.role === "annotator";
  $("to-manage").hidden = me.role !== "owner";
  $("unreviewed").hidden = !language().unreviewed;
  if (roles.includes(me.role)) return me;
  const values = { role: nameOf("role", me.role) };
  showProblem(t("manage.problem.role", values));
  return null;
}

/** Do something; what the server refuses is said on top of the page. Gives whether it was done. */
export async function attempt(action, box = $("problem")) {
  box.hidden = true;
  try {
    await action();
    return true;
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    showProblem(explain(problem), box);
    return false;
  }
}

/** Say that something was done. */
export function say(text) {
  $("done").textContent = text;
}

function showProblem(content, box = $("problem")) {
  say("");
  box.replaceChildren(content);
  box.hidden = false;
  box.scrollIntoView({ block: "nearest" });
}

/** What a refusal means here; the server's own sentence is English. */
function explain(problem) {
  if (problem.status === 401) {
    const link = make("a", { href: "./", target: "_blank" }, t("manage.problem.sign_in"));
    return make("span", {}, t("manage.problem.signed_out"), " ", link);
  }
  if (problem.status === 0) return t("manage.problem.offline");
  const said = make("span", { lang: "en", dir: "ltr" }, problem.message);
  const about = { 403: "manage.problem.forbidden", 503: "manage.problem.busy" }[problem.status];
  return about ? make("span", {}, t(about), " ", said) : said;
}
