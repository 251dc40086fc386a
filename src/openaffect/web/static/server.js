// Asking the server this page came from, and no other.

let token = "";

/** Remember the token until the page is closed; it is kept nowhere else. */
export function setToken(text) {
  token = text.trim();
}

/** An answer that says no: `status` of HTTP, and the server's own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask for a path; throws Refused, or TypeError where no server answers. */
export async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 503 && answer.headers.has("Retry-After")) {
    const seconds = Number(answer.headers.get("Retry-After"));
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    return ask(path, options);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.message ?? `the server answered ${answer.status}`);
  }
  return answer;
}
