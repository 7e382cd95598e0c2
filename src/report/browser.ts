// Finds a Chromium and drives it over the DevTools protocol: what figure export
// and the page's test need, and no more.

import { UnavailableError } from "../base/errors.ts";

const NAMES = [
  "chromium",
  "chromium-browser",
  "google-chrome-stable",
  "google-chrome",
  "chrome",
  "headless_shell",
];

const APPLICATIONS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const FLAGS = [
  "--headless",
  // In a container or as root Chromium's own sandbox does not start; the pages
  // opened here are local files made by this suite.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-extensions",
  "--hide-scrollbars",
  "--force-color-profile=srgb",
  "--remote-debugging-port=0",
];

const START_TIMEOUT_MS = 30_000;

/** What the protocol answers or tells, unchecked. */
export type Message = Record<string, unknown>;

/** One tab. */
export interface Tab {
  /** Sends a protocol command, for instance "Page.navigate". */
  send(method: string, parameters?: Message): Promise<Message>;
  /** Calls `listener` for every event of a name. */
  on(event: string, listener: (parameters: Message) => void): void;
  /**
   * Evaluates an expression in the page and waits for its promise.
   *
   * @throws {Error} If it throws; the message is the page's.
   */
  evaluate(expression: string): Promise<unknown>;
}

/**
 * Finds a Chromium or Chrome.
 *
 * @returns Its path, or undefined. TRANSMLA_BROWSER names another one.
 */
export async function findBrowser(): Promise<string | undefined> {
  const own = Deno.env.get("TRANSMLA_BROWSER");
  const folders = (Deno.env.get("PATH") ?? "").split(
    Deno.build.os === "windows" ? ";" : ":",
  );
  const candidates = own !== undefined ? [own] : [
    ...NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`)),
    ...APPLICATIONS,
  ];
  for (const path of candidates) {
    try {
      if ((await Deno.stat(path)).isFile) return path;
    } catch { /* not this one */ }
  }
  return undefined;
}

/**
 * Opens a headless browser with one blank tab, and closes it after `use`.
 *
 * @param use What to do with the tab.
 * @returns What `use` returns.
 * @throws {UnavailableError} If no browser is installed or it does not start.
 */
export async function withBrowser<T>(
  use: (tab: Tab) => Promise<T>,
): Promise<T> {
  const path = await findBrowser();
  if (path === undefined) {
    const named = Deno.env.get("TRANSMLA_BROWSER");
    throw new UnavailableError(
      named === undefined
        ? "Cannot draw figures as no Chromium or Chrome is on PATH: install one, or set TRANSMLA_BROWSER to its path"
        : `Cannot draw figures as TRANSMLA_BROWSER must be the path of a Chromium or Chrome: current value is ${named}`,
    );
  }
  const profile = await Deno.makeTempDir({ prefix: "transmla-browser-" });
  const child = new Deno.Command(path, {
    args: [...FLAGS, `--user-data-dir=${profile}`, "about:blank"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let connection: Connection | undefined;
  try {
    connection = await Connection.open(await endpoint(child));
    return await use(await connection.openTab());
  } finally {
    await connection?.close();
    await end(child);
    await Deno.remove(profile, { recursive: true }).catch(() => {
      // Chromium's helpers may still be writing their last files.
    });
  }
}

/** Reads the DevTools address that Chromium prints, then lets its log drain. */
async function endpoint(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const timer = setTimeout(() => kill(child), START_TIMEOUT_MS);
  let log = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      log += value;
      const address = /DevTools listening on (ws:\/\/\S+)\s/.exec(log)?.[1];
      if (address === undefined) continue;
      drain(reader);
      return address;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new UnavailableError(
    `Cannot start the browser: ${
      log.trim().split("\n").at(-1) ?? "it ended without a word"
    }`,
  );
}

async function drain(reader: ReadableStreamDefaultReader<string>) {
  try {
    while (!(await reader.read()).done);
  } catch { /* the child ended */ }
}

async function end(child: Deno.ChildProcess): Promise<void> {
  const timer = setTimeout(() => kill(child), 5000);
  await child.status;
  clearTimeout(timer);
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch { /* it has ended */ }
}

interface Waiting {
  resolve(result: Message): void;
  reject(error: Error): void;
}

class Connection {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, ((parameters: Message) => void)[]>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = () => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error("The browser closed the connection"));
      }
      this.#waiting.clear();
    };
  }

  static async open(address: string): Promise<Connection> {
    const socket = new WebSocket(address);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () =>
        reject(new UnavailableError("Cannot connect to the browser"));
    });
    socket.onerror = null;
    return new Connection(socket);
  }

  async openTab(): Promise<Tab> {
    const { targetId } = await this.#send("Target.createTarget", {
      url: "about:blank",
    });
    const { sessionId } = await this.#send("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    const send = (method: string, parameters: Message = {}) =>
      this.#send(method, parameters, String(sessionId));
    await send("Page.enable");
    await send("Runtime.enable");
    return {
      send,
      on: (event, listener) => {
        this.#listeners.set(event, [
          ...this.#listeners.get(event) ?? [],
          listener,
        ]);
      },
      evaluate: async (expression) => {
        const answer = await send("Runtime.evaluate", {
          expression,
          awaitPromise: true,
          returnByValue: true,
        });
        const thrown = answer["exceptionDetails"] as
          | { text: string; exception?: { description?: string } }
          | undefined;
        if (thrown !== undefined) {
          throw new Error(thrown.exception?.description ?? thrown.text);
        }
        return (answer["result"] as { value?: unknown }).value;
      },
    };
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#socket.addEventListener("close", () => resolve(), { once: true });
    });
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    await this.#send("Browser.close", {}).catch(() => {});
    this.#socket.close();
    await closed;
  }

  #send(
    method: string,
    params: Message,
    sessionId?: string,
  ): Promise<Message> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(
        JSON.stringify({
          id,
          method,
          params,
          ...(sessionId === undefined ? {} : { sessionId }),
        }),
      );
    });
  }

  #receive(
    message: {
      id?: number;
      result?: Message;
      error?: { message: string };
      method?: string;
      params?: Message;
    },
  ): void {
    if (message.id === undefined) {
      for (const listener of this.#listeners.get(message.method ?? "") ?? []) {
        listener(message.params ?? {});
      }
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error !== undefined) {
      waiting?.reject(new Error(message.error.message));
    } else waiting?.resolve(message.result ?? {});
  }
}
