// Seconds on the browser's monotonic clock, without the time that the page was hidden.

let begun = null; // when the running part began, or null
let before = 0; // milliseconds of the parts that ended

/** Begin at zero. */
export function restart() {
  before = 0;
  begun = document.hidden ? null : performance.now();
}

/** Seconds since `restart`. */
export const elapsed = () => (before + (begun === null ? 0 : performance.now() - begun)) / 1000;

document.addEventListener("visibilitychange", () => {
  if (document.hidden && begun !== null) {
    before += performance.now() - begun;
    begun = null;
  } else if (!document.hidden && begun === null) {
    begun = performance.now();
  }
});
