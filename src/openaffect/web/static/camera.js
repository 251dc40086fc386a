// The camera: frames go to a worker of this page, and what it sees is drawn over the video.

import { drawFaces, makeCircumplex, show } from "./drawing.js";
import { ask } from "./server.js";

/**
 * Why the camera cannot be used here, or null.
 *
 * @param models the answer of /v1/models.
 */
export function whyNoCamera(models) {
  if (!models.browser_runtime) {
    return "Camera mode is not installed on this server: `make web` fetches what it needs.";
  }
  if (!models.browser_detector) {
    return "This server has no detector that runs in a browser (Haar cascades cannot): `openaffect weights yunet` fetches one.";
  }
  if (!window.isSecureContext || !navigator.mediaDevices) {
    return "A browser gives its camera only to pages over HTTPS or from localhost.";
  }
  return null;
}

/** A camera that starts and stops with a button. */
export class Camera {
  constructor({ video, canvas, button, status, stage, plot }, models) {
    Object.assign(this, { video, canvas, button, status, stage, models });
    this.circumplex = makeCircumplex(models.circumplex);
    plot.replaceChildren(this.circumplex.element);
    this.stream = null;
    this.engine = null;
    this.rate = 0;
    button.addEventListener("click", () => (this.stream ? this.stop() : this.start()));
  }

  async start() {
    this.button.disabled = true;
    try {
      this.say("Asking for the camera …");
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } },
      });
      this.stream.getVideoTracks()[0].addEventListener("ended", () => this.stop("The camera was taken away."));
      this.video.srcObject = this.stream;
      await this.video.play();
      this.stage.hidden = false;
      if (!this.engine) await this.load();
      this.button.textContent = "Stop the camera";
      this.next();
    } catch (error) {
      this.stop(explain(error));
    } finally {
      this.button.disabled = false;
    }
  }

  async load() {
    this.say("Loading the model and the detector …");
    const [{ file, card }] = this.models.models;
    const [model, detector] = await Promise.all(
      [file, this.models.browser_detector].map(async (path) => (await ask(path)).arrayBuffer()),
    );
    const engine = new Worker(new URL("./engine.js", import.meta.url), { type: "module" });
    await new Promise((done, fail) => {
      engine.onmessage = ({ data }) => (data.ready ? done() : fail(new Error(data.problem)));
      engine.onerror = (event) => fail(new Error(event.message || "the worker did not start"));
      engine.postMessage({ load: { model, detector, card } }, [model, detector]);
    }).catch((error) => {
      engine.terminate();
      throw error;
    });
    engine.onmessage = ({ data }) => this.receive(data);
    this.engine = engine;
  }

  async next() {
    if (!this.stream) return;
    if (this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || document.hidden) {
      setTimeout(() => this.next(), 100);
      return;
    }
    const frame = await createImageBitmap(this.video);
    this.sent = performance.now();
    this.engine.postMessage({ frame }, [frame]);
  }

  receive({ faces, width, height, ms, problem }) {
    if (!this.stream) return;
    if (problem) {
      this.stop(`The model stopped: ${problem}`);
      return;
    }
    Object.assign(this.canvas, { width, height }); // also wipes it
    drawFaces(this.canvas, faces);
    this.circumplex.show(faces);
    this.rate = this.rate ? 0.9 * this.rate + 0.1 * ms : ms;
    const first = faces[0];
    const text = first
      ? `${first.expression ?? "a face"}${first.valence === undefined ? "" : `, valence ${show(first.valence)}, arousal ${show(first.arousal)}`}`
      : "no face";
    this.say(`${text} · ${this.rate.toFixed(0)} ms a frame, in this browser`);
    this.canvas.dataset.faces = faces.length;
    requestAnimationFrame(() => this.next());
  }

  stop(reason = "The camera is off.") {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    this.stage.hidden = true;
    this.circumplex.show([]);
    this.button.textContent = "Start the camera";
    this.say(reason);
  }

  say(text) {
    this.status.textContent = text;
  }
}

function explain(error) {
  const known = {
    NotAllowedError: "The camera was not allowed.",
    NotFoundError: "There is no camera.",
    NotReadableError: "The camera is used by another program.",
  };
  return known[error.name] ?? `The camera could not be started: ${error.message}`;
}
