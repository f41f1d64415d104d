// The admin listener: health, metrics, settings, and actions by POST. It shows nothing to a page in
// a browser: the Host must be an address or a configured name, and a form cannot send JSON.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP, type Socket } from "node:net";
import { LOG_LEVELS, type LogLevel } from "../../log.ts";
import { CONTENT_TYPES } from "../../service/metrics.ts";
import { type AdminAddress, listenAt } from "./admin-address.ts";
import { checksText } from "./health.ts";
import type { InspectionPages } from "./inspection.ts";
import { metricsText } from "./metrics.ts";
import type { Reloader } from "./reload.ts";
import { LISTED_MAX, type Served } from "./served.ts";

const CONNECTIONS_MAX = 16;
/** To send the head of a request, and all of it. */
const HEAD_MS = 1000;
const REQUEST_MS = 5000;
const HEAD_BYTES_MAX = 8192;
const BODY_BYTES_MAX = 4096;
/** Longer bodies are read this far: unread bytes would reset the connection before its answer. */
const DISCARDED_BYTES_MAX = 65536;

const JSON_TYPE = "application/json";

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const json = (status: number, value: unknown): Answer => ({
  status,
  type: JSON_TYPE,
  body: `${JSON.stringify(value, null, 2)}\n`,
});
const plain = (status: number, body: string): Answer => ({ status, body: `${body}\n` });

export interface AdminParts {
  readonly service: Served;
  readonly reloader: Reloader;
  readonly setLevel: (level: LogLevel) => void;
  /** Names by which it may be asked for, beside addresses. */
  readonly names: readonly string[];
  /** Pages that show the machine; null: nobody asked for them. */
  readonly inspection: InspectionPages | null;
  /** Where a machine is saved; null: that is not configured. */
  readonly snapshotPath: string | null;
}

export class Admin {
  readonly #parts: AdminParts;
  readonly #server: Server;
  #open = 0; // connections
  readonly #pages: Readonly<Record<string, (url: URL, request: IncomingMessage) => unknown>>;
  readonly #actions: Readonly<Record<string, (body: unknown) => Answer | Promise<Answer>>>;

  constructor(parts: AdminParts) {
    this.#parts = parts;
    const live = async () =>
      (await parts.service.isLive()) ? plain(200, "ok") : plain(503, "dead");
    this.#pages = {
      "/": () => this.#contents(),
      "/livez": live,
      "/healthz": live,
      "/readyz": (url) => this.#ready(url),
      "/metrics": (_, request) => this.#metrics(request),
      "/config": () => this.#config(),
      "/connections": () => this.#connections(),
    };
    this.#actions = {
      "/drain": () => this.#drain(true),
      "/undrain": () => this.#drain(false),
      "/reload": () => this.#reload(),
      "/log-level": (body) => this.#logLevel(body),
      "/snapshot": () => this.#snapshot(),
    };
    const options = {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: HEAD_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: HEAD_MS / 2,
    };
    this.#server = createServer(
      options,
      (request, response) => void this.#serve(request, response),
    );
    // Whoever looks at the machine takes no connection from those who ask for its health.
    this.#server.maxConnections = CONNECTIONS_MAX + (parts.inspection?.streamsMax ?? 0);
    this.#server.on("connection", (socket) => this.#keepPlace(socket));
  }

  /** Clients that wait between requests are let go in time for the next one. */
  #keepPlace(socket: Socket): void {
    this.#open++;
    socket.once("close", () => this.#open--);
    if (this.#open >= this.#server.maxConnections - 1) this.#server.closeIdleConnections();
  }

  /** Resolves with the address, as a URL if it is one. Rejects with CliError. */
  async listen(address: AdminAddress): Promise<string> {
    await listenAt(this.#server, address);
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") return `${bound}`;
    const host = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
    return `http://${host}:${bound.port}/`;
  }

  async close(): Promise<void> {
    await this.#parts.inspection?.close();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request, response).catch(
      (error: Error): Answer => plain(500, error.message),
    );
    if (answer === null) return; // it goes on
    const { status, body, type, headers } = answer;
    response.writeHead(status, {
      "Content-Type": type ?? "text/plain; charset=utf-8",
      "Content-Length": Buffer.byteLength(body),
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      ...headers,
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  /** null: the response is being written. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<Answer | null> {
    const { method = "", url = "", headers } = request;
    if ((request.headersDistinct.host?.length ?? 0) > 1) return plain(400, "more than one Host");
    const target = URL.canParse(url, "http://admin") ? new URL(url, "http://admin") : null;
    if (target === null) return plain(400, "not a path");
    // RFC 9112, 3.2.2: the host of an absolute target holds.
    const host = /^[a-z][a-z0-9+.-]*:/i.test(url) ? target.host : headers.host;
    if (!this.#isHost(host)) return plain(421, "not a host of this server");
    const inspected = await this.#inspected(target, request, response);
    if (inspected !== undefined) return inspected;
    const page = own(this.#pages, target.pathname);
    const action = own(this.#actions, target.pathname);
    if (page !== undefined) {
      if (method === "GET" || method === "HEAD") return (await page(target, request)) as Answer;
      return { ...plain(405, "GET or HEAD"), headers: { Allow: "GET, HEAD" } };
    }
    const { inspection } = this.#parts;
    const isCommand = inspection?.commands.includes(target.pathname) === true;
    if (action === undefined && !isCommand) return plain(404, "no such page");
    if (method !== "POST") return { ...plain(405, "POST"), headers: { Allow: "POST" } };
    const [type] = (headers["content-type"] ?? "").split(";");
    if (type?.trim().toLowerCase() !== JSON_TYPE) return plain(415, `only ${JSON_TYPE}`);
    const body = await readBody(request);
    if (body === null) return { ...plain(413, "too long"), headers: { Connection: "close" } };
    if (isCommand) return inspection.command(target, request, parseBody(body));
    const isEmpty = body.trim() === "" || body.trim() === "{}";
    if (!isEmpty && target.pathname !== "/log-level") return json(400, { error: "takes no body" });
    return (action as NonNullable<typeof action>)(isEmpty ? null : parseBody(body));
  }

  /** One of the inspector's pages; undefined: it is another. */
  async #inspected(
    url: URL,
    { method }: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer | null | undefined> {
    const { inspection } = this.#parts;
    if (inspection === null) return undefined;
    if (method === "GET") {
      const stream = inspection.follow(url, response);
      return stream === undefined ? ((await inspection.page(url)) ?? undefined) : stream;
    }
    if (!inspection.has(url.pathname)) return undefined;
    return { ...plain(405, "GET"), headers: { Allow: "GET" } };
  }

  /**
   * Another site's name that leads here must not be used to ask. HTTP/1.0 has no Host, and health
   * checks of proxies speak it, but no browser.
   */
  #isHost(host: string | undefined): boolean {
    if (host === undefined) return true;
    const name = host
      .toLowerCase()
      .replace(/\.?(?::\d+)?$/, "")
      .replace(/^\[(.*)\]$/, "$1");
    return (
      isIP(name) !== 0 ||
      name === "localhost" ||
      this.#parts.names.some((one) => one.toLowerCase() === name)
    );
  }

  /** The paths that there are. */
  #contents(): Answer {
    const pages = Object.keys(this.#pages).filter((path) => path !== "/");
    const inspector = this.#parts.inspection === null ? [] : ["/inspect"];
    const lines = [
      ...[...pages, ...inspector].map((path) => `GET  ${path}`),
      ...Object.keys(this.#actions).map((path) => `POST ${path}`),
    ];
    return plain(200, lines.join("\n"));
  }

  async #ready(url: URL): Promise<Answer> {
    const checks = await this.#parts.service.checks();
    const isReady = checks.every(({ fault }) => fault === "");
    const body = checksText(checks, url.searchParams.has("verbose"));
    return { status: isReady ? 200 : 503, body };
  }

  async #metrics({ headers }: IncomingMessage): Promise<Answer> {
    const isOpen = (headers.accept ?? "").includes("application/openmetrics-text");
    const format = isOpen ? "openmetrics" : "text";
    const { service, reloader } = this.#parts;
    const body = metricsText(await service.report(), reloader.state, format);
    return { status: 200, type: CONTENT_TYPES[format], body };
  }

  #config(): Answer {
    const { settings } = this.#parts.service.command;
    return json(
      200,
      Object.fromEntries(settings.map(({ name, value, source }) => [name, { value, source }])),
    );
  }

  async #connections(): Promise<Answer> {
    return json(200, await this.#parts.service.connections(LISTED_MAX));
  }

  #drain(wanted: boolean): Answer {
    const { service } = this.#parts;
    if (wanted) service.retire(false);
    else service.unretire();
    return json(202, { state: service.isRetired ? "draining" : "serving" });
  }

  async #reload(): Promise<Answer> {
    const { reloader } = this.#parts;
    const error = await reloader.reload("POST /reload");
    if (error !== null) return json(409, { state: "unchanged", error: error.message });
    return json(202, { state: "reloaded", needRestart: reloader.state.waiting });
  }

  #logLevel(body: unknown): Answer {
    const wanted = (body as { level?: unknown } | null)?.level;
    const level = LOG_LEVELS.find((one) => one === wanted);
    if (level === undefined) {
      return json(400, { error: `level: not one of ${LOG_LEVELS.join(", ")}` });
    }
    this.#parts.setLevel(level);
    return json(202, { level });
  }

  async #snapshot(): Promise<Answer> {
    const { service, snapshotPath } = this.#parts;
    if (snapshotPath === null) return json(409, { error: "admin-snapshot names no file" });
    try {
      await service.save(snapshotPath);
      return json(202, { saved: snapshotPath });
    } catch (error) {
      return json(409, { error: (error as Error).message });
    }
  }
}

function own<Value>(table: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** null: it is too long. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > DISCARDED_BYTES_MAX) return null;
    if (bytes <= BODY_BYTES_MAX) parts.push(part);
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(parts).toString("utf8");
}

/** Whatever is no JSON is nothing that an action knows. */
function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
