// One tab works at a time; the others say so. Without Web Locks (plain HTTP) every tab works.

const LOCK = "openaffect-annotate";

/**
 * Become the tab that works: false if another one is, unless `steal`.
 * `onLost` is called when another tab takes over.
 */
export function takeOver(steal, onLost) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const name = LOCK + new URL(".", location.href).pathname;
    const options = steal ? { steal: true } : { ifAvailable: true };
    const held = navigator.locks.request(name, options, (lock) => {
      resolve(lock !== null);
      return lock === null ? null : new Promise(() => {}); // as long as the tab lives
    });
    held.catch(onLost);
  });
}

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(LOCK) : null;

/** Tell other tabs who signed in here, for they share the session. */
export function tellSignedIn(name) {
  channel?.postMessage({ name });
}

/** Call `other(name)` when somebody signs in in another tab. */
export function onSignedInElsewhere(other) {
  if (channel) channel.onmessage = (event) => other(event.data.name);
}
