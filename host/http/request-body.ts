// The body of a request. Requests do not tell its length, so it is read for as long as nobody
// waits for it: one that ends within a turn of the event loop is sent with Content-Length, and can
// be sent again; a longer one is a stream, and is sent in chunks unless the caller has stated
// Content-Length.
import { joinBytes } from "../bytes.ts";

/** A body that is larger is a stream, even if all of it is there. */
const WHOLE_BYTES_MAX = 1024 * 1024;
const DIGITS = /^\d{1,15}$/;

export interface RequestBody {
  /** null: not known. */
  readonly length: number | null;
  /** Parts that have been read, none of them empty. */
  readonly parts: readonly Uint8Array[];
  /** Yields the rest; null: there is none. */
  readonly rest: BodyRest | null;
}

/** The part of a body that has not been read yet. */
export interface BodyRest {
  /** The next part, or null at the end. Rejects if the caller's stream fails. */
  next(): Promise<Uint8Array | null>;
  /** Nobody wants it any more. */
  cancel(reason: unknown): void;
}

export const NO_BODY: RequestBody = { length: 0, parts: [], rest: null };

/** `defer` calls back in the next turn of the event loop. */
export async function readBody(
  request: Request,
  defer: (callback: () => void) => void,
): Promise<RequestBody> {
  const { body } = request;
  if (body === null) return NO_BODY;
  const rest = new StreamRest(body.getReader());
  const turn = new Promise<undefined>((resolve) => defer(() => resolve(undefined)));
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes <= WHOLE_BYTES_MAX) {
    const part = await Promise.race([rest.peek(), turn]);
    if (part === undefined) break;
    await rest.next();
    if (part === null)
      return { length: bytes, parts: bytes === 0 ? [] : [joinBytes(parts)], rest: null };
    bytes += part.length;
    if (part.length > 0) parts.push(part);
  }
  return { length: statedLength(request.headers), parts, rest };
}

/** Throws TypeError for a Content-Length that is none. */
function statedLength(headers: Headers): number | null {
  const stated = headers.get("content-length");
  if (stated === null) return null;
  if (!DIGITS.test(stated)) throw new TypeError(`fetch: Content-Length "${stated}"`);
  return Number(stated);
}

class StreamRest implements BodyRest {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #ahead: Promise<Uint8Array | null> | null = null;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  /** The part that next() will return. */
  peek(): Promise<Uint8Array | null> {
    this.#ahead ??= this.#read();
    return this.#ahead;
  }

  next(): Promise<Uint8Array | null> {
    const part = this.peek();
    this.#ahead = null;
    return part;
  }

  cancel(reason: unknown): void {
    this.#reader.cancel(reason).catch(() => {}); // its source may be broken; nobody waits for it
  }

  async #read(): Promise<Uint8Array | null> {
    const { done, value } = await this.#reader.read();
    if (done) return null;
    if (value instanceof Uint8Array) return value;
    throw new TypeError("fetch: a part of the body is not a Uint8Array");
  }
}
