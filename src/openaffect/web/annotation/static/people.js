// Who takes part: invitations, roles, access, links shown once, and consent that is withdrawn.

import { get, patch, post } from "./api.js";
import { $, amount, make, moment, options, percent, table, words } from "./elements.js";
import { attempt, say } from "./start.js";
import { nameOf, t } from "./texts.js";

const ROLES = ["annotator", "reviewer", "owner"];
let open = null; // the person of the dialog
let accounts = true;

/** A person's name, and the pseudonym that stands in the data; who withdrew has only this. */
export function personName({ name, pseudonym }) {
  const hidden = make("span", { class: "muted small" }, words(pseudonym));
  return name === pseudonym ? words(pseudonym) : make("span", {}, words(name), " ", hidden);
}

/** Called once. */
export function prepare(me) {
  accounts = me.mode === "accounts";
  $("people-accounts").hidden = !accounts;
  $("people-local").hidden = accounts;
  $("people-local").replaceChildren(t("manage.people.local"), " ",
    make("code", { dir: "ltr" }, "openaffect annotate PROJECT --owner NAME"));
  for (const select of ["invite-role", "person-role"]) {
    options($(select), ROLES.map((role) => [role, nameOf("role", role)]), "annotator");
    $(select).addEventListener("change", () => describeRole(select));
    describeRole(select);
  }
  $("invite").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(invite);
  });
  prepareLink();
  preparePerson();
}

/** Ask the server and show everybody. */
export async function show() {
  if (!accounts) return;
  const { people } = await get("v1/people");
  const heads = [t("manage.people.person"), t("manage.people.role"), t("manage.people.state"),
    [t("manage.people.work"), "number"], [t("manage.people.training"), "number"],
    [t("manage.people.gold"), "number"], [t("manage.people.last30"), "number"],
    [t("manage.people.repeats"), "number"], t("manage.people.since"), [t("manage.people.change"), "act"]];
  $("people-table").replaceChildren(table(t("manage.people.all"), heads, people.map(row)));
}

const describeRole = (select) => {
  $(`${select}-means`).textContent = t(`manage.role_means.${$(select).value}`);
};

function row(person) {
  const { role, at, counts, gold, repeats } = person;
  return [
    make("span", { id: `name-${person.id}` }, personName(person)), nameOf("role", role),
    stateOf(person), [amount(counts.work), "number"], [amount(counts.training), "number"],
    [ofTotal(gold.right, gold.answers), "number"], [percent(gold.last30), "number"],
    [ofTotal(repeats.same, repeats.answers), "number"], moment(at, { dateStyle: "medium" }),
    [changeButton(person), "act"],
  ];
}

const ofTotal = (part, whole) =>
  whole === 0 ? "–" : t("manage.of", { part: amount(part), of: amount(whole) });

function stateOf({ state, paused_because, simulated }) {
  const because = make("span", { class: "because", lang: "en", dir: "auto" }, paused_because ?? "");
  const played = simulated ? make("span", { class: "tag" }, t("manage.people.simulated")) : null;
  const name = make("span", { class: "state" }, nameOf("manage.state", state));
  return make("span", {}, name, " ", played, paused_because ? because : null);
}

function changeButton(person) {
  if (person.state === "withdrawn") return "–";
  const id = `change-${person.id}`;
  return make("button", {
    type: "button", id, "aria-labelledby": `${id} name-${person.id}`,
    onclick: () => openPerson(person),
  }, t("manage.people.change_do"));
}

// ---- an invitation, and the link that is shown once

async function invite() {
  const name = $("invite-name").value.trim();
  const body = { name, role: $("invite-role").value, simulated: $("invite-simulated").checked };
  const made = await post("v1/people", body);
  showLink(t("manage.link.invited", { name }), made);
  $("invite").reset();
  describeRole("invite-role");
  await attempt(show); // after the link, which nobody can see again
}

function prepareLink() {
  $("link-address").addEventListener("focus", (event) => event.target.select());
  $("link-copy").addEventListener("click", copyLink);
  $("link-close").addEventListener("click", () => {
    $("link-address").value = "";
    $("link-box").hidden = true;
    $("people-head").focus();
  });
}

function showLink(title, { link, expires }) {
  $("link-head").textContent = title;
  $("link-address").value = new URL(`./${link}`, location.href.split("#")[0]).href;
  $("link-expires").replaceChildren(t("manage.link.expires"), " ", moment(expires));
  $("link-copied").textContent = "";
  $("link-box").hidden = false;
  $("link-head").focus();
}

async function copyLink() {
  $("link-address").select();
  try {
    // Browsers give the clipboard only to pages over HTTPS or from localhost.
    await navigator.clipboard.writeText($("link-address").value);
    $("link-copied").textContent = t("manage.link.copied");
  } catch {
    $("link-copied").textContent = t("manage.link.copy_yourself");
  }
}

// ---- one person

function preparePerson() {
  const act = (action) => attempt(action, $("person-problem"));
  const submit = (form, action) => $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    act(action);
  });
  const click = (button, action) => $(button).addEventListener("click", () => act(action));
  submit("person-role-form", () => change({ role: $("person-role").value }, "role_saved"));
  submit("withdraw", withdraw);
  click("person-resume", () => change({ state: "active" }, "resumed"));
  click("person-revoke", () => change({ state: "revoked" }, "revoked"));
  click("person-restore", restore);
  click("person-link", newLink);
  $("person-close").addEventListener("click", () => $("person").close());
}

function openPerson(person) {
  open = person;
  $("person-head").replaceChildren(personName(person));
  $("person-state").replaceChildren(stateOf(person));
  $("person-problem").hidden = true;
  $("person-role").value = person.role;
  describeRole("person-role");
  const { state } = person;
  $("person-resume").hidden = state !== "paused";
  $("person-restore").hidden = state !== "revoked";
  $("person-revoke").hidden = state === "revoked";
  $("person-link").hidden = state === "revoked";
  $("person-access-means").textContent = t(`manage.access_means.${state}`);
  $("withdraw").reset();
  $("withdraw").parentElement.open = false;
  $("person").showModal();
  $("person-head").focus();
}

/** Leave the dialog; the table is drawn anew, so the focus goes to the person's new button. */
async function finish(text) {
  $("person").close();
  await attempt(show);
  say(text);
  ($(`change-${open.id}`) ?? $("people-head")).focus();
}

async function change(body, done) {
  await patch(`v1/people/${open.id}`, body);
  const role = nameOf("role", body.role ?? open.role);
  await finish(t(`manage.person.${done}`, { name: open.name, role }));
}

async function newLink() {
  const made = await post(`v1/people/${open.id}/link`);
  await finish("");
  const title = open.state === "invited" ? "manage.link.invited" : "manage.link.reset";
  showLink(t(title, { name: open.name }), made);
}

/** Access comes back by a new link, for the password went with it. */
async function restore() {
  open = await patch(`v1/people/${open.id}`, { state: "active" });
  await newLink();
}

async function withdraw() {
  const rows = document.querySelector("input[name=rows]:checked").value;
  const { voided, purged, datasets } = await post(`v1/people/${open.id}/withdraw`, { rows });
  const done = rows === "void" ? "manage.withdraw.voided" : "manage.withdraw.kept";
  const said = [t(done, { voided: amount(voided), pseudonym: open.pseudonym })];
  if (datasets.length > 0) said.push(t("manage.withdraw.frozen", { datasets: datasets.join(", ") }));
  if (!purged) said.push(t("manage.withdraw.not_purged"));
  await finish(said.join(" "));
}
