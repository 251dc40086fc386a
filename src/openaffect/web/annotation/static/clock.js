// How long a face was looked at: the browser's monotonic clock, without the time in hidden tabs.

export class Clock {
  constructor() {
    this.restart();
    document.addEventListener("visibilitychange", () => this.#change());
  }

  /** The picture is painted: begin at zero. */
  restart() {
    this.gathered = 0;
    this.since = document.hidden ? null : performance.now();
  }

  /** Seconds until now. */
  get seconds() {
    const running = this.since === null ? 0 : performance.now() - this.since;
    return (this.gathered + running) / 1000;
  }

  #change() {
    if (document.hidden) {
      if (this.since !== null) this.gathered += performance.now() - this.since;
      this.since = null;
    } else if (this.since === null) {
      this.since = performance.now();
    }
  }
}
