// Answers that the server has not confirmed, in IndexedDB: they outlive the tab and the browser.

const NAME = "openaffect-annotate";
const STORE = "answers";

/** The answers of one person in one project; nobody else's are ever seen or sent. */
export class Outbox {
  /** `owner` is a text that stands for the person and the project. */
  static async open(owner) {
    const outbox = new Outbox();
    outbox.owner = owner;
    outbox.adding = []; // on their way to the disk
    outbox.entries = []; // {order, owner, body, problem: null | {status, code, message}, aside}
    outbox.database = null;
    try {
      outbox.database = await openDatabase();
      const all = await finished(outbox.#store("readonly").index("owner").getAll(owner));
      outbox.entries = all.sort((a, b) => a.order - b.order);
    } catch {
      outbox.database = null; // a private window: `keeps` is false, and the page says so
    }
    return outbox;
  }

  /** Whether answers outlive the tab. */
  get keeps() {
    return this.database !== null;
  }

  /** Those that are to be sent, oldest first. */
  get waiting() {
    return this.entries.filter((entry) => entry.problem === null);
  }

  /** The assignments of all that the server has not confirmed, and how many those are. */
  get assignments() {
    return [...this.waiting.map((entry) => entry.body), ...this.adding].map((b) => b.assignment);
  }

  /** Those that the server did not take. */
  get refused() {
    return this.entries.filter((entry) => entry.problem !== null);
  }

  /** Keep an answer; it is on the disk when the promise ends. */
  async add(body) {
    const entry = { owner: this.owner, body, problem: null, aside: false };
    this.adding.push(body);
    await this.#write((store) => store.add(entry), (order) => (entry.order = order));
    this.adding = this.adding.filter((one) => one !== body);
    this.entries.push(entry); // only now may it be sent
    return entry;
  }

  /** The server has it. */
  async remove(entry) {
    this.entries = this.entries.filter((one) => one !== entry);
    if (entry.order !== undefined) await this.#write((store) => store.delete(entry.order));
  }

  /** Note a problem (null: none, it will be sent again), or that it was set aside. */
  async change(entry, changes) {
    Object.assign(entry, changes);
    if (entry.order !== undefined) await this.#write((store) => store.put(entry));
  }

  #store(mode) {
    return this.database.transaction(STORE, mode).objectStore(STORE);
  }

  async #write(ask, then = () => {}) {
    if (this.database === null) return;
    try {
      then(await finished(ask(this.#store("readwrite"))));
    } catch {
      this.database = null; // the disk is full, or the browser closed it: memory is what is left
    }
  }
}

async function openDatabase() {
  const asked = indexedDB.open(NAME, 1);
  asked.onupgradeneeded = () => {
    const store = asked.result.createObjectStore(STORE, { keyPath: "order", autoIncrement: true });
    store.createIndex("owner", "owner");
  };
  return finished(asked);
}

/** A request's result, once what it wrote is written. */
function finished(asked) {
  return new Promise((resolve, reject) => {
    asked.onerror = () => reject(asked.error);
    const done = () => resolve(asked.result);
    if (!asked.transaction || asked.transaction.mode === "versionchange") asked.onsuccess = done;
    else {
      asked.transaction.oncomplete = done;
      asked.transaction.onabort = () => reject(asked.transaction.error);
    }
  });
}
