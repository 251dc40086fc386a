// The owner's page: one part at a time, named by the fragment of the address.

import * as batches from "./batches.js";
import * as dashboard from "./dashboard.js";
import { $ } from "./elements.js";
import * as events from "./events.js";
import * as gold from "./gold.js";
import * as people from "./people.js";
import * as settings from "./settings.js";
import { attempt, say, start } from "./start.js";
import { t } from "./texts.js";

// Each has `prepare(me)`, called once, and `show()`, called whenever the part is opened.
const PARTS = { dashboard, people, batches, gold, settings, events };

async function open(me, focus) {
  const name = location.hash.slice(1) in PARTS ? location.hash.slice(1) : "dashboard";
  for (const part of Object.keys(PARTS)) $(`panel-${part}`).hidden = part !== name;
  for (const link of $("tabs").querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`manage.${name}.title`)} · ${me.project}`;
  say("");
  if (focus) $(`${name}-head`).focus();
  await attempt(() => PARTS[name].show());
}

await attempt(async () => {
  const me = await start("bar.manage", ["owner"]);
  if (me === null) return;
  for (const part of Object.values(PARTS)) part.prepare(me);
  $("tabs").hidden = false;
  addEventListener("hashchange", () => open(me, true));
  await open(me, false);
});
