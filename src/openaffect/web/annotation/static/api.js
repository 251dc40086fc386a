// Requests to our own server: relative addresses, JSON, and one kind of error.

export class ApiError extends Error {
  /** status 0 and code "offline": no answer came. `retryAfter` in seconds, or null. */
  constructor(status, code, message, retryAfter = null, body = {}) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { status, code, retryAfter, body });
  }

  /** Whether the same request may work a little later. */
  get passes() {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

let askToSignIn = null;

/** Set what a 401 calls: a function whose promise ends when somebody signed in. */
export function onUnauthorized(ask) {
  askToSignIn = ask;
}

/**
 * Ask the server; the promise gives its JSON, or fails with an ApiError.
 * After a 401 the person signs in and the request is sent once more, unless `signIn` is false.
 */
export async function request(method, path, body, options) {
  return read(await ask(method, path, body, options), "json");
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body = {}, options = {}) => request("POST", path, body, options);
export const patch = (path, body = {}, options = {}) => request("PATCH", path, body, options);
export const remove = (path, options = {}) => request("DELETE", path, {}, options);

/** A picture, or another file of ours. */
export async function getBlob(path) {
  return read(await ask("GET", path), "blob");
}

async function ask(method, path, body, { signIn = true } = {}) {
  const answer = await send(method, path, body);
  if (answer.ok) return answer;
  const error = await toError(answer);
  if (error.status !== 401 || !signIn || !askToSignIn) throw error;
  await askToSignIn();
  return ask(method, path, body, { signIn: false });
}

async function send(method, path, body) {
  const options = { method, credentials: "same-origin", cache: "no-store" };
  if (method !== "GET") {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body ?? {});
  }
  try {
    return await fetch(path, options);
  } catch (problem) {
    throw new ApiError(0, "offline", String(problem.message ?? problem));
  }
}

async function read(answer, kind) {
  try {
    return await answer[kind]();
  } catch (problem) {
    // The connection broke inside the answer, or something between us and the server answered.
    throw new ApiError(0, "offline", String(problem.message ?? problem));
  }
}

async function toError(answer) {
  const body = await answer.json().catch(() => ({}));
  const seconds = Number(answer.headers.get("Retry-After"));
  const after = answer.headers.has("Retry-After") && Number.isFinite(seconds) ? seconds : null;
  const { error = "failed", message = `the server answered ${answer.status}` } = body ?? {};
  return new ApiError(answer.status, error, message, after, body ?? {});
}
