// The page: what is served, the token where one is asked for, pictures, the camera.

import { Camera, whyNoCamera } from "./camera.js";
import { makeCircumplex } from "./drawing.js";
import { startPictures } from "./pictures.js";
import { ask, setToken } from "./server.js";

const find = (id) => document.getElementById(id);
let models = null;

startPictures({
  zone: find("zone"),
  input: find("files"),
  results: find("results"),
  status: find("picture-status"),
  means: () => models?.circumplex ?? {},
});
find("token").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(find("token-text").value);
  load();
});
load();

async function load() {
  try {
    models = await (await ask("/v1/models")).json();
  } catch (error) {
    find("model").textContent = error.status === 401 ? "This server asks for a token." : "The server does not answer.";
    find("token").hidden = error.status !== 401;
    document.body.classList.toggle("locked", error.status === 401);
    return;
  }
  find("token").hidden = true;
  document.body.classList.remove("locked");
  describe(models);
  setUpCamera(models);
}

function describe({ models: [{ card }], detector }) {
  const derived = [].concat(card.trained_on.affect_origin ?? []).includes("derived");
  const origin = derived ? " (derived from the expressions; nobody rated them)" : "";
  const kinds = [
    card.labels.length ? `${card.labels.length} expressions` : "",
    card.affect ? `valence and arousal${origin}` : "",
  ].filter(Boolean);
  find("model").textContent = `Model ${card.name}: ${kinds.join(", ")} from crops of ${card.size[0]} × ${card.size[1]} pixels. Detector of this server: ${detector}.`;
  find("warning").hidden = !card.protocol_warning;
  find("warning").textContent = card.protocol_warning;
}

function setUpCamera(served) {
  const reason = whyNoCamera(served);
  find("camera-button").disabled = reason !== null;
  if (reason !== null) {
    find("camera-status").textContent = reason;
    find("camera-plot").replaceChildren(makeCircumplex(served.circumplex).element);
    return;
  }
  new Camera(
    {
      video: find("video"),
      canvas: find("overlay"),
      button: find("camera-button"),
      status: find("camera-status"),
      stage: find("stage"),
      plot: find("camera-plot"),
    },
    served,
  );
}
