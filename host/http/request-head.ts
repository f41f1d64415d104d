// The head of a request as bytes (RFC 9112, 3 and 5): origin form, Host, the caller's fields, and
// how the body is framed.

/** Fields of one connection, not of the request (RFC 9110, 7.6.1): a proxy would not pass them. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // Written by this file.
  "content-length",
  "host",
]);

/** Methods with which an empty body is stated (RFC 9110, 8.6). */
const STATES_EMPTY = /^(POST|PUT|PATCH)$/;

/** `length` of the body; null: it is chunked. */
export function encodeHead(request: Request, length: number | null): Uint8Array<ArrayBuffer> {
  const { method, headers } = request;
  const url = new URL(request.url);
  let text = `${method} ${url.pathname}${url.search} HTTP/1.1\r\n`;
  text += `host: ${headers.get("host") ?? url.host}\r\n`;
  headers.forEach((value, name) => {
    if (!HOP_BY_HOP.has(name)) text += `${name}: ${value}\r\n`;
  });
  if (length === null) text += "transfer-encoding: chunked\r\n";
  else if (length > 0 || STATES_EMPTY.test(method)) text += `content-length: ${length}\r\n`;
  return bytesOf(`${text}\r\n`);
}

/** The size line of a chunk (RFC 9112, 7.1). */
export function chunkHead(bytes: number): Uint8Array {
  return bytesOf(`${bytes.toString(16)}\r\n`);
}

/** Headers have one character for each byte. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
